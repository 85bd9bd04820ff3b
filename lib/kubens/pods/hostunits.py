"""The units of a pod on this host, as pure functions; kubens-pod(5) says what may be relied upon.

    POD-pod.target         the pod: what people start and stop
    POD-pod.service        active while anything of it is: checks trees and mount points, makes empty volumes
    POD-APP.service        an app; POD-APP.socket listens for it
    ….mount                one for each volume of an app, and for each volume in memory
    POD-pod-failed.target  reached when an app has failed, and in conflict with all of the above
    pods-POD.slice         all of its processes
"""

from __future__ import annotations

from kubens import render
from kubens.pods.errors import PodError
from kubens.pods.escape import environment, path_escape, quote_exec, setting_word, specifiers, word
from kubens.pods.host import (
    EMPTY,
    HOST,
    INIT,
    MAIN,
    MEMORY,
    VOLUMES,
    HostApp,
    HostMount,
    HostPod,
    HostVolume,
    hides,
    located,
)
from kubens.pods.units import Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Looks at what generation cannot see; `make install` writes here where it put it.
HELPER = "/usr/lib/kubens/kubens-pod"
DOCUMENTATION = "man:kubens-pod(5)"
_RESTART_DELAY = 10  # seconds, as the kubelet's first


def record_name(pod: str) -> str:
    """The name of the directory that holds what a living pod is made of."""
    return f"pod@{pod}"


def pod_target(pod: str) -> str:
    return f"{pod}-pod.target"


def pod_service(pod: str) -> str:
    return f"{pod}-pod.service"


def record_unit(pod: str) -> str:
    return f"{pod}-pod-record.service"


def failed_target(pod: str) -> str:
    return f"{pod}-pod-failed.target"


def slice_name(pod: str) -> str:
    # A dash would make it part of another.
    return "pods-" + pod.replace("-", "\\x2d") + ".slice"


def app_unit(pod: HostPod, app: HostApp) -> str:
    return f"{pod.name}-{app.name}.service"


def app_socket(pod: HostPod, app: HostApp) -> str:
    return f"{pod.name}-{app.name}.socket"


def rootfs(pod: HostPod, app: HostApp) -> str:
    return f"{pod.directory}/{app.name}/rootfs"


def units_of(pod: HostPod, tools: Mapping[str, str]) -> list[Unit]:
    """All units but the record's. Raises ManifestError for what no unit can hold."""
    made = [_target(pod), _service(pod, tools), _failed(pod), _slice(pod)]
    for volume in pod.volumes.values():
        if volume.kind == MEMORY:
            made.append(_memory(pod, volume))
    before: list[str] = []
    for app in pod.apps:
        try:
            mounts = [(mount, _mount(pod, app, mount)) for mount in app.mounts]
            made += [unit for _, unit in mounts]
            if app.listen:
                made.append(_socket(pod, app))
            made.append(_app(pod, app, [unit.name for _, unit in mounts], before))
        except PodError as error:
            raise located(error, app.where) from None
        if app.stage != MAIN:
            before = [app_unit(pod, app)]
    return made


def _new(pod: HostPod, name: str, description: str, default_dependencies: bool = True) -> Unit:
    unit = Unit(name)
    unit.add("Unit", "Description", description)
    unit.add("Unit", "Documentation", DOCUMENTATION)
    unit.add("Unit", "SourcePath", pod.file)
    if not default_dependencies:
        unit.add("Unit", "DefaultDependencies", "no")
    return unit


def _depends(unit: Unit, *names: str) -> None:
    if names:
        unit.add("Unit", "Requires", " ".join(names))
        unit.add("Unit", "After", " ".join(names))


def _target(pod: HostPod) -> Unit:
    """The pod. Its apps come after it, so that their stop precedes its own: who has stopped it finds nothing mounted.

    An app that fails, be it on its start, stops it by the target for that.
    """
    unit = _new(pod, pod_target(pod.name), f"Pod {pod.name}")
    _depends(unit, pod_service(pod.name))
    unit.add("Unit", "Wants", " ".join(app_socket(pod, app) if app.listen else app_unit(pod, app) for app in pod.apps))
    return unit


