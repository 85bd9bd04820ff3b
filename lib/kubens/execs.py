"""The commands that a unit's Exec*= settings amount to, after drop-ins and resets."""

from __future__ import annotations

from kubens import command
from kubens.config import EXEC_SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.command import Command
    from kubens.units import Setting, Unit


class Stopped(Exception):
    """A line at which systemd gives up: on the whole unit where it stands in the fragment, else on the drop-in."""

    def __init__(self, setting: Setting, reason: str) -> None:
        super().__init__(reason)
        self.setting = setting


def commands(unit: Unit, key: str) -> list[Command]:
    """The effective commands of one setting, in order. Raises Stopped."""
    found: list[Command] = []
    for setting in unit.service.get(key, ()):
        if not setting.value:
            found = []
            continue
        parsed, bad = command.parse(setting.value)
        for one in parsed:
            one.file, one.line = setting.file, setting.line
        found += parsed
        if bad is not None and bad.fatal:
            raise Stopped(setting, f"{key}={setting.value}: {bad}")
    return found


def all_commands(unit: Unit) -> list[Command]:
    """The commands of all settings; where a line stops systemd, those before it."""
    found: list[Command] = []
    for key in EXEC_SETTINGS:
        if key in unit.service:
            try:
                found += commands(unit, key)
            except Stopped:
                continue
    return found


def search_path(unit: Unit) -> str:
    """ExecSearchPath= after resets, "" where it says nothing: systemd.exec(5), since 250."""
    found: list[str] = []
    for setting in unit.service.get("ExecSearchPath", ()):
        found = found + setting.value.split(":") if setting.value else []
    return ":".join(found)


def refused_by_systemd(unit: Unit) -> tuple[str, int, str] | None:
    """(file, line, reason) where systemd would not load the unit: service_verify() and the rest of its rules."""
    if unit.refused:
        return unit.refused
    for key in EXEC_SETTINGS:
        try:
            found = commands(unit, key)
        except Stopped as stopped:
            if stopped.setting.file == unit.path:
                return unit.path, stopped.setting.line, str(stopped)
            continue
        if key == "ExecStart":
            oneshot = unit.last("Type") == "oneshot"
            if len(found) > 1 and not oneshot:
                return found[1].file, found[1].line, "more than one ExecStart= and not Type=oneshot"
            if not found and not (oneshot or unit.service.get("ExecStop")):
                return unit.path, 0, "no ExecStart="
    return None
