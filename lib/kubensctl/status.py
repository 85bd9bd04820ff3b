"""`kubensctl status`: is it working? What is configured, next to what really runs."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kubens import names
from kubens.config import ENV, MountNamespace
from kubens.files import Root
from kubensctl import manager, planning, survivors, terminal
from kubensctl.failure import Failure
from kubensctl.manager import Manager, State
from kubensctl.planning import Planned
from kubensctl.survivors import Survivor
from kubensctl.terminal import BOLD, GREEN, GREY, PLAIN, RED, YELLOW, Painted, Terminal, printable
from kubensctl.verbs import Verbs, add_json

INSIDE, OUTSIDE, STOPPED, REFUSED, MISSING = "inside", "outside", "stopped", "refused", "missing"
_COLOURS = {INSIDE: GREEN, OUTSIDE: YELLOW, STOPPED: GREY, REFUSED: RED, MISSING: GREY}
NOT_AS_CONFIGURED = 3
# Seconds that a process which is about to enter the namespace is given to do so.
_ENTERING = 1.0
# PID 1's view of /run: inside the namespace, where this may run as well, the pin is hidden.
_HOST = "/proc/1/root"


@dataclass
class Member:
    """state: None where it runs and we may not see where. note: why it is so, or what to do."""

    unit: str
    mode: str
    state: str | None
    process: int = 0
    note: str = ""
    is_well: bool = True


@dataclass
class Namespace:
    """active: whether NAME.service is, and its namespace there. mounts_hidden: None where it could not be seen."""

    name: str
    kind: str
    pin: str
    active: bool = False
    inode: int = 0
    mounts_hidden: int | None = None
    members: list[Member] = field(default_factory=list)
    survivors: list[Survivor] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return self.active and not self.notes and not self.survivors and all(member.is_well for member in self.members)

    def as_json(self) -> dict[str, Any]:
        members = [
            {"unit": m.unit, "mode": m.mode, "state": m.state, "process": m.process or None, "note": m.note}
            for m in self.members
        ]
        return {
            "name": self.name, "kind": self.kind, "active": self.active, "pin": self.pin,
            "mounts_hidden": self.mounts_hidden, "members": members, "notes": self.notes,
            "survivors": [dataclasses.asdict(survivor) for survivor in self.survivors],
        }  # fmt: skip


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
    found = [examine(planned, bus, namespace) for namespace in planned.namespaces
             if arguments.name in (None, namespace.name)]  # fmt: skip
    if arguments.name is not None and not found:
        raise Failure(f"no namespace {arguments.name} is configured, and none lives")
    if arguments.json:
        json.dump({"namespaces": [namespace.as_json() for namespace in found]}, sys.stdout, indent=2)
        print()
    else:
        _show_all(terminal.standard_output(), planned, found)
    if any(member.state is None for namespace in found for member in namespace.members):
        terminal.standard_error().line("kubensctl: only root can see which namespace each process is in")
    return 0 if all(namespace.is_well for namespace in found) and not planned.plan.has_errors else NOT_AS_CONFIGURED


def examine(planned: Planned, bus: Manager, configured: MountNamespace) -> Namespace:
    service = bus.states([configured.unit])[configured.unit]
    namespace = Namespace(configured.name, "mount", configured.pin, inode=pinned(configured.pin))
    namespace.active = service.active in ("active", "reloading") and namespace.inode != 0
    if namespace.active:
        namespace.mounts_hidden = hidden_mounts(configured.pin)
    namespace.notes += _notes(planned, configured, service, namespace)
    listed = _listed(planned, bus, configured)
    states = bus.states([unit for unit, _ in listed])
    for unit, mode in listed:
        member = Member(unit, mode, None)
        _judge(member, planned, namespace, states[unit])
        if not {unit, names.template_of(unit)} & set(configured.members):
            member.is_well = False
            member.note = member.note or f"released, stays inside until: systemctl stop {configured.unit}"
        namespace.members.append(member)
    namespace.survivors = survivors.find(
        # Of one that is outside, all is.
        units={member.unit for member in namespace.members if member.state != OUTSIDE},
        main={member.process for member in namespace.members},
        pinned={pinned(other.pin) for other in planned.namespaces},
    )
    return namespace


def pinned(pin: str) -> int:
    """The number of the namespace pinned there, 0 where there is none."""
    for path in (_HOST + pin, pin):
        try:
            found = os.stat(path)
        except OSError:
            continue
        # Namespaces are all on one file system of their own.
        return found.st_ino if found.st_dev == os.stat("/proc/self/ns/mnt").st_dev else 0
    return 0


def namespace_of(pid: int) -> int | None:
    """The number of a process's mount namespace, 0 where the process is gone, None where we may not see it."""
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except PermissionError:
        return None
    except OSError:
        return 0


