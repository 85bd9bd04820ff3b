"""`kubensctl status`: is it working? What is configured, next to what really runs."""

from __future__ import annotations

import argparse
import json
import sys

from kubens.files import Root
from kubensctl import manager, namespaces, planning, processes, terminal
from kubensctl.failure import Failure
from kubensctl.members import INSIDE, KINDS, MISSING, OUTSIDE, REFUSED, STOPPED, Member, Namespace
from kubensctl.mounts import Mounts
from kubensctl.networks import Interface, Network
from kubensctl.planning import Planned
from kubensctl.survivors import Survivor
from kubensctl.terminal import BOLD, GREEN, GREY, PLAIN, RED, YELLOW, Painted, Terminal, printable
from kubensctl.verbs import Verbs, add_json

_COLOURS = {INSIDE: GREEN, OUTSIDE: YELLOW, STOPPED: GREY, REFUSED: RED, MISSING: GREY}
_UNITS = {"active": GREEN, "failed": RED}
NOT_AS_CONFIGURED = 3


EXAMPLES = """\
  kubensctl status                      all namespaces
  kubensctl status kubens --json        one of them, for a program

Exit status: 0 all is as configured, 3 something is not, 1 systemd could not be asked."""


def declare(verbs: Verbs) -> None:
    verb = verbs.add("status", "show each namespace, and whether its services really run in it", EXAMPLES, run)
    verb.add_argument("name", metavar="NAME", nargs="?", help="this namespace only")
    add_json(verb)


def run(arguments: argparse.Namespace) -> int:
    bus = manager.connect()
    planned = planning.make(Root())
    found = namespaces.named(planned, bus, arguments.name)
    if arguments.name is not None and not found:
        raise Failure(f"no namespace {arguments.name} is configured, and none lives")
    if arguments.json:
        json.dump({"namespaces": [namespace.as_json() for namespace in found]}, sys.stdout, indent=2)
        print()
    else:
        _show_all(terminal.standard_output(), planned, found)
    if any(namespace.inode for namespace in found) and not processes.all_can_be_seen():
        terminal.standard_error().line("kubensctl: only root can see which namespace each process is in")
    return 0 if all(namespace.is_well for namespace in found) and not planned.plan.has_errors else NOT_AS_CONFIGURED


def _show_all(out: Terminal, planned: Planned, found: list[Namespace]) -> None:
    if not found:
        out.line("No namespace is configured. To begin: kubensctl wrap UNIT…")
    for number, namespace in enumerate(found):
        if number:
            out.line()
        _show(out, namespace)
    if planned.plan.has_errors:
        out.line(out.paint("\nThe configuration has errors: kubensctl check", RED))


def _show(out: Terminal, namespace: Namespace) -> None:
    colour = (GREEN if namespace.active else PLAIN) if namespace.is_well else (YELLOW if namespace.active else RED)
    out.line(f"{out.paint('●', colour)} {out.paint(namespace.name, BOLD)} - {namespace.kind} namespace")
    waits = namespace.is_well and not namespace.active
    active = out.paint("active", GREEN) if namespace.active else out.paint("inactive", PLAIN if waits else RED)
    if namespace.inode:
        active += f", pinned at {namespace.pin} ({KINDS[namespace.kind]}:[{namespace.inode}])"
    elif waits:
        active += ", until a service needs it"
    _field(out, "Active", active)
    for note in namespace.notes:
        _field(out, "", out.paint(printable(note), YELLOW))
    if isinstance(namespace, Mounts) and namespace.active:
        _field(out, "Hidden", _hidden(namespace.hidden))
    if isinstance(namespace, Network):
        _show_network(out, namespace)
    if not namespace.members:
        _field(out, "Members", "none")
        return
    states = [member.state for member in namespace.members]
    unseen = any(member.state is None and member.process for member in namespace.members)
    inside = "only root can see where they run" if unseen else f"{states.count(INSIDE)} inside"
    _field(out, "Members", f"{len(states)}, {inside}")
    titles = [(title, GREY) for title in ("UNIT", "MODE", "STATE", "PROCESS", "")]
    out.table([titles, *map(_row, namespace.members)], indent=4, fold=True)
    if isinstance(namespace, Mounts) and namespace.survivors:
        _show_survivors(out, namespace.survivors)


def _show_survivors(out: Terminal, found: list[Survivor]) -> None:
    count = f"{len(found)} {'process' if len(found) == 1 else 'processes'}"
    _field(out, "Survivors", out.paint(f"{count} in another namespace: drain the node, or end them", YELLOW))
    rows: list[list[Painted]] = [[(title, GREY) for title in ("PROCESS", "UNIT", "IN", "COMMAND")]]
    rows += [[(text, PLAIN) for text in (str(s.process), s.unit, s.where, printable(s.command))] for s in found]
    out.table(rows, indent=4, fold=True)


def _show_network(out: Terminal, network: Network) -> None:
    types = [f"{kind} ({out.paint(active, _UNITS.get(active, PLAIN))})" for kind, active in network.types.items()]
    _field(out, "Types", ", ".join(types) or "none")
    if network.inode:
        if network.interfaces is None:
            _field(out, "Addresses", "only root can see the interfaces inside")
        for number, interface in enumerate(network.interfaces or ()):
            _field(out, "" if number else "Addresses", _interface(out, interface))
    if network.others:
        _field(out, "Others", " ".join(map(printable, network.others)))


def _interface(out: Terminal, interface: Interface) -> str:
    state = "" if interface.is_up else out.paint(" (down)", YELLOW)
    return printable(interface.name) + state + "".join(f" {address}" for address in interface.addresses)


def _hidden(mounts: int | None) -> str:
    if mounts is None:
        return "only root can count the mounts inside"
    return f"{mounts} {'mount' if mounts == 1 else 'mounts'} that PID 1 does not see"


def _field(out: Terminal, name: str, text: str) -> None:
    out.line(f"{name + ':' if name else '':>11} {text}")


def _row(member: Member) -> list[Painted]:
    state = member.state or ("running" if member.process else "listening")
    colour = RED if state == STOPPED and not member.is_well else _COLOURS.get(state, PLAIN)
    process = f"{member.process} {processes.command(member.process)}" if member.process else "-"
    texts = (member.unit, member.mode, state, process, printable(member.note))
    return list(zip(texts, (PLAIN, PLAIN, colour, PLAIN, PLAIN)))
