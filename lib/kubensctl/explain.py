"""`kubensctl explain`: where each part of a unit's commands comes from, what is put in front, or what refuses it."""

from __future__ import annotations

import argparse

from kubens import names, syntax
from kubens.config import ENV, EXEC_SETTINGS, JOIN, WRAP, Member, MountNamespace
from kubens.files import Root
from kubens.finding import ERROR, Finding
from kubens.units import Unit
from kubensctl import planning, report, terminal
from kubensctl.failure import Failure
from kubensctl.planning import GENERATED, Configured, Planned
from kubensctl.terminal import BOLD, GREEN, GREY, PLAIN, RED, Painted, Terminal, printable
from kubensctl.verbs import Verbs, add_root

_KEYS = {WRAP: "Wrap=", ENV: "Env=", JOIN: "Services="}


def declare(verbs: Verbs) -> None:
    summary = "say where each part of a unit's commands comes from, and what is put in front"
    verb = verbs.add("explain", summary, "  kubensctl explain kubelet", run)
    verb.add_argument("unit", metavar="UNIT", help="the unit; .service is understood")
    add_root(verb)


def run(arguments: argparse.Namespace) -> int:
    root = Root(arguments.root)
    planned = planning.make(root)
    unit = load(root, arguments.unit, planned)
    out = terminal.standard_output()
    found = memberships(planned, unit)
    _show_head(out, planned, unit, found)
    commands = [key for namespace, member in found if member.mode == WRAP for key in wrapped_commands(namespace)]
    for key in EXEC_SETTINGS:
        if key in unit.service:
            _show_setting(out, unit, key, key in commands)
    if not planned.switched_off:
        _show_dropins(out, planned, unit)
    _show_refusals(out, planned, unit, found)
    return 0


def wrapped_commands(namespace: Configured) -> tuple[str, ...]:
    return namespace.wrap_commands if isinstance(namespace, MountNamespace) else ()


def load(root: Root, name: str, planned: Planned) -> Unit:
    """The unit of that name, ".service" being understood. Raises Failure."""
    name = name if names.kind(name) else name + ".service"
    if not names.kind(name):
        raise Failure(f"{name}: not a unit name")
    units = planning.load_units(root)
    unit = units.load(name)
    if unit is None and any(name in tree.units or name in tree.early for tree in planned.plan.trees):
        raise Failure(f"{name} is made by kubens itself, to be seen with: kubensctl plan")
    if unit is None:
        raise Failure(f"{name}: {'masked' if units.lookup.find(name) == 'masked' else 'not installed'}")
    return unit


def memberships(planned: Planned, unit: Unit) -> list[tuple[Configured, Member]]:
    """The namespaces that the unit is declared for, and where; one of a kind at most."""
    found: dict[type, tuple[Configured, Member]] = {}
    for namespace in planned.all_namespaces:
        for listed, member in planned.members(namespace).items():
            named = planned.inventory.units.get(listed)
            if named is not None and named.name in (unit.name, names.template_of(unit.name)):
                found.setdefault(type(namespace), (namespace, member))
    return list(found.values())


def _show_head(out: Terminal, planned: Planned, unit: Unit, found: list[tuple[Configured, Member]]) -> None:
    out.line(out.paint(unit.name, BOLD))
    _field(out, "Unit file", unit.path)
    for number, dropin in enumerate(unit.dropins):
        _field(out, "" if number else "Drop-ins", dropin)
    if not found:
        _field(out, "Namespace", "none: kubens leaves it as it is")
    for namespace, member in found:
        title = "Namespace" if isinstance(namespace, MountNamespace) else "Network"
        _field(out, title, f"{namespace.name}, by {_KEYS[member.mode]} in {member.file}:{member.line}")
        _field(out, "Outcome", *_outcome(planned, unit, namespace, member))