def hidden_mounts(pin: str) -> int | None:
    """How many mounts there are inside that PID 1 does not see; None where we may not look."""
    command = ["nsenter", f"--mount={_HOST}{pin}", "cat", "/proc/self/mountinfo"]
    try:
        inside = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        with open("/proc/1/mountinfo", "rb") as mountinfo:
            host = mountinfo.read()
    except OSError:
        return None
    if inside.returncode:
        return None
    return sum((_mounts(inside.stdout) - _mounts(host)).values())


def _mounts(mountinfo: bytes) -> Counter[tuple[bytes, ...]]:
    """proc_pid_mountinfo(5): device, root and mount point are the same in a copy of a mount, its ids are not."""
    return Counter(tuple(line.split(b" ")[2:5]) for line in mountinfo.splitlines())


def _notes(planned: Planned, configured: MountNamespace, service: State, namespace: Namespace) -> list[str]:
    """What is wrong with the namespace itself."""
    notes = []
    if planned.switched_off:
        notes.append("switched off by kubens=0 on the kernel command line")
    if configured.name not in planned.configuration.mount_namespaces:
        notes.append(f"no longer configured, lives until: systemctl stop {configured.unit}")
    if service.load == "masked":
        notes.append(f"masked: systemctl unmask {configured.unit}")
    elif service.load == "not-found":
        planned_for = any(tree.name == configured.name for tree in planned.plan.trees)
        notes.append("not loaded: systemctl daemon-reload" if planned_for else "refused: kubensctl check")
    elif service.active == "failed":
        notes.append(f"failed: systemctl status {configured.unit}")
    elif service.active in ("active", "reloading") and not namespace.inode:
        notes.append(f"nothing is pinned at {configured.pin}: systemctl restart {configured.unit}")
    elif not namespace.active:
        notes.append(f"{service.active}: systemctl start {configured.unit}")
    return notes


def _listed(planned: Planned, bus: Manager, namespace: MountNamespace) -> list[tuple[str, str]]:
    """The members as (unit, mode); a template as its instances, where there are any."""
    found: dict[str, str] = {}
    for name, member in planned.members(namespace).items():
        unit = planned.inventory.units.get(name)
        template = unit.name if unit is not None else name
        if names.kind(template) == names.TEMPLATE:
            instances = {*bus.instances(template), *planned.inventory.instances.get(name, ())}
            for instance in sorted(instances) or [name]:
                found.setdefault(instance, member.mode)
        else:
            found[name] = member.mode
    return list(found.items())


def _judge(member: Member, planned: Planned, namespace: Namespace, state: State) -> None:
    """Fill in a member's state, and what there is to say about it."""
    listed = member.unit if member.unit in planned.inventory.units else names.template_of(member.unit)
    refusals = planned.errors_about(listed) or planned.errors_about(member.unit)
    member.process = _process(state)
    if refusals:
        member.state, member.note, member.is_well = REFUSED, str(refusals[0]), False
    elif planned.inventory.units.get(listed) is None:
        member.state, member.note = MISSING, planned.inventory.absent.get(listed, "not installed")
    elif not member.process:
        member.state = STOPPED
        if state.active == "failed":
            member.note, member.is_well = f"failed ({state.result}): systemctl status {member.unit}", False
        elif names.kind(member.unit) == names.TEMPLATE:
            member.note = "no instance runs"
        elif state.is_running:
            member.note = f"{state.active} ({state.sub}), without a process"
    else:
        _judge_process(member, namespace, state)