def _service(pod: HostPod, tools: Mapping[str, str]) -> Unit:
    name = pod_service(pod.name)
    unit = _new(pod, name, f"Trees and volumes of pod {pod.name}")
    unit.add("Unit", "RequiresMountsFor", pod.directory)
    unit.add("Unit", "PartOf", pod_target(pod.name))
    unit.add("Unit", "StartLimitIntervalSec", "0")
    unit.add("Service", "Type", "oneshot")
    unit.add("Service", "RemainAfterExit", "yes")
    # A oneshot has none of its own, and the boot would wait.
    unit.add("Service", "TimeoutStartSec", "90s")
    volumes = f"{pod.directory}/{VOLUMES}"
    remove = f"{tools['rm']} -rf --one-file-system {volumes}"
    for app in pod.apps:
        unit.add("Service", "ExecStartPre", _helper("tree", app.name, rootfs(pod, app)))
    for ids in dict.fromkeys((app.uid, app.gid, *app.groups) for app in pod.apps):
        if any(ids):
            unit.add("Service", "ExecStartPre", _helper("ids", *map(str, ids)))
    unit.add("Service", "ExecStartPre", remove)
    for volume in pod.volumes.values():
        if volume.kind == EMPTY:
            settings = (f"{volume.mode:04o}", f"{volume.uid}:{volume.gid}")
            unit.add("Service", "ExecStart", _helper("volume", source(pod, volume), *settings))
        elif volume.kind == MEMORY:
            unit.add("Service", "ExecStart", _helper("volume", source(pod, volume), "0755", "0:0"))
    for app in pod.apps:
        for mount in app.mounts:
            volume = mount.volume
            what = (volume.name, volume.must_be, source(pod, volume), rootfs(pod, app), mount.path)
            unit.add("Service", "ExecStart", _helper("mount-point", *what))
    if all(key != "ExecStart" for _, key, _ in unit.settings):
        unit.add("Service", "ExecStart", tools["true"])
    if pod.recorded:
        unit.add("Service", "ExecStartPost", render.keep_record(record_name(pod.name), tools))
        unit.add("Service", "ExecStartPost", f"-{render.GUARD}")
    unit.add("Service", "ExecStopPost", remove)
    if not pod.recorded:
        return unit
    for key, command in render.drop_record(record_name(pod.name), tools):
        unit.add("Service", key, command)
    return unit


def _helper(*arguments: str) -> str:
    return " ".join([HELPER, *map(word, arguments)])


def source(pod: HostPod, volume: HostVolume) -> str:
    """Where a volume is on the host."""
    return volume.source if volume.kind == HOST else f"{pod.directory}/{VOLUMES}/{volume.name}"


def _failed(pod: HostPod) -> Unit:
    unit = _new(pod, failed_target(pod.name), f"Pod {pod.name} has failed")
    unit.add("Unit", "Conflicts", f"{pod_target(pod.name)} {pod_service(pod.name)}")
    unit.add("Unit", "RefuseManualStart", "yes")
    return unit


def _slice(pod: HostPod) -> Unit:
    unit = _new(pod, slice_name(pod.name), f"Processes of pod {pod.name}")
    _limits(unit, "Slice", pod.cpu, pod.memory)
    return unit


def _limits(unit: Unit, section: str, cpu: int, memory: int) -> None:
    if cpu:
        unit.add(section, "CPUQuota", f"{cpu}%")
    if memory:
        unit.add(section, "MemoryMax", str(memory))


def _mount_unit(pod: HostPod, where: str, description: str) -> Unit:
    # By default it would come before local-fs.target, which the pod comes after.
    unit = _new(pod, path_escape(where) + ".mount", description, default_dependencies=False)
    unit.add("Unit", "Conflicts", "umount.target")
    unit.add("Unit", "Before", "umount.target")
    unit.add("Unit", "StartLimitIntervalSec", "0")
    _depends(unit, pod_service(pod.name))
    unit.add("Unit", "After", pod_target(pod.name))
    return unit


def _memory(pod: HostPod, volume: HostVolume) -> Unit:
    where = source(pod, volume)
    unit = _mount_unit(pod, where, f"Volume {volume.name} of pod {pod.name}")
    options = f"mode={volume.mode:04o},uid={volume.uid},gid={volume.gid},nosuid,nodev"
    unit.add("Mount", "What", "tmpfs")
    unit.add("Mount", "Where", where)
    unit.add("Mount", "Type", "tmpfs")
    unit.add("Mount", "Options", f"{options},size={volume.size}" if volume.size else options)
    return unit


def _mount(pod: HostPod, app: HostApp, mount: HostMount) -> Unit:
    where = rootfs(pod, app) + mount.path
    try:
        unit = _mount_unit(pod, where, f"Volume {mount.volume.name} of pod {pod.name} in {app.name}")
        if mount.volume.kind == MEMORY:
            _depends(unit, path_escape(source(pod, mount.volume)) + ".mount")
        unit.add("Unit", "Before", app_unit(pod, app))
        unit.add("Mount", "What", specifiers(source(pod, mount.volume)))
        unit.add("Mount", "Where", specifiers(where))
        unit.add("Mount", "Type", "none")
        unit.add("Mount", "Options", f"bind,{'ro' if mount.read_only else 'rw'},{mount.propagation}")
    except PodError as error:
        raise located(error, mount.where) from None
    return unit


