"""What of a pod must be on disk, as data."""

from __future__ import annotations

from kubens.pods.errors import PodError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.pods.units import Unit


class Directory:
    """A directory to be there. It and its missing parents are made with make_mode.

    With mode and owner set it gets them even if it was there before. Paths here are relative to a tree.
    """

    __slots__ = ("make_mode", "mode", "owner", "path")

    def __init__(
        self, path: str, make_mode: int, mode: int | None = None, owner: tuple[int, int] | None = None
    ) -> None:
        self.path = path
        self.make_mode = make_mode
        self.mode = mode
        self.owner = owner


class File:
    """A file to be there with mode 0644."""

    __slots__ = ("data", "owner", "path")

    def __init__(self, path: str, data: bytes, owner: tuple[int, int] | None = None) -> None:
        self.path = path
        self.data = data
        self.owner = owner


class Link:
    """A symbolic link to be there."""

    __slots__ = ("path", "target")

    def __init__(self, path: str, target: str) -> None:
        self.path = path
        self.target = target


class Plan:
    """What must be on disk, in the order in which it is written: directories, files, links."""

    __slots__ = ("directories", "files", "links")

    def __init__(self) -> None:
        self.directories: list[Directory] = []
        self.files: list[File] = []
        self.links: list[Link] = []

    def add_unit(self, unit: Unit, units_dir: str) -> None:
        self.files.append(File(f"{units_dir}/{unit.name}", unit.serialize().encode()))

    def add_want(self, unit_name: str, wants_dir: str) -> None:
        self.links.append(Link(f"{wants_dir}/{unit_name}", "../" + unit_name))

    def add_requirement(self, unit_name: str, by: str, units_dir: str) -> None:
        """Make unit `by` require the unit, as [Install] RequiredBy= does once somebody enables the unit."""
        requires_dir = f"{units_dir}/{by}.requires"
        self.directories.append(Directory(requires_dir, 0o755))
        self.add_want(unit_name, requires_dir)

    def extend(self, other: Plan) -> None:
        self.directories += other.directories
        self.files += other.files
        self.links += other.links

    def check(self) -> None:
        """Refuse two files in one place: an app named `reaper-x` would replace the reaper of app `x`."""
        seen = set()
        for file in self.files:
            if file.path in seen:
                raise PodError(f"two apps of the pod need a file {file.path}; rename one")
            seen.add(file.path)
