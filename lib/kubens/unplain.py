"""Commands that are more than a path and plain arguments: whether they can be told and wrapped, and the line then.

Loaded for units of which command.Command.plain is not true of all that they run.
"""

from __future__ import annotations

from kubens import escape, execs, syntax
from kubens.command import LONG, UNKNOWN_PREFIXES
from kubens.config import EXEC_SETTINGS
from kubens.finding import ERROR, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.command import Command
    from kubens.config import MountNamespace
    from kubens.inventory import Inventory
    from kubens.units import Setting, Unit

_EXEC_SETTINGS = frozenset(EXEC_SETTINGS)

# Sets argv[0] and touches nothing else. bash, where there is no perl, leaves SHLVL=0 in the environment.
_PERL = "exec { shift @ARGV } @ARGV or exit 127"
_BASH = 'unset PWD OLDPWD; path=$1; shift; exec -a "$1" -- "$path" "${@:2}"'

# What every release from 247 to 262 knows; of any other a line is refused or not, depending on the release.
_SPECIFIERS = frozenset("abcfghijlmnoprstuvwBCEGHIJLNPRSTUVW")
# None of them brings more bytes to a name, but those of the unit's name.
_SPECIFIER_MAX = 64
# An instance's name decides what these make of a path: nothing, slashes, characters that none may have.
_OF_INSTANCE = frozenset("iIjJfP")


def untold(unit: Unit) -> tuple[str, int, str] | None:
    """As execs.untold(), for its commands."""
    for key, settings in unit.service.items():
        # The directory becomes a word of each command, which would not be taken for it.
        if key in _EXEC_SETTINGS or key == "WorkingDirectory":
            for setting in settings:
                reason = _untold_commands(setting)
                if not reason and "%" in setting.value:
                    reason = _untold_specifiers(key, setting, unit.name)
                if not reason and _may_be_too_long(setting, unit.name):
                    reason = f"{key}={setting.value[:40]}… may be longer than a path can be: write a shorter one"
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


def _may_be_too_long(setting: Setting, name: str) -> bool:
    """Of such, some releases of systemd take the program or the directory, and some do not."""
    paths = [command.program for command in setting.commands] or [setting.value.lstrip("-")]
    longest = max(_SPECIFIER_MAX, len(name))
    return any(("%" in path or len(path) >= LONG) and syntax.is_too_long(path, longest) for path in paths)


def _specifiers(text: str) -> list[str]:
    return [part[:1] for part in text.replace("%%", "").split("%")[1:] if part]


def refusals(unit: Unit, namespace: MountNamespace, inventory: Inventory) -> list[Finding]:
    """Why its commands cannot be wrapped, one finding a reason."""
    found = []
    for key in namespace.wrap_commands:
        for command, setting in execs.located(unit, key):
            reason = _bad_command(command, unit, namespace, inventory)
            if reason:
                reason = f"{key}={command.program}: {reason}"
                found.append(Finding(ERROR, setting.file, setting.line, unit.name, reason))
    if _working_directory(unit).lstrip("-").startswith("~"):
        setting = unit.service["WorkingDirectory"][-1]
        reason = f"WorkingDirectory={setting.value} cannot be told inside: write the directory itself"
        found.append(Finding(ERROR, setting.file, setting.line, unit.name, reason))
    return found


def _bad_command(command: Command, unit: Unit, namespace: MountNamespace, inventory: Inventory) -> str:
    if command.program.rpartition("/")[2] == "nsenter" and namespace.pin in command.arguments:
        return "enters by itself already: list it in Env=, or take nsenter out of it"
    if (command.arguments or command.argv0)[-1:] in (" ", "\t"):
        return "the blank at the end of its last argument would be lost: quote it"
    if command.argv0.startswith("$") and command.expands_variables:
        return "which argv[0] a variable gives, if any, is not known: write the name itself"
    if "=" in command.program and _working_directory(unit).startswith("-"):
        return "a program with = in its path cannot be run in a WorkingDirectory=-: link it to another name"
    if not command.program.startswith("/"):
        search = search_path(unit)
        if "%" in command.program:
            return "a program without a slash and with specifiers cannot be told: write its path"
        if not _is_plain_path(search):
            return f"ExecSearchPath={search} is not made of plain absolute paths: write the program's path"
        if not inventory.programs.get((command.program, search)):
            return "the program is nowhere in the search path: write its path"
    if is_renamed(command) and not _renamer(inventory):
        return "its argv[0] can only be kept with perl or bash, and neither is installed: install one"
    return ""


def all_commands(unit: Unit) -> list[Command]:
    return [command for commands in unit.commands.values() for command in commands]


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


def _is_plain_path(search: str) -> bool:
    """Whether a search path is read alike by all releases: of others some stop half-way, and some go on."""
    return _ODD_IN_PATH.isdisjoint(search) and all(
        part.startswith("/") and ".." not in part.split("/") for part in (search.split(":") if search else ())
    )


_ODD_IN_PATH = frozenset("%\\\"'")


def _renamer(inventory: Inventory) -> str:
    return inventory.tools.get("perl") or inventory.tools.get("bash") or ""


def _working_directory(unit: Unit) -> str:
    """WorkingDirectory= where it means anything but "/"."""
    value = unit.last("WorkingDirectory")
    return "" if value in ("/", "-/") else value


def fronts(command: Command, unit: Unit, inventory: Inventory) -> list[str]:
    """The programs that are executed between the one that enters and the command's own."""
    found = []
    directory = _working_directory(unit)
    if directory:
        tool = "sh" if directory.startswith("-") else "unshare" if "=" in command.program else "env"
        found.append(inventory.tools[tool])
    if is_renamed(command):
        found.append(_renamer(inventory))
    return found


def line(command: Command, unit: Unit, inventory: Inventory) -> str:
    """The command as it stands behind what enters the namespace. Raises escape.Unwritable."""
    words: list[str] = []

    def literal(text: str) -> str:
        # Specifiers go on meaning what they mean in the program's place; variables were never expanded there.
        return escape.raw_word(text.replace("$", "$$") if command.expands_variables else text)

    directory = _working_directory(unit)
    if directory.startswith("-"):
        script = 'cd -- "$0" 2>/dev/null; exec env -u OLDPWD -u PWD -u SHLVL -u _ -- "$@"'
        words += [inventory.tools["sh"], "-c", literal(script), literal(directory[1:])]
    elif directory and "=" in command.program:
        # env(1) would take the program for an assignment.
        words += [inventory.tools["unshare"], literal(f"--wd={directory}"), "--"]
    elif directory:
        words += [inventory.tools["env"], "-C", literal(directory)]
    program = command.program
    argv0 = command.argv0
    if "$" in program and command.expands_variables and not argv0:
        # Of the path nothing is expanded, of argv[0] everything.
        argv0 = escape.raw_word(program)
    if not program.startswith("/"):
        # systemd hands the short name on as argv[0].
        argv0 = argv0 or literal(program)
        program = inventory.programs[program, search_path(unit)]
    if not argv0:
        words.append(literal(program))
    elif inventory.tools.get("perl"):
        words += [inventory.tools["perl"], "-e", literal(_PERL), literal(program), argv0]
    else:
        words += [inventory.tools["bash"], "-pc", literal(_BASH), "bash", literal(program), argv0]
    if command.arguments:
        words.append(command.arguments)
    text = " ".join(words)
    # A backslash at the end of a line would join the next one to it. The blank that kept it from that is stripped.
    return text + " " if text.endswith("\\") else text
