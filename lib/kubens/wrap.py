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
    if last < DROPIN:  # as bytes, too: whatever is not ASCII comes after what is
        return DROPIN
    # "~" comes after the "." of ".conf".
    name = last[: -len(".conf")] + "~kubens.conf"
    try:
        return name if len(escape.check(name).encode()) <= 255 else ""
    except (escape.Unwritable, UnicodeEncodeError):
        return ""


class Wrapper:
    """Makes the drop-ins of one namespace's members. bond: the part that they all have."""

    def __init__(self, namespace: MountNamespace, inventory: Inventory) -> None:
        self.bond = render.body((("Unit", render.dependencies(namespace)),))
        self._namespace = namespace
        self._inventory = inventory
        self._keys = namespace.wrap_commands
        if namespace.when_missing == "host":
            self._front = f"{inventory.kubensenter} -n {namespace.name} -- "
        else:
            self._front = f"{NSENTER} --mount={namespace.pin} "

    def dropin(self, unit: Unit, member: Member) -> str:
        """The text of a member's drop-in, whose unit has no refusals. Raises escape.Unwritable."""
        namespace = self._namespace
        service = losses(unit, member.mode, namespace)[0] if namespace.allow_sandbox_loss else []
        if member.mode == ENV:
            service += render.environment(namespace)
        else:
            self._wrap(unit, service)
        return render.text(f"{member.file}:{member.line}", (("Service", service),), self.bond)

    def _wrap(self, unit: Unit, settings: list[tuple[str, str]]) -> None:
        """Add the unit's commands, wrapped, and what else they need."""
        first = None
        for key in self._keys:
            commands = unit.commands.get(key)
            if commands:
                settings.append((key, ""))
                for command in commands:
                    settings.append((key, self._line(command, unit)))
                if first is None or key == "ExecStart":
                    first = commands[0]
        if sandbox.wants_private_mounts_off(unit):
            settings.append(("PrivateMounts", "no"))
        if first is not None and not unit.last("SyslogIdentifier"):
            identifier = first.program.rpartition("/")[2]
            if _is_flat(identifier):
                settings.append(("SyslogIdentifier", identifier))

    def _line(self, command: Command, unit: Unit) -> str:
        """The command with nsenter in front of it."""
        if unit.plain:
            own = f"{command.program} {command.arguments}" if command.arguments else command.program
        else:
            from kubens import unplain

            own = unplain.line(command, unit, self._inventory)
        return f"{command.marks}{self._front}{own}"


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
