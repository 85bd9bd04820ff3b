"""Which volume is mounted where in an app, and whether it can be written to. Pure."""

from __future__ import annotations

from kubens.pods.errors import ManifestError
from kubens.pods.manifest import App, MountPoint, RuntimeApp, Volume
from kubens.pods.targets import located_target, overlap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection


class Bind:
    """A volume mounted in an app. path: absolute, seen from the app's root. where: its JSON path.

    implicit: the volume is one that the manifest does not declare.
    """

    __slots__ = ("implicit", "path", "read_only", "volume", "where")

    def __init__(self, volume: Volume, path: str, read_only: bool, where: str, implicit: bool = False) -> None:
        self.implicit = implicit
        self.volume = volume
        self.path = path
        self.read_only = read_only
        self.where = where


def is_mount_read_only(vol: Volume, mount_points: list[MountPoint]) -> bool:
    """What the volume says, else the first mount point of its name, else no."""
    if vol.readOnly is not None:
        return vol.readOnly
    return next((point.readOnly for point in mount_points if point.name == vol.name), False)


def pod_binds(apps: list[RuntimeApp], volumes: list[Volume]) -> list[list[Bind]]:
    """The binds of each app. Apps do not share volumes that the manifest does not name."""
    declared = {volume.name: volume for volume in volumes}
    taken: set[str] = set()
    binds_of_apps = []
    for ra in apps:
        binds = generate_binds(ra, declared, taken)
        taken.update(bind.volume.name for bind in binds if bind.volume.name not in declared)
        binds_of_apps.append(binds)
    return binds_of_apps


def generate_binds(ra: RuntimeApp, volumes: dict[str, Volume], taken: Collection[str] = ()) -> list[Bind]:
    """What is mounted in an app: its mounts, then those of its mount points that these do not cover.

    Paths are cleaned, nothing that is passed in is changed. taken: names of volumes of other apps. ManifestError for an
    unknown volume and for targets that overlap.
    """
    app = complete_app(ra)
    paths = [_point_path(app, index) for index in range(len(app.mountPoints))]
    flags = _Flags(app.mountPoints, paths)
    binds = [_injected(ra, index, volumes, flags) for index in range(len(ra.mounts))]
    covered = {bind.path for bind in binds}
    implicit: dict[str, Volume] = {}
    for index, (point, path) in enumerate(zip(app.mountPoints, paths)):
        if path in covered:
            continue
        where = f"{app.where}.mountPoints[{index}]"
        volume = volumes.get(point.name) or implicit.get(point.name)
        if volume is None:
            volume = implicit[point.name] = _implicit(ra, point, volumes, taken, where)
        binds.append(Bind(volume, path, flags.read_only(volume, path), where, implicit=point.name in implicit))
    check_overlap(binds)
    return binds


def complete_app(ra: RuntimeApp) -> App:
    """The app's description. A Pod has completed those of its apps."""
    if ra.app is None:
        raise ManifestError(ra.where + ".app", "is missing")
    return ra.app


def check_overlap(binds: list[Bind]) -> None:
    """Refuse two mounts at one path, and one below another: which hides which would depend on their order."""
    found = overlap([(bind.path, bind.where) for bind in binds])
    if found is not None:
        raise found


class _Flags:
    """is_mount_read_only, but the mount point at the path counts before one that has the volume's name.

    Looked up, not searched: a manifest may have a thousand apps with a thousand mount points each.
    """

    __slots__ = ("at_path", "of_name")

    def __init__(self, points: list[MountPoint], paths: list[str]) -> None:
        self.at_path: dict[str, bool] = {}
        self.of_name: dict[str, bool] = {}
        for point, path in zip(points, paths):
            self.at_path[path] = self.at_path.get(path, False) or point.readOnly
            self.of_name.setdefault(point.name, point.readOnly)

    def read_only(self, volume: Volume, path: str) -> bool:
        if volume.readOnly is not None:
            return volume.readOnly
        return self.at_path.get(path, self.of_name.get(volume.name, False))


def _point_path(app: App, index: int) -> str:
    return located_target(app.mountPoints[index].path, f"{app.where}.mountPoints[{index}].path")


def _injected(ra: RuntimeApp, index: int, volumes: dict[str, Volume], flags: _Flags) -> Bind:
    mount = ra.mounts[index]
    where = f"{ra.where}.mounts[{index}]"
    if mount.volume not in volumes:
        raise ManifestError(where + ".volume", f"no volume is named {mount.volume!r}")
    volume = volumes[mount.volume]
    path = located_target(mount.path, where + ".path")
    return Bind(volume, path, flags.read_only(volume, path), where)


def _implicit(
    ra: RuntimeApp, point: MountPoint, volumes: dict[str, Volume], taken: Collection[str], where: str
) -> Volume:
    name = point.name
    if name in taken:
        name = f"{ra.name}-{name}"
    if name in taken or name in volumes:
        raise ManifestError(where + ".name", f"has no volume; declare one, {name!r} is taken")
    return Volume(name, "empty")
