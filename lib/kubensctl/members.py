"""What is configured, next to what really runs: a namespace, and the state of each of its members."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from kubens import names, syntax
from kubens.config import ENV, JOIN, WRAP
from kubens.files import Root
from kubensctl import processes
from kubensctl.manager import Manager, State
from kubensctl.planning import GENERATED, Configured, Planned

INSIDE, OUTSIDE, STOPPED, REFUSED, MISSING = "inside", "outside", "stopped", "refused", "missing"
# The kinds of namespaces, and what /proc calls them.
KINDS = {"mount": "mnt", "network": "net"}
# The setting by which a member gets in; one that is given $KUBENSMNT does by itself.
_DECISIVE = {WRAP: "ExecStart", JOIN: "NetworkNamespacePath"}


@dataclass
class Member:
    """state: None where it runs and it cannot be seen where. note: why it is so, or what to do."""

    unit: str
    mode: str
    state: str | None
    process: int = 0
    note: str = ""
    is_well: bool = True

    def as_json(self) -> dict[str, Any]:
        return {
            "unit": self.unit, "mode": self.mode, "state": self.state,
            "process": self.process or None, "note": self.note,
        }  # fmt: skip


@dataclass
class Namespace:
    """active: whether it is there as configured. inode: the number of what is pinned. units: what make it."""

    name: str
    kind: str
    pin: str
    units: list[str]
    active: bool = False
    inode: int = 0
    members: list[Member] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return not self.notes and all(member.is_well for member in self.members)

    def as_json(self) -> dict[str, Any]:
        """What every kind has."""
        return {
            "name": self.name, "kind": self.kind, "active": self.active, "pin": self.pin,
            "members": [member.as_json() for member in self.members], "notes": self.notes,
        }  # fmt: skip


def examine(namespace: Namespace, planned: Planned, bus: Manager, configured: Configured) -> None:
    """Fill in the members."""
    listed = _listed(planned, bus, configured)
    states = bus.states([unit for unit, _ in listed])
    for unit, mode in listed:
        member = Member(unit, mode, None)
        _judge(member, planned, namespace, states[unit])
        if not {unit, names.template_of(unit)} & set(configured.members):
            member.is_well = False
            member.note = member.note or f"released, stays inside until: systemctl stop {' '.join(namespace.units)}"
        namespace.members.append(member)


def _listed(planned: Planned, bus: Manager, namespace: Configured) -> list[tuple[str, str]]:
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
    member.process = processes.main_process(state)
    if refusals:
        member.state, member.note, member.is_well = REFUSED, str(refusals[0]), False
    elif planned.inventory.units.get(listed) is None and state.load == "loaded":
        member.state, member.is_well = OUTSIDE if member.process else STOPPED, False
        member.note = "made by another generator, whose units cannot be wrapped: write a unit file"
    elif planned.inventory.units.get(listed) is None:
        member.state, member.note = MISSING, planned.inventory.absent.get(listed, "not installed")
    elif member.process:
        _judge_process(member, namespace, state)
    elif state.active == "failed":
        member.state, member.is_well = STOPPED, False
        member.note = f"failed ({state.result}): systemctl status {member.unit}"
    elif member.unit.endswith(".socket") and state.is_running:
        member.note = "listens; where a socket does, only systemd knows"
    else:
        member.state = STOPPED
        if names.kind(member.unit) == names.TEMPLATE:
            member.note = "no instance runs"
        elif state.is_running:
            member.note = f"{state.active} ({state.sub}), without a process"


def _judge_process(member: Member, namespace: Namespace, state: State) -> None:
    inode = processes.settled_namespace_of(member.process, KINDS[namespace.kind], namespace.inode)
    if inode is None:
        return
    if inode == namespace.inode:
        member.state = INSIDE
        return
    member.state, member.is_well = OUTSIDE, False
    own = [number for number, path in enumerate(state.dropins) if _is_ours(path)]
    overruling = _overruling(state.dropins[own[-1] + 1 :], member.mode) if own else ""
    if not namespace.inode:
        member.note = "there is no namespace"
    elif not own:
        member.note = f"systemctl daemon-reload; systemctl restart {member.unit}"
    elif overruling:
        member.note = f"{overruling} comes after what kubens makes, and takes it back: set it in /etc instead"
    elif member.mode == ENV:
        member.note = f"does not enter by $KUBENSMNT, or: systemctl restart {member.unit}"
    else:
        member.note = f"systemctl restart {member.unit}"


def _is_ours(path: str) -> bool:
    return path.startswith(GENERATED) and path.endswith(("kubens.conf", "kubens-netns.conf"))


def _overruling(later: Sequence[str], mode: str) -> str:
    """The drop-in behind ours that sets what puts a member inside, "" where there is none."""
    for path in reversed(later):
        with contextlib.suppress(OSError):
            for _, _, assignments in syntax.parse(Root().read(path) or "").sections:
                if any(key == _DECISIVE.get(mode) for key, *_ in assignments):
                    return path
    return ""


def general_notes(planned: Planned, configured: Configured, namespace: Namespace) -> list[str]:
    """What may be wrong with a namespace of either kind."""
    notes = []
    if planned.switched_off:
        notes.append("switched off by kubens=0 on the kernel command line")
    if planned.live_one(configured) and not planned.is_configured(configured):
        notes.append(f"no longer configured, lives until: systemctl stop {' '.join(namespace.units)}")
    return notes


def unloaded(planned: Planned, configured: Configured) -> str:
    """Why systemd does not know a unit of the namespace."""
    return "not loaded: systemctl daemon-reload" if planned.is_planned(configured) else "refused: kubensctl check"