def _socket(pod: HostPod, app: HostApp) -> Unit:
    # By default it would come before sockets.target, which the pod comes after.
    unit = _new(pod, app_socket(pod, app), f"Ports of {app.name} of pod {pod.name}", default_dependencies=False)
    unit.add("Unit", "Conflicts", "shutdown.target")
    unit.add("Unit", "Before", "shutdown.target")
    unit.add("Unit", "PartOf", pod_target(pod.name))
    _depends(unit, pod_service(pod.name))
    unit.add("Unit", "After", pod_target(pod.name))
    unit.add("Unit", "StartLimitIntervalSec", "0")
    unit.add("Socket", "BindIPv6Only", "both")
    unit.add("Socket", "Service", app_unit(pod, app))
    for setting, port in app.listen:
        unit.add("Socket", setting, str(port))
    return unit


def _app(pod: HostPod, app: HostApp, mounts: list[str], before: list[str]) -> Unit:
    unit = _new(pod, app_unit(pod, app), f"{app.name} of pod {pod.name}")
    _depends(unit, pod_service(pod.name), *mounts, *before, *([app_socket(pod, app)] if app.listen else []))
    if pod.recorded:
        unit.add("Unit", "Wants", record_unit(pod.name))
        unit.add("Unit", "After", record_unit(pod.name))
    unit.add("Unit", "After", f"{pod_target(pod.name)} network.target")
    unit.add("Unit", "PartOf", pod_target(pod.name))
    if app.restart == "no":
        # From 254 on, each failure of what is restarted counts.
        unit.add("Unit", "OnFailure", failed_target(pod.name))
    unit.add("Unit", "StartLimitIntervalSec", "0")
    unit.add("Service", "Type", "oneshot" if app.stage == INIT else "exec")
    if app.stage == INIT:
        unit.add("Service", "RemainAfterExit", "yes")
    unit.add("Service", "ExecStart", _command(app.exec))
    for setting, command in app.handlers:
        unit.add("Service", setting, _command(command))
    if "/" not in app.exec[0]:
        unit.add("Service", "ExecSearchPath", specifiers(app.environment["PATH"]))
    unit.add("Service", "Restart", app.restart)
    if app.restart != "no":
        unit.add("Service", "RestartSec", f"{_RESTART_DELAY}s")
    unit.add("Service", "TimeoutStartSec", "infinity")
    if app.grace:
        unit.add("Service", "TimeoutStopSec", f"{app.grace}s")
    unit.add("Service", "KillMode", "mixed")
    unit.add("Service", "Slice", slice_name(pod.name))
    _limits(unit, "Service", app.cpu, app.memory)
    if app.weight:
        unit.add("Service", "CPUWeight", str(app.weight))
    unit.add("Service", "SyslogIdentifier", f"{pod.name}-{app.name}")
    _identity(unit, app)
    _root(unit, pod, app)
    return unit


def _command(arguments: list[str]) -> str:
    return quote_exec(arguments)


def _identity(unit: Unit, app: HostApp) -> None:
    """Who it is. Everything that systemd would take from the host's user of that number is set."""
    unit.add("Service", "User", str(app.uid))
    unit.add("Service", "Group", str(app.gid))
    if app.groups:
        unit.add("Service", "SupplementaryGroups", " ".join(map(str, app.groups)))
    for name, value in app.environment.items():
        unit.add("Service", "Environment", environment(name, value))
    if app.capabilities is not None:
        unit.add("Service", "CapabilityBoundingSet", " ".join(app.capabilities))
    if app.no_new_privileges:
        unit.add("Service", "NoNewPrivileges", "yes")


def _root(unit: Unit, pod: HostPod, app: HostApp) -> None:
    """What it sees."""
    unit.add("Service", "RootDirectory", rootfs(pod, app))
    unit.add("Service", "MountAPIVFS", "yes")
    unit.add("Service", "WorkingDirectory", specifiers(app.directory))
    if not app.privileged:
        # The host's devices and the kernel's settings are no part of the tree.
        unit.add("Service", "PrivateDevices", "yes")
        unit.add("Service", "ProtectKernelTunables", "yes")
        unit.add("Service", "ProtectControlGroups", "yes")
        if all(mount.path != "/dev/shm" for mount in app.mounts):
            # Even a private /dev has the host's.
            unit.add("Service", "TemporaryFileSystem", "/dev/shm:mode=1777,size=64M")
    if app.read_only_root:
        unit.add("Service", "ReadOnlyPaths", "+/")
    for mount in app.mounts:
        if hides(mount.path):
            setting = "BindReadOnlyPaths" if mount.read_only else "BindPaths"
            unit.add("Service", setting, f"{source(pod, mount.volume)}:{mount.path}")
        if app.read_only_root and not mount.read_only:
            unit.add("Service", "ReadWritePaths", setting_word("+" + mount.path))
