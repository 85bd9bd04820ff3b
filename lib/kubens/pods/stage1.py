"""What stage1's init calls: read what must be looked at, plan, write."""

from __future__ import annotations

import os

from kubens.pods.errors import ManifestError, PodError
from kubens.pods.escape import join
from kubens.pods.layout import STAGE1_MNT_DIR, UNITS_DIR, rel_app_rootfs_path, stage1_rootfs_path
from kubens.pods.log import diag, log
from kubens.pods.manifest import Mount, RuntimeApp, Volume
from kubens.pods.mounts import Bind, check_overlap, generate_binds, pod_binds
from kubens.pods.ondisk import Plan
from kubens.pods.plan import (
    default_target,
    plan_app,
    plan_app_mounts,
    plan_host_mounts,
    plan_nspawn,
    prepare_app_template,
)
from kubens.pods.pod import Pod
from kubens.pods.tree import beneath, write
from kubens.pods.units import Unit

KVM = "kvm"


def generate_mounts(ra: RuntimeApp, volumes: dict[str, Volume]) -> tuple[list[Mount], dict[str, Volume]]:
    """The app's mounts, and the volumes with those added that only its mount points ask for.

    Mounts of the manifest come first, then the app's mount points that these do not cover. Paths are cleaned.
    Nothing that is passed in is changed. ManifestError for an unknown volume and for targets that overlap.
    """
    binds = generate_binds(ra, volumes)
    _warn_of_implicit(ra, binds)
    complete = dict(volumes)
    complete.update((bind.volume.name, bind.volume) for bind in binds)
    return [Mount(bind.volume.name, bind.path) for bind in binds], complete


def write_default_target(pod: Pod) -> None:
    """Write default.target, which starts the pod's apps."""
    _write_unit(pod, default_target([ra.name for ra in pod.manifest.apps]))


def write_prepare_app_template(pod: Pod) -> None:
    """Write prepare-app@.service."""
    try:
        _write_unit(pod, prepare_app_template())
    except OSError as error:
        reason = f"failed to create service unit file: {error.strerror}"
        raise OSError(error.errno, reason, error.filename) from error


def pod_to_systemd(pod: Pod, interactive: bool, flavor: str, private_users: str) -> None:
    """Write the units and the environment files of all apps; for flavor kvm their mount units too.

    Nothing is written when any app is refused.
    """
    apps = pod.manifest.apps
    rootfs = stage1_rootfs_path(pod.root)
    binds_of_apps: list[list[Bind]] = [[] for _ in apps]
    if flavor == KVM:
        binds_of_apps = _binds(apps, pod.manifest.volumes)
    plan = Plan()
    for ra, binds in zip(apps, binds_of_apps):
        try:
            plan.extend(plan_app(pod, ra, interactive, private_users))
            plan.extend(_plan_mounts(rootfs, ra.name, binds, UNITS_DIR))
        except PodError as error:
            raise _failed(ra, error) from error
    plan.check()
    write(rootfs, plan)


def pod_to_nspawn_args(pod: Pod) -> list[str]:
    """The arguments of systemd-nspawn that make it the pod. The directories of empty volumes are made."""
    rootfs = stage1_rootfs_path(pod.root)
    binds_of_apps = [
        _resolved(rootfs, ra.name, binds)
        for ra, binds in zip(pod.manifest.apps, _binds(pod.manifest.apps, pod.manifest.volumes))
    ]
    plan, arguments = plan_nspawn(pod, binds_of_apps, os.path.abspath(pod.root))
    write(pod.root, plan)
    return arguments


def pod_to_systemd_host_mount_units(root: str, volumes: list[Volume], app_names: list[str], units_dir: str) -> None:
    """Write the mount units of the host's volumes. root is the stage1 root file system."""
    write(root, plan_host_mounts(volumes, app_names, units_dir))


def app_to_systemd_mount_units(root: str, app_name: str, volumes: list[Volume], ra: RuntimeApp, units_dir: str) -> None:
    """Write the mount units of one app. root is the stage1 root file system.

    The staging directories of volumes of kind host must be there: pod_to_systemd_host_mount_units makes them.
    """
    (binds,) = _binds([ra], volumes)
    write(root, _plan_mounts(root, app_name, binds, units_dir))


def _binds(apps: list[RuntimeApp], volumes: list[Volume]) -> list[list[Bind]]:
    binds_of_apps = pod_binds(apps, volumes)
    for ra, binds in zip(apps, binds_of_apps):
        _warn_of_implicit(ra, binds)
    return binds_of_apps


def _warn_of_implicit(ra: RuntimeApp, binds: list[Bind]) -> None:
    for volume in {bind.volume.name: bind.volume for bind in binds if bind.implicit}.values():
        log.print(
            f"warning: no volume {volume.name!r} for app {ra.name!r}; it gets an empty one, "
            "which will vanish when the pod is garbage-collected"
        )


def _failed(ra: RuntimeApp, error: PodError) -> ManifestError:
    path, reason = ra.where, str(error)
    if isinstance(error, ManifestError):
        path, reason = error.path, error.reason
    return ManifestError(path, f'failed to transform app "{ra.name}" into systemd service: {reason}')


def _write_unit(pod: Pod, unit: Unit) -> None:
    plan = Plan()
    plan.add_unit(unit, UNITS_DIR)
    write(stage1_rootfs_path(pod.root), plan)


def _plan_mounts(rootfs: str, app_name: str, binds: list[Bind], units_dir: str) -> Plan:
    for bind in binds:
        staged = join(rootfs, STAGE1_MNT_DIR, bind.volume.name)
        if bind.volume.kind == "host" and not os.path.isdir(staged):
            raise ManifestError(bind.where, f"bug: missing source for volume {bind.volume.name}: {staged}")
        diag.print(f"mounting volume {bind.volume.name} of app {app_name} at {bind.path}")
    return plan_app_mounts(app_name, _resolved(rootfs, app_name, binds), units_dir)


def _resolved(rootfs: str, app_name: str, binds: list[Bind]) -> list[Bind]:
    """The binds with their paths as the app's root file system has them now: systemd mounts at no links."""
    app_rootfs = join(rootfs, rel_app_rootfs_path(app_name))
    resolved = []
    for bind in binds:
        try:
            path = beneath(app_rootfs, bind.path)
        except PodError as error:
            raise ManifestError(bind.where + ".path", str(error)) from None
        resolved.append(Bind(bind.volume, path, bind.read_only, bind.where))
    check_overlap(resolved)
    return resolved