def _judge_process(member: Member, namespace: Namespace, state: State) -> None:
    inode = namespace_of(member.process)
    deadline = time.monotonic() + _ENTERING
    while inode not in (None, namespace.inode) and _is_entering(member.process) and time.monotonic() < deadline:
        time.sleep(_ENTERING / 50)
        inode = namespace_of(member.process)
    if inode is None:
        member.note = ""
    elif inode == namespace.inode:
        member.state = INSIDE
    else:
        member.state, member.is_well = OUTSIDE, False
        ours = [path for path in state.dropins if "kubens.conf" in path.rpartition("/")[2]]
        if not namespace.active:
            member.note = "there is no namespace"
        elif not ours:
            member.note = f"systemctl daemon-reload; systemctl restart {member.unit}"
        elif member.mode == ENV:
            member.note = f"does not enter by $KUBENSMNT, or: systemctl restart {member.unit}"
        else:
            member.note = f"systemctl restart {member.unit}"


def _is_entering(pid: int) -> bool:
    """Whether this is what a service's main process is first: systemd takes a service for started before it is in."""
    command = _command(pid)
    return command.startswith("(") or command in ("nsenter", "kubensenter", "env", "sh", "systemd-executo")


def _process(state: State) -> int:
    """The main process, or the first that is left where there is none."""
    if state.pid or not state.control_group:
        return state.pid
    for hierarchy in ("", "/unified", "/systemd"):
        with contextlib.suppress(OSError), open(f"/sys/fs/cgroup{hierarchy}{state.control_group}/cgroup.procs") as file:
            return int(file.readline() or 0)
    return 0


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
    colour = GREEN if namespace.is_well else (YELLOW if namespace.active else RED)
    out.line(f"{out.paint('●', colour)} {out.paint(namespace.name, BOLD)} - {namespace.kind} namespace")
    active = out.paint("active", GREEN) if namespace.active else out.paint("inactive", RED)
    place = f", pinned at {namespace.pin} (mnt:[{namespace.inode}])" if namespace.inode else ""
    _field(out, "Active", active + place)
    for note in namespace.notes:
        _field(out, "", out.paint(printable(note), YELLOW))
    if namespace.active:
        _field(out, "Hidden", _hidden(namespace.mounts_hidden))
    if not namespace.members:
        _field(out, "Members", "none")
        return
    states = [member.state for member in namespace.members]
    inside = "only root can see where they run" if None in states else f"{states.count(INSIDE)} inside"
    _field(out, "Members", f"{len(states)}, {inside}")
    titles = [(title, GREY) for title in ("UNIT", "MODE", "STATE", "PROCESS", "")]
    out.table([titles, *map(_row, namespace.members)], indent=4, fold=True)
    if namespace.survivors:
        _show_survivors(out, namespace.survivors)


def _show_survivors(out: Terminal, found: list[Survivor]) -> None:
    count = f"{len(found)} {'process' if len(found) == 1 else 'processes'}"
    _field(out, "Survivors", out.paint(f"{count} in another namespace: drain the node, or end them", YELLOW))
    rows: list[list[Painted]] = [[(title, GREY) for title in ("PROCESS", "UNIT", "IN", "COMMAND")]]
    rows += [[(text, PLAIN) for text in (str(s.process), s.unit, s.where, printable(s.command))] for s in found]
    out.table(rows, indent=4, fold=True)


def _hidden(mounts: int | None) -> str:
    if mounts is None:
        return "only root can count the mounts inside"
    return f"{mounts} {'mount' if mounts == 1 else 'mounts'} that PID 1 does not see"


def _field(out: Terminal, name: str, text: str) -> None:
    out.line(f"{name + ':' if name else '':>11} {text}")


def _row(member: Member) -> list[Painted]:
    state = member.state or "running"
    colour = RED if state == STOPPED and not member.is_well else _COLOURS.get(state, PLAIN)
    process = f"{member.process} {_command(member.process)}" if member.process else "-"
    texts = (member.unit, member.mode, state, process, printable(member.note))
    return list(zip(texts, (PLAIN, PLAIN, colour, PLAIN, PLAIN)))


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="surrogateescape") as comm:
            return printable(comm.read().rstrip("\n"))
    except OSError:
        return ""
