"""The commands that a unit's Exec*= settings amount to, after drop-ins and resets."""

from __future__ import annotations

from kubens import syntax
from kubens.command import UNKNOWN_PREFIXES
from kubens.config import EXEC_SETTINGS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.command import Command
    from kubens.units import Setting, Unit


_EXEC_SETTINGS = frozenset(EXEC_SETTINGS)


def commands(unit: Unit, key: str) -> list[Command]:
    """The effective commands of one setting, in order."""
    found = unit.commands.get(key)
    if found is None:
        found = []
        for setting in unit.service.get(key, ()):
            if setting.value:
                found += setting.commands
            else:
                found = []
        unit.commands[key] = found
    return found


def all_commands(unit: Unit) -> list[Command]:
    found = []
    for key in unit.service:
        if key in _EXEC_SETTINGS:
            found += commands(unit, key)
    return found


def is_renamed(command: Command) -> bool:
    """Whether the process's name is not the path of its program: "@", a short name, or a variable in the path."""
    program = command.program
    return program[:1] != "/" or command.argv0 != "" or ("$" in program and command.expands_variables)


def search_path(unit: Unit) -> str:
    """ExecSearchPath= after resets, "" where it says nothing: systemd.exec(5), since 250."""
    found: list[str] = []
    for setting in unit.service.get("ExecSearchPath", ()):
        found = found + setting.value.split(":") if setting.value else []
    return ":".join(found)


def is_plain(search: str) -> bool:
    """Whether a search path is read alike by all releases: of others some stop half-way, and some go on."""
    return _ODD_IN_PATH.isdisjoint(search) and all(
        part.startswith("/") and ".." not in part.split("/") for part in (search.split(":") if search else ())
    )


_ODD_IN_PATH = frozenset("%\\\"'")


# What every release from 247 to 262 knows; of any other a line is refused or not, depending on the release.
_SPECIFIERS = frozenset("abcfghijlmnoprstuvwBCEGHIJLNPRSTUVW")
# An instance's name decides what these make of a path: nothing, slashes, characters that none may have.
_OF_INSTANCE = frozenset("iIjJfP")


def untold(unit: Unit) -> tuple[str, int, str] | None:
    """(file, line, reason) where it depends on the release, or on an instance's name, whether systemd takes a line."""
    for setting in unit.service.get("Type", ()):
        if setting.value == "notify-reload" and len(commands(unit, "ExecStart")) != 1:
            return (
                setting.file,
                setting.line,
                "Type=notify-reload is not known to every release of systemd: write notify",
            )
    for key, settings in unit.service.items():
        # The directory becomes a word of each command, which would not be taken for it.
        if key in _EXEC_SETTINGS or key == "WorkingDirectory":
            for setting in settings:
                reason = _untold_commands(setting)
                if not reason and "%" in setting.value:
                    reason = _untold_specifiers(key, setting, unit.name)
                if reason:
                    return setting.file, setting.line, reason
    return None


def _untold_commands(setting: Setting) -> str:
    for command in setting.commands:
        program = command.program
        if program[-1:] in ". \t\n\r" or program[:1] in syntax.BLANKS:
            if program.endswith(("/.", "/..")):
                return f"{program} is taken by some releases of systemd only: write the path of a file"
            if program.strip(syntax.BLANKS) != program:
                return "some releases of systemd lose the blank around the program's path: remove it"
        if program[:1] in UNKNOWN_PREFIXES:
            return f"{program[0]} in front of {program[1:]} may be a prefix of a later systemd: write another path"
        if "|" in command.marks:
            return "the prefix | runs the line through a shell: write the shell itself"
    return ""


def _untold_specifiers(key: str, setting: Setting, name: str) -> str:
    for letter in _specifiers(setting.value):
        if letter.isascii() and letter.isalnum() and letter not in _SPECIFIERS:
            return f"%{letter} in {key}= is not known to every release of systemd: write what it stands for"
    for command in setting.commands:
        for letter in _specifiers(command.program):
            if letter in _OF_INSTANCE or (letter in "nNp" and "\\" in name):
                return f"%{letter} in the program's path may bring anything: write the path itself"
    return ""


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
