"""Unit files as lists of settings, and what of a pod must be on disk, as data."""

from __future__ import annotations

from kubens.pods.errors import PodError
from kubens.pods.escape import LINE_MAX, UNIT_NAME_MAX


class Unit:
    """A unit file. Settings keep their order; sections are written in the order of their first settings."""

    __slots__ = ("name", "settings")

    def __init__(self, name: str) -> None:
        if len(name) > UNIT_NAME_MAX:
            raise PodError(f"unit name {name[:40]}… has {len(name)} characters, more than {UNIT_NAME_MAX}")
        self.name = name
        self.settings: list[tuple[str, str, str]] = []

    def add(self, section: str, key: str, value: str) -> None:
        """Append a setting. PodError for a value that systemd would read as anything but itself."""
        if not value.isprintable() and ("\n" in value or "\r" in value or "\0" in value):
            raise PodError(f"{key}= of {self.name} would have a line break or a NUL: {value!r}")
        if value.endswith("\\") or value != value.strip(" \t"):
            raise PodError(f"{key}= of {self.name} would lose its end: {value!r}")
        if len(value) > LINE_MAX // 8 and len(value.encode()) + len(key) + 1 > LINE_MAX:
            raise PodError(f"{key}= of {self.name} would be too long with {len(value)} characters")
        self.settings.append((section, key, value))

    def serialize(self) -> str:
        sections: dict[str, list[str]] = {}
        for section, key, value in self.settings:
            sections.setdefault(section, [f"[{section}]\n"]).append(f"{key}={value}\n")
        return "\n".join("".join(lines) for lines in sections.values())


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
