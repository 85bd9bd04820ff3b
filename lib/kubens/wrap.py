"""One unit and one namespace in; the settings of the drop-in out, or why there can be none."""

from __future__ import annotations

from kubens import escape, execs, render, sandbox
from kubens.config import ENV, WRAP
from kubens.files import byte_order
from kubens.finding import ERROR, WARNING, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.command import Command
    from kubens.config import Member, MountNamespace
    from kubens.inventory import Inventory
    from kubens.sandbox_rules import Obstacle
    from kubens.units import Unit

# Which ends last among all drop-ins of a unit, unless somebody chose a name like it.
DROPIN = "zz-kubens.conf"
_DROPIN = DROPIN.encode()

NSENTER = "/usr/bin/nsenter"

# Sets argv[0] and touches nothing else. bash, where there is no perl, leaves SHLVL=0 in the environment.
_PERL = "exec { shift @ARGV } @ARGV or exit 127"
_BASH = 'unset PWD OLDPWD; path=$1; shift; exec -a "$1" -- "$path" "${@:2}"'

# Specifiers that cannot bring a slash with them.
_FLAT_SPECIFIERS = frozenset("inNpjmbHl%")


def refusals(unit: Unit, mode: str, namespace: MountNamespace, inventory: Inventory) -> list[Finding]:
    """Why this unit cannot be a member, one finding a reason; none where it can."""
    found = []
    untold = unit.unreadable or execs.untold(unit)
    if untold:
        file, line, reason = untold
        found.append(Finding(ERROR, file, line, unit.name, f"what systemd would run cannot be told: {reason}"))
    for obstacle in sandbox.obstacles(unit):
        if mode == ENV and obstacle.reason is sandbox.DOMAIN:
            continue
        if namespace.allow_sandbox_loss and obstacle.neutral is not None:
            continue
        found.append(_obstacle(obstacle, unit))
    # Of commands that cannot be told there is nothing more to say.
    for key in namespace.wrap_commands if mode == WRAP and not untold else ():
        found += _bad_commands(unit, key, namespace, inventory)
    directory = working_directory(unit).lstrip("-")
    if mode == WRAP and directory.startswith("~"):
        setting = unit.service["WorkingDirectory"][-1]
        reason = f"WorkingDirectory={setting.value} cannot be told inside: write the directory itself"
        found.append(Finding(ERROR, setting.file, setting.line, unit.name, reason))
    return found


def _obstacle(obstacle: Obstacle, unit: Unit) -> Finding:
    setting = obstacle.setting
    advice = "reset it in a drop-in"
    if obstacle.neutral is not None:
        advice += ", or set AllowSandboxLoss=yes"
    reason = f"{obstacle.key}={setting.value} {obstacle.reason}: {advice}"
    return Finding(ERROR, setting.file, setting.line, unit.name, reason)


def _bad_commands(unit: Unit, key: str, namespace: MountNamespace, inventory: Inventory) -> list[Finding]:
    found = []
    for command in execs.commands(unit, key):
        reason = _bad_command(command, unit, namespace, inventory)
        if reason:
            found.append(Finding(ERROR, command.file, command.line, unit.name, f"{key}={command.program}: {reason}"))
    return found


def _bad_command(command: Command, unit: Unit, namespace: MountNamespace, inventory: Inventory) -> str:
    if command.program.rpartition("/")[2] == "nsenter" and namespace.pin in command.arguments:
        return "enters by itself already: list it in Env=, or take nsenter out of it"
    if (command.arguments or command.argv0)[-1:] in (" ", "\t"):
        return "the blank at the end of its last argument would be lost: quote it"
    if command.argv0.startswith("$") and command.expands_variables:
        return "which argv[0] a variable gives, if any, is not known: write the name itself"
    if "=" in command.program and working_directory(unit).startswith("-"):
        return "a program with = in its path cannot be run in a WorkingDirectory=-: link it to another name"
    if not command.program.startswith("/"):
        search = execs.search_path(unit)
        if "%" in command.program:
            return "a program without a slash and with specifiers cannot be told: write its path"
        if not execs.is_plain(search):
            return f"ExecSearchPath={search} is not made of plain absolute paths: write the program's path"
        if not inventory.programs.get((command.program, search)):
            return "the program is nowhere in the search path: write its path"
    if execs.is_renamed(command) and not _renamer(inventory):
        return "its argv[0] can only be kept with perl or bash, and neither is installed: install one"
    return ""


def _renamer(inventory: Inventory) -> str:
    return inventory.tools.get("perl") or inventory.tools.get("bash") or ""


def working_directory(unit: Unit) -> str:
    """WorkingDirectory= where it means anything but "/"."""
    value = unit.last("WorkingDirectory")
    return "" if value in ("/", "-/") else value


