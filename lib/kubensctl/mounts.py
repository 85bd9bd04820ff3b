"""What runs of a mount namespace: NAME.service, its pin, its members, and what it hides."""

from __future__ import annotations

import dataclasses
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from kubens.config import MountNamespace
from kubensctl import members, processes, survivors
from kubensctl.manager import Manager, State
from kubensctl.members import Namespace
from kubensctl.planning import Planned
from kubensctl.survivors import Survivor


@dataclass
class Mounts(Namespace):
    """hidden: how many mounts inside nobody else sees; None where it could not be counted."""

    hidden: int | None = None
    survivors: list[Survivor] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return super().is_well and not self.survivors

    def as_json(self) -> dict[str, Any]:
        found = [dataclasses.asdict(survivor) for survivor in self.survivors]
        return {**super().as_json(), "mounts_hidden": self.hidden, "survivors": found}


def examine(planned: Planned, bus: Manager, configured: MountNamespace) -> Mounts:
    service = bus.states([configured.unit])[configured.unit]
    namespace = Mounts(configured.name, "mount", configured.pin, [configured.unit])
    namespace.inode = processes.pinned(configured.pin)
    namespace.active = service.active in ("active", "reloading") and namespace.inode != 0
    if namespace.active:
        namespace.hidden = hidden_mounts(configured.pin)
    namespace.notes += _notes(planned, configured, service, namespace)
    members.examine(namespace, planned, bus, configured)
    namespace.survivors = survivors.find(
        # Of one that is outside, all is.
        units={member.unit for member in namespace.members if member.state != members.OUTSIDE},
        main={member.process for member in namespace.members},
        pinned={processes.pinned(other.pin) for other in planned.namespaces},
    )
    return namespace


def hidden_mounts(pin: str) -> int | None:
    """How many mounts there are inside that PID 1 does not see; None where we may not look."""
    command = ["nsenter", f"--mount={processes.HOST}{pin}", "cat", "/proc/self/mountinfo"]
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
    notes = members.general_notes(planned, configured, namespace)
    if service.load == "masked":
        notes.append(f"masked: systemctl unmask {configured.unit}")
    elif service.load == "not-found":
        notes.append(members.unloaded(planned, configured))
    elif service.active == "failed":
        notes.append(f"failed: systemctl status {configured.unit}")
    elif service.active in ("active", "reloading") and not namespace.inode:
        notes.append(f"nothing is pinned at {configured.pin}: systemctl restart {configured.unit}")
    elif not namespace.active:
        notes.append(f"{service.active}: systemctl start {configured.unit}")
    return notes
