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
        if setting.value:
            found += setting.commands
        else:
            found = []
    return found


def all_commands(unit: Unit) -> list[Command]:
    return [command for key in EXEC_SETTINGS if key in unit.service for command in commands(unit, key)]


def is_renamed(command: Command) -> bool:
    """Whether the process's name is not the path of its program: "@", a short name, or a variable in the path."""
    return bool(
        command.argv0 or not command.program.startswith("/") or ("$" in command.program and command.expands_variables)
    )


def search_path(unit: Unit) -> str:
    """ExecSearchPath= after resets, "" where it says nothing: systemd.exec(5), since 250."""
    found: list[str] = []
    for setting in unit.service.get("ExecSearchPath", ()):
        found = found + setting.value.split(":") if setting.value else []
    return ":".join(found)


# What every release from 247 to 262 knows; of any other a line is refused or not, depending on the release.
_SPECIFIERS = frozenset("abcfghijlmnoprstuvwBCEGHIJLNPRSTUVW")
# An instance's name decides what these make of a path: nothing, slashes, characters that none may have.
_OF_INSTANCE = frozenset("iIjJfP")


def untold(unit: Unit) -> tuple[str, int, str] | None:
    """(file, line, reason) where it depends on the release, or on an instance's name, whether systemd takes a line."""
    types = [setting for setting in unit.service.get("Type", ()) if setting.value]
    if any(setting.value == "notify-reload" for setting in types) and len(commands(unit, "ExecStart")) != 1:
        return types[-1].file, types[-1].line, "Type=notify-reload is not known to every release of systemd"
    for key in EXEC_SETTINGS:
        for setting in unit.service.get(key, ()):
            for command in setting.commands:
                if command.program.endswith(("/.", "/..")):
                    return setting.file, setting.line, f"{command.program} is taken by some releases of systemd only"
                if command.program.strip(syntax.BLANKS) != command.program:
                    return (
                        setting.file,
                        setting.line,
                        "some releases of systemd lose the blank around the program's path",
                    )
                if "|" in command.marks:
                    return (
                        setting.file,
                        setting.line,
                        "the prefix | runs the line through a shell: write the shell itself",
                    )
            if "%" not in setting.value:
                continue
            for letter in _specifiers(setting.value):
                if letter.isascii() and letter.isalnum() and letter not in _SPECIFIERS:
                    return setting.file, setting.line, f"%{letter} in {key}= is not known to every release of systemd"
            for command in setting.commands:
                for letter in _specifiers(command.program):
                    if letter in _OF_INSTANCE or (letter in "nNp" and "\\" in unit.name):
                        reason = f"%{letter} in the program's path may bring anything: write the path itself"
                        return setting.file, setting.line, reason
    return None


def _specifiers(text: str) -> list[str]:
    return [part[:1] for part in text.replace("%%", "").split("%")[1:] if part]


_TYPES = frozenset(("simple", "exec", "forking", "oneshot", "dbus", "notify", "notify-reload", "idle"))


def refused_by_systemd(unit: Unit) -> tuple[str, int, str] | None:
    """(file, line, reason) where systemd would not load the unit: what stops it while reading, and service_verify()."""
    if unit.refused:
        return unit.refused
    found = commands(unit, "ExecStart")
    # A word that is none is ignored, and the assignment before it stands.
    types = [setting.value for setting in unit.service.get("Type", ()) if setting.value in _TYPES]
    oneshot = types[-1:] == ["oneshot"]
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