def losses(unit: Unit, mode: str, namespace: MountNamespace) -> tuple[list[tuple[str, str]], list[Finding]]:
    """With AllowSandboxLoss=: the assignments that take the obstacles away, and what to say about each."""
    settings, findings = [], []
    for obstacle in sandbox.obstacles(unit) if namespace.allow_sandbox_loss else ():
        if obstacle.neutral is None or (mode == ENV and obstacle.reason is sandbox.DOMAIN):
            continue
        settings.append(obstacle.neutral)
        setting = obstacle.setting
        reason = f"{obstacle.key}={setting.value} is lost to AllowSandboxLoss=yes: remove that, to keep it"
        findings.append(Finding(WARNING, setting.file, setting.line, unit.name, reason))
    return settings, findings


def last_dropin(units: list[Unit]) -> str:
    """The drop-in of these units whose name sorts last, "" where there is none."""
    if len(units) == 1:
        return units[0].dropins[-1] if units[0].dropins else ""
    last, order = "", b""
    for unit in units:
        # They are in this order in each.
        path = unit.dropins[-1] if unit.dropins else ""
        if path and byte_order(path[path.rindex("/") + 1 :]) > order:
            last, order = path, byte_order(path[path.rindex("/") + 1 :])
    return last


def dropin_name(last: str) -> str:
    """The name that sorts after every other drop-in, of which this is the last; "" for none."""
    last = last[last.rfind("/") + 1 :]
    if byte_order(last) < _DROPIN:
        return DROPIN
    # "~" comes after the "." of ".conf".
    name = last[: -len(".conf")] + "~kubens.conf"
    try:
        return name if len(escape.check(name).encode()) <= 255 else ""
    except (escape.Unwritable, UnicodeEncodeError):
        return ""


def dropin(
    unit: Unit, member: Member, namespace: MountNamespace, inventory: Inventory, bond: list[tuple[str, str]]
) -> str:
    """The text of a member's drop-in, of which bond is what they all have. The unit has no refusals.

    Raises escape.Unwritable.
    """
    service, _ = losses(unit, member.mode, namespace)
    if member.mode == ENV:
        service += render.environment(namespace)
    else:
        service += _wrapped(unit, namespace, inventory)
    return render.text(f"{member.file}:{member.line}", (("Unit", bond), ("Service", service)))


def _wrapped(unit: Unit, namespace: MountNamespace, inventory: Inventory) -> list[tuple[str, str]]:
    settings: list[tuple[str, str]] = []
    first = None
    for key in namespace.wrap_commands:
        commands = execs.commands(unit, key)
        if commands:
            settings.append((key, ""))
            settings += [(key, _line(command, unit, namespace, inventory)) for command in commands]
            if first is None or key == "ExecStart":
                first = commands[0]
    if sandbox.wants_private_mounts_off(unit):
        settings.append(("PrivateMounts", "no"))
    if first is not None and not unit.last("SyslogIdentifier"):
        identifier = first.program[first.program.rindex("/") + 1 :] if "/" in first.program else first.program
        if _is_flat(identifier):
            settings.append(("SyslogIdentifier", identifier))
    return settings


def _is_flat(text: str) -> bool:
    """Whether the specifiers in a file name leave it one."""
    return "%" not in text or all(part[:1] in _FLAT_SPECIFIERS for part in text.replace("%%", "").split("%")[1:])


def fronts(command: Command, unit: Unit, namespace: MountNamespace, inventory: Inventory) -> list[str]:
    """The programs that are executed one after the other before the command's own."""
    found = [NSENTER] if namespace.when_missing != "host" else [inventory.kubensenter, NSENTER]
    directory = working_directory(unit)
    if directory:
        tool = "sh" if directory.startswith("-") else "unshare" if "=" in command.program else "env"
        found.append(inventory.tools[tool])
    if execs.is_renamed(command):
        found.append(_renamer(inventory))
    return found


def _line(command: Command, unit: Unit, namespace: MountNamespace, inventory: Inventory) -> str:
    """The command with nsenter in front of it."""
    words: list[str] = []
    if namespace.when_missing == "host":
        words += [inventory.kubensenter, "-n", namespace.name, "--"]
    else:
        words += [NSENTER, f"--mount={namespace.pin}"]

    def literal(text: str) -> str:
        # Specifiers go on meaning what they mean in the program's place; variables were never expanded there.
        return escape.raw_word(text.replace("$", "$$") if command.expands_variables else text)

    directory = working_directory(unit)
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
        program = inventory.programs[program, execs.search_path(unit)]
    if not argv0:
        words.append(literal(program))
    elif inventory.tools.get("perl"):
        words += [inventory.tools["perl"], "-e", literal(_PERL), literal(program), argv0]
    else:
        words += [inventory.tools["bash"], "-pc", literal(_BASH), "bash", literal(program), argv0]
    if command.arguments:
        words.append(command.arguments)
    line = command.marks + " ".join(words)
    # A backslash at the end of a line would join the next one to it. The blank that kept it from that is stripped.
    return line + " " if line.endswith("\\") else line
