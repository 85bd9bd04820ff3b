"""A unit file as a list of settings, none of which systemd reads as anything but itself."""

from __future__ import annotations

from kubens.pods.errors import PodError
from kubens.pods.escape import LINE_MAX, UNIT_NAME_MAX, is_noncharacter


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
        if not value.isprintable():
            if "\n" in value or "\r" in value or "\0" in value:
                raise PodError(f"{key}= of {self.name} would have a line break or a NUL: {value!r}")
            if any(map(is_noncharacter, value)):
                raise PodError(f"{key}= of {self.name} would have a character that Unicode has none of: {value!r}")
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
