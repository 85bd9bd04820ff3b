"""The commands that a unit's Exec*= settings amount to, after drop-ins and resets."""

from __future__ import annotations

from kubens import syntax

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.command import Command
    from kubens.units import Setting, Unit


def located(unit: Unit, key: str) -> list[tuple[Command, Setting]]:
    """The effective commands of one setting, in order, each with the assignment that it stands in."""
    found: list[tuple[Command, Setting]] = []
    for setting in unit.service.get(key, ()):
        if setting.value:
            found += [(command, setting) for command in setting.commands]
        else:
            found = []
    return found


def untold(unit: Unit) -> tuple[str, int, str] | None:
    """(file, line, reason) where it depends on the release, or on an instance's name, whether systemd takes a line."""
    for setting in unit.service.get("Type", ()):
        if setting.value == "notify-reload" and len(unit.commands.get("ExecStart", ())) != 1:
            return (
                setting.file,
                setting.line,
                "Type=notify-reload is not known to every release of systemd: write notify",
            )
    if unit.plain:
        return None
    from kubens import unplain

    return unplain.untold(unit)


_TYPES = frozenset(("simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"))


def refused_by_systemd(unit: Unit) -> tuple[str, int, str] | None:
    """(file, line, reason) where systemd would not load the unit: what stops it while reading, and service_verify()."""
    if unit.refused:
        return unit.refused
    found = unit.commands.get("ExecStart", ())
    if len(found) == 1:
        return None
    # A word that is none is ignored, and the assignment before it stands.
    types = [setting.value for setting in unit.service.get("Type", ()) if setting.value in _TYPES]
    oneshot = types[-1:] == ["oneshot"]
    if len(found) > 1 and not oneshot:
        _, second = located(unit, "ExecStart")[1]
        return second.file, second.line, "more than one ExecStart= and not Type=oneshot"
    if found:
        return None
    if not oneshot:
        return unit.path, 0, "no ExecStart="
    stays = unit.commands.get("ExecStop") and syntax.boolean(unit.last("RemainAfterExit"))
    if stays or unit.last("SuccessAction") not in ("", "none"):
        return None
    return unit.path, 0, "no ExecStart=, and no ExecStop= with RemainAfterExit=yes"