def _outcome(planned: Planned, unit: Unit, namespace: Configured, member: Member) -> Painted:
    if planned.switched_off:
        return "none: kubens=0 is on the kernel command line", RED
    if planned.dropin(unit, namespace) is None:
        return ("refused" if _refusals(planned, unit, namespace) else "left as it is"), RED
    if planned.errors_about(member.unit):
        return "kept from starting outside while the namespace lives", RED
    return {WRAP: "wrapped", ENV: "told by $KUBENSMNT", JOIN: "joins"}[member.mode], GREEN


def _field(out: Terminal, name: str, text: str, colour: str = PLAIN) -> None:
    out.line(f"{name + ':' if name else '':>11} {out.paint(printable(text), colour)}")


def _show_setting(out: Terminal, unit: Unit, key: str, wrapped: bool) -> None:
    """The assignments of one setting as systemd applies them: an empty one resets all above it."""
    settings = unit.service[key]
    resets = [number for number, setting in enumerate(settings) if not setting.value]
    alive_from = resets[-1] if resets else 0
    rows: list[list[Painted]] = []
    for number, setting in enumerate(settings):
        place = (printable(f"{setting.file}:{setting.line}"), PLAIN)
        if not setting.value:
            rows.append([place, ("resets", PLAIN), (f"{key}=", PLAIN if number == alive_from else GREY)])
        elif number < alive_from:
            rows.append([place, ("reset below", GREY), (printable(f"{key}={setting.value}"), GREY)])
        else:
            rows.append([place, ("", PLAIN), (printable(f"{key}={setting.value}"), BOLD)])
    note = "" if wrapped else " (stays as it is)"
    out.line(f"\n{key}={note}, in the order systemd applies it:" if len(rows) > 1 else f"\n{key}={note}:")
    out.table(rows, indent=2)


def _show_dropins(out: Terminal, planned: Planned, unit: Unit) -> None:
    dropins = planned.dropins(unit)
    for number, (path, text) in enumerate(dropins.items(), 1):
        out.line(f"\nApplied {'last' if number == len(dropins) else 'then'}, {GENERATED}/{path}:")
        for section, _, assignments in syntax.parse(text).sections:
            out.line(f"  [{section}]")
            for key, value, _ in assignments:
                out.line("  " + _painted(out, unit, key, value))


def _show_refusals(out: Terminal, planned: Planned, unit: Unit, found: list[tuple[Configured, Member]]) -> None:
    refusals: list[Finding] = []
    for namespace, member in found:
        for finding in planned.errors_about(member.unit) or _refusals(planned, unit, namespace):
            if finding not in refusals:
                refusals.append(finding)
    if refusals:
        out.line("\nWhy not:")
        report.show(out, planned.root, refusals)


def _refusals(planned: Planned, unit: Unit, namespace: Configured) -> list[Finding]:
    """The errors for which this unit, or with it the whole namespace, is refused."""
    units = {namespace.record_unit, unit.name}
    places = {(namespace.file, namespace.line)}
    if isinstance(namespace, MountNamespace):
        units.add(namespace.unit)
        for listed in planned.members(namespace):
            loaded = planned.inventory.units.get(listed)
            units.update((listed, loaded.name if loaded else listed))
    else:
        # Here each member is refused for itself.
        units.update((namespace.maker, *namespace.units))
        places.update(namespace.types.values())
    return [
        finding
        for finding in planned.plan.findings
        if finding.severity == ERROR
        and (finding.unit in units or not finding.file or (not finding.unit and (finding.file, finding.line) in places))
    ]


def _painted(out: Terminal, unit: Unit, key: str, value: str) -> str:
    """The assignment with what kubens put in front of the original command in colour."""
    if key in EXEC_SETTINGS:
        for command in unit.commands.get(key, ()):
            end = value.find(f" {command.program}", 1)
            if end > 0 and value.endswith(command.arguments):
                return f"{key}={out.paint(printable(value[:end]), GREEN)}{printable(value[end:])}"
    return f"{key}={printable(value)}"
