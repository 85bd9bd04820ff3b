"""The commands that a unit's Exec*= settings amount to, after drop-ins and resets."""

from __future__ import annotations

from kubens import syntax
from kubens.config import EXEC_SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.command import Command
    from kubens.units import Unit


def commands(unit: Unit, key: str) -> list[Command]:
    """The effective commands of one setting, in order."""
    found: list[Command] = []
    for setting in unit.service.get(key, ()):
        found = found + setting.commands if setting.value else []
    return found


def all_commands(unit: Unit) -> list[Command]:
    return [command for key in EXEC_SETTINGS for command in commands(unit, key)]


def search_path(unit: Unit) -> str:
    """ExecSearchPath= after resets, "" where it says nothing: systemd.exec(5), since 250."""
    found: list[str] = []
    for setting in unit.service.get("ExecSearchPath", ()):
        found = found + setting.value.split(":") if setting.value else []
    return ":".join(found)


def refused_by_systemd(unit: Unit) -> tuple[str, int, str] | None:
    """(file, line, reason) where systemd would not load the unit: what stops it while reading, and service_verify()."""
    if unit.refused:
        return unit.refused
    found = commands(unit, "ExecStart")
    oneshot = unit.last("Type") == "oneshot"
    if len(found) > 1 and not oneshot:
        return found[1].file, found[1].line, "more than one ExecStart= and not Type=oneshot"
    if found:
        return None
    if not oneshot:
        return unit.path, 0, "no ExecStart="
    stays = commands(unit, "ExecStop") and syntax.boolean(unit.last("RemainAfterExit"))
    if stays or unit.last("SuccessAction") not in ("", "none"):
        return None
    return unit.path, 0, "no ExecStart=, and no ExecStop= with RemainAfterExit=yes"
