"""A pod: its directory, its manifest and the images of its apps."""

from __future__ import annotations

import os

from kubens.pods.errors import ManifestError, PodError
from kubens.pods.escape import join
from kubens.pods.layout import FLAVOR_FILE, rel_app_rootfs_path, stage1_rootfs_path
from kubens.pods.manifest import (
    ImageManifest,
    PodManifest,
    RuntimeApp,
)
from kubens.pods.parser import parse_image_manifest, parse_pod_manifest

_HEX = frozenset("0123456789abcdef")


class Pod:
    """A pod whose every app is known.

    root: the pod's directory. images: an ImageManifest for every app, by the app's name. The manifest is kept
    as a copy in which an app that it left out is its image's. PodError where there is neither, or no image.
    """

    __slots__ = ("images", "manifest", "metadata_service_url", "networks", "root", "uuid")

    def __init__(
        self,
        root: str,
        uuid: object,
        manifest: PodManifest,
        images: dict[str, ImageManifest],
        metadata_service_url: str = "",
        networks: list[str] | None = None,
    ) -> None:
        self.root = os.fspath(root)
        self.uuid = _dashed(str(uuid))
        self.images = images
        self.manifest = PodManifest(
            apps=[_complete(ra, images) for ra in manifest.apps],
            volumes=manifest.volumes,
            isolators=manifest.isolators,
            annotations=manifest.annotations,
            ports=manifest.ports,
            acVersion=manifest.acVersion,
        )
        self.metadata_service_url = metadata_service_url
        self.networks = networks or []


def load_pod(root: str, uuid: object) -> Pod:
    """The pod that stage0 prepared in root: its manifest `pod`, and the manifest of each app's image."""
    manifest = parse_pod_manifest(_read(join(root, "pod")))
    images = {}
    for ra in manifest.apps:
        app_dir = os.path.dirname(rel_app_rootfs_path(ra.name))
        path = join(stage1_rootfs_path(root), app_dir, "manifest")
        try:
            images[ra.name] = parse_image_manifest(_read(path))
        except ManifestError as error:
            raise PodError(f"{path}: {error}") from error
    return Pod(root, uuid, manifest, images)


def get_app_hashes(pod: Pod) -> list[str]:
    """The ids of the apps' images, in the manifest's order."""
    return [ra.image.id for ra in pod.manifest.apps]


def get_machine_id(pod: Pod) -> str:
    """The name under which systemd-nspawn registers the pod. It is no machine-id(5)."""
    return "rkt-" + pod.uuid


def get_flavor(pod: Pod) -> tuple[str, str]:
    """The pod's flavor and the version of its systemd; flavor `host` has none of its own."""
    rootfs = stage1_rootfs_path(pod.root)
    try:
        flavor = os.readlink(join(rootfs, FLAVOR_FILE))
    except OSError as error:
        raise PodError(f"cannot determine flavor: {error}") from error
    if flavor == "host":
        return flavor, ""
    try:
        version = _read(join(rootfs, "systemd-version"))
    except OSError as error:
        raise PodError(f"cannot determine the version of systemd: {error}") from error
    return flavor, version.strip(" \n")


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _dashed(uuid: str) -> str:
    digits = uuid.replace("-", "").lower()
    if len(digits) != 32 or not _HEX.issuperset(digits):
        raise PodError(f"{uuid!r} is no UUID")
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _complete(ra: RuntimeApp, images: dict[str, ImageManifest]) -> RuntimeApp:
    if ra.name not in images:
        raise ManifestError(ra.where + ".name", f"there is no image manifest for app {ra.name!r}")
    app = ra.app or images[ra.name].app
    if app is None:
        raise ManifestError(ra.where + ".app", "is missing, and so it is in the manifest of the app's image")
    return RuntimeApp(ra.name, ra.image, app, ra.mounts, ra.annotations, ra.where)
