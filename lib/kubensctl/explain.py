"""`kubensctl explain`: where each part of a unit's commands comes from, what is put in front, or what refuses it."""

from __future__ import annotations

import argparse

from kubens import execs, names, syntax
from kubens.config import ENV, EXEC_SETTINGS, WRAP, Member, MountNamespace
from kubens.files import Root
from kubens.finding import ERROR, Finding
from kubens.units import Unit
from kubensctl import planning, report, terminal
from kubensctl.failure import Failure
from kubensctl.planning import GENERATED, Planned
from kubensctl.terminal import BOLD, GREEN, GREY, PLAIN, RED, Painted, Terminal, printable
from kubensctl.verbs import Verbs, add_root

_KEYS = {WRAP: "Wrap=", ENV: "Env="}


def declare(verbs: Verbs) -> None:
    summary = "say where each part of a unit's commands comes from, and what is put in front"
    verb = verbs.add("explain", summary, "  kubensctl explain kubelet", run)
    verb.add_argument("unit", metavar="UNIT", help="the unit; .service is understood")
    add_root(verb)


def run(arguments: argparse.Namespace) -> int:
    root = Root(arguments.root)
    planned = planning.make(root)
    unit = load(root, arguments.unit)
    found = membership(planned, unit)
    out = terminal.standard_output()
    _show_head(out, planned, unit, found)
    commands = found[0].wrap_commands if found and found[1].mode == WRAP else ()
    for key in EXEC_SETTINGS:
        if key in unit.service:
            _show_setting(out, unit, key, key in commands)
    if found is not None:
        _show_outcome(out, planned, unit, *found)
    return 0


def load(root: Root, name: str) -> Unit:
    """The unit of that name, ".service" being understood. Raises Failure."""
    name = name if names.kind(name) else name + ".service"
    if not names.kind(name):
        raise Failure(f"{name}: not a unit name")
    units = planning.load_units(root)
    unit = units.load(name)
    if unit is None:
        raise Failure(f"{name}: {'masked' if units.find(name) == 'masked' else 'not installed'}")
    return unit


def membership(planned: Planned, unit: Unit) -> tuple[MountNamespace, Member] | None:
    """The namespace that the unit is declared for, and where."""
    for namespace in planned.namespaces:
        for listed, member in planned.members(namespace).items():
            named = planned.inventory.units.get(listed)
            if named is not None and named.name in (unit.name, names.template_of(unit.name)):
                return namespace, member
    return None


def _show_head(out: Terminal, planned: Planned, unit: Unit, found: tuple[MountNamespace, Member] | None) -> None:
    out.line(out.paint(unit.name, BOLD))
    _field(out, "Unit file", unit.path)
    for number, dropin in enumerate(unit.dropins):
        _field(out, "" if number else "Drop-ins", dropin)
    if found is None:
        _field(out, "Namespace", "none: kubens leaves it as it is")
        return
    namespace, member = found
    _field(out, "Namespace", f"{namespace.name}, by {_KEYS[member.mode]} in {member.file}:{member.line}")
    if planned.switched_off:
        _field(out, "Outcome", "none: kubens=0 is on the kernel command line", RED)
    elif planned.dropin(unit) is None:
        _field(out, "Outcome", "refused" if _refusals(planned, unit, namespace) else "left as it is", RED)
    elif planned.errors_about(member.unit):
        _field(out, "Outcome", "kept from starting outside while the namespace lives", RED)
    else:
        _field(out, "Outcome", {WRAP: "wrapped", ENV: "told by $KUBENSMNT"}[member.mode], GREEN)


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


def _show_outcome(out: Terminal, planned: Planned, unit: Unit, namespace: MountNamespace, member: Member) -> None:
    dropin = planned.dropin(unit)
    if dropin is not None and not planned.switched_off:
        path, text = dropin
        out.line(f"\nApplied last, {GENERATED}/{path}:")
        for section in syntax.parse(text).sections:
            out.line(f"  [{section.name}]")
            for key, value, _ in section.assignments:
                out.line("  " + _painted(out, unit, key, value))
    refusals = planned.errors_about(member.unit) or _refusals(planned, unit, namespace)
    if refusals:
        out.line("\nWhy not:")
        report.show(out, planned.root, refusals)


def _refusals(planned: Planned, unit: Unit, namespace: MountNamespace) -> list[Finding]:
    """The errors for which this unit, or with it the whole namespace, is refused."""
    units = {namespace.unit, namespace.record_unit, unit.name}
    for listed in planned.members(namespace):
        loaded = planned.inventory.units.get(listed)
        units.update((listed, loaded.name if loaded else listed))
    return [finding for finding in planned.plan.findings
            if finding.severity == ERROR and (finding.unit in units or not finding.file)]  # fmt: skip


def _painted(out: Terminal, unit: Unit, key: str, value: str) -> str:
    """The assignment with what kubens put in front of the original command in colour."""
    if key in EXEC_SETTINGS:
        for command in execs.commands(unit, key):
            end = value.find(f" {command.program}", 1)
            if end > 0 and value.endswith(command.arguments):
                return f"{key}={out.paint(printable(value[:end]), GREEN)}{printable(value[end:])}"
    return f"{key}={printable(value)}"
