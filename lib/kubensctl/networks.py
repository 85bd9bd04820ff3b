"""What runs of a network namespace: the units of its types, its interfaces, and who has joined it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kubens.netns import NetworkNamespace
from kubensctl import members, processes
from kubensctl.manager import Manager, State
from kubensctl.members import Namespace
from kubensctl.planning import Planned


@dataclass
class Interface:
    """addresses: with their prefix lengths."""

    name: str
    is_up: bool
    addresses: list[str]

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "up": self.is_up, "addresses": self.addresses}


@dataclass
class Network(Namespace):
    """types: what systemd says of each one's unit. others: units that have processes inside and are no members.

    interfaces, others: None where they could not be seen.
    """

    types: dict[str, str] = field(default_factory=dict)
    interfaces: list[Interface] | None = None
    others: list[str] | None = None

    def as_json(self) -> dict[str, Any]:
        types = [{"type": kind, "active": active} for kind, active in self.types.items()]
        interfaces = None if self.interfaces is None else [interface.as_json() for interface in self.interfaces]
        return {**super().as_json(), "types": types, "interfaces": interfaces, "others": self.others}


def undeclared(planned: Planned, bus: Manager) -> list[NetworkNamespace]:
    """Those that are there by `systemctl start` or `enable` alone, with the types that run."""
    declared = {namespace.name for namespace in planned.networks}
    found: dict[str, NetworkNamespace] = {}
    for unit, state in bus.states(bus.loaded("netns-*@*.service")).items():
        kind, at, name = unit[len("netns-") : -len(".service")].partition("@")
        if at and state.is_running and name not in declared:
            found.setdefault(name, NetworkNamespace(name, "", 0)).types[kind] = ("", 0)
    return list(found.values())


def examine(planned: Planned, bus: Manager, configured: NetworkNamespace) -> Network:
    units = {kind: f"netns-{kind}@{configured.name}.service" for kind in configured.types}
    makers = [configured.maker, *(f"netns_outside-{kind}@{configured.name}.service" for kind in units)]
    states = bus.states([*units.values(), *makers])
    namespace = Network(configured.name, "network", configured.path, configured.units)
    namespace.inode = processes.pinned(configured.path)
    namespace.types = {kind: states[unit].active for kind, unit in units.items()}
    namespace.active = namespace.inode != 0 and all(states[unit].active == "active" for unit in configured.units)
    if namespace.inode:
        namespace.interfaces = interfaces(configured.path)
    members.examine(namespace, planned, bus, configured)
    if namespace.inode and processes.all_can_be_seen():
        known = {member.unit for member in namespace.members}
        namespace.others = [unit for unit in processes.units_inside("net", namespace.inode) if unit not in known]
    namespace.notes += _notes(planned, configured, namespace, states)
    return namespace


def interfaces(path: str) -> list[Interface] | None:
    """The interfaces of the namespace pinned there; None where they could not be seen."""
    command = ["nsenter", f"--net={processes.HOST}{path}", "ip", "-json", "address", "show"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        # Nothing at all is what some releases of ip make of an empty list.
        found = json.loads(done.stdout or "[]") if done.returncode == 0 else None
    except (OSError, ValueError):
        return None
    if found is None:
        return None
    return [_interface(link) for link in found if "ifname" in link]


def _interface(link: Mapping[str, Any]) -> Interface:
    """What ip(8) says of one."""
    known = [address for address in link.get("addr_info", ()) if "local" in address]
    addresses = [f"{address['local']}/{address['prefixlen']}" for address in known]
    return Interface(link["ifname"], "UP" in link.get("flags", ()), addresses)


def _notes(planned: Planned, configured: NetworkNamespace, namespace: Network, states: dict[str, State]) -> list[str]:
    """What is wrong with the namespace itself."""
    notes = members.general_notes(planned, configured, namespace)
    failed = [unit for unit, state in states.items() if state.active == "failed"]
    notes += [f"failed: systemctl status {unit}" for unit in failed]
    stopped = []
    for unit in configured.units:
        state = states[unit]
        if state.load == "masked":
            notes.append(f"masked: systemctl unmask {unit}")
        elif state.load == "not-found":
            notes.append(members.unloaded(planned, configured))
        elif state.active == "active" and not namespace.inode:
            notes.append(f"there is no {configured.path}: systemctl restart {unit}")
        elif state.active != "active" and not failed:
            stopped.append(unit)
    # Without WantedBy= it waits for a service that needs it.
    if stopped and (configured.wanted_by or namespace.inode or any(member.process for member in namespace.members)):
        notes.append(f"inactive: systemctl start {' '.join(stopped)}")
    return list(dict.fromkeys(notes))
