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
    if mode == WRAP and not unit.plain and not untold:
        from kubens import unplain

        found += unplain.refusals(unit, namespace, inventory)
    return found


def _obstacle(obstacle: Obstacle, unit: Unit) -> Finding:
    setting = obstacle.setting
    advice = "reset it in a drop-in"
    if obstacle.neutral is not None:
        advice += ", or set AllowSandboxLoss=yes"
    reason = f"{obstacle.key}={setting.value} {obstacle.reason}: {advice}"
    return Finding(ERROR, setting.file, setting.line, unit.name, reason)


def losses(unit: Unit, mode: str, namespace: MountNamespace) -> tuple[list[tuple[str, str]], list[Finding]]:
    """With AllowSandboxLoss=: the assignments that take the obstacles away, and what to say about each."""
    settings, findings = [], []
    for obstacle in sandbox.obstacles(unit):
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


def dropin(unit: Unit, member: Member, namespace: MountNamespace, inventory: Inventory, bond: str) -> str:
    """The text of a member's drop-in, of which bond is the part that they all have. The unit has no refusals.

    Raises escape.Unwritable.
    """
    service = losses(unit, member.mode, namespace)[0] if namespace.allow_sandbox_loss else []
    if member.mode == ENV:
        service += render.environment(namespace)
    else:
        service += _wrapped(unit, namespace, inventory)
    return render.text(f"{member.file}:{member.line}", (("Service", service),), bond)


def _wrapped(unit: Unit, namespace: MountNamespace, inventory: Inventory) -> list[tuple[str, str]]:
    settings: list[tuple[str, str]] = []
    first = None
    for key in namespace.wrap_commands:
        commands = unit.commands.get(key)
        if commands:
            settings.append((key, ""))
            settings += [(key, _line(command, unit, namespace, inventory)) for command in commands]
            if first is None or key == "ExecStart":
                first = commands[0]
    if sandbox.wants_private_mounts_off(unit):
        settings.append(("PrivateMounts", "no"))
    if first is not None and not unit.last("SyslogIdentifier"):
        identifier = first.program.rpartition("/")[2]
        if _is_flat(identifier):
            settings.append(("SyslogIdentifier", identifier))
    return settings


def _is_flat(text: str) -> bool:
    """Whether the specifiers in a file name leave it one."""
    return "%" not in text or all(part[:1] in _FLAT_SPECIFIERS for part in text.replace("%%", "").split("%")[1:])


def fronts(command: Command, unit: Unit, namespace: MountNamespace, inventory: Inventory) -> list[str]:
    """The programs that are executed one after the other before the command's own."""
    found = [NSENTER] if namespace.when_missing != "host" else [inventory.kubensenter, NSENTER]
    if not unit.plain:
        from kubens import unplain

        found += unplain.fronts(command, unit, inventory)
    return found


def _line(command: Command, unit: Unit, namespace: MountNamespace, inventory: Inventory) -> str:
    """The command with nsenter in front of it."""
    if namespace.when_missing == "host":
        front = f"{inventory.kubensenter} -n {namespace.name} -- "
    else:
        front = f"{NSENTER} --mount={namespace.pin} "
    if unit.plain:
        own = f"{command.program} {command.arguments}" if command.arguments else command.program
    else:
        from kubens import unplain

        own = unplain.line(command, unit, inventory)
    return command.marks + front + own
