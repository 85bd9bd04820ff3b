"""Processes that a restart of a namespace left behind: they go on, in the mount namespace that they were started in.

With KillMode=process a container runtime leaves its containers running when it stops, and with them the processes that
watch over them (containerd's shims, CRI-O's conmon). What is mounted for a new container is not seen by those.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from kubensctl import processes

# CRI-O gives each conmon a scope of its own, outside of its service: crio-conmon-ID.scope.
_SCOPES = "crio-"


@dataclass(frozen=True)
class Survivor:
    """unit: the member, or the scope, that the process is in. where: which namespace it is in, in words."""

    process: int
    unit: str
    where: str
    command: str


def find(units: Collection[str], main: Collection[int], pinned: Collection[int]) -> list[Survivor]:
    """All processes of these services, main processes apart, that are in none of the pinned mount namespaces.

    main: process ids. pinned: numbers of namespaces. A container is in a namespace of its own, with a root directory of
    its own; what has the host's root directory is no container. Only root sees where the processes of others are.
    """
    host = processes.namespace_of(1, "mnt")
    found = []
    for pid, unit in _of(units):
        namespace = processes.namespace_of(pid, "mnt")
        if pid in main or not namespace or namespace in pinned or not _has_the_root_of_the_host(pid):
            continue
        if namespace != host:
            found.append(Survivor(pid, unit, "an earlier namespace", _command(pid)))
        elif unit in units:
            found.append(Survivor(pid, unit, "the host", _command(pid)))
    return found


def _of(units: Collection[str]) -> Iterator[tuple[int, str]]:
    """(process, unit) of all that is in the control group of one of these, or in a scope of CRI-O's."""
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        groups = processes.control_group(pid).split("/")
        for group in groups:
            if group in units or (group.startswith(_SCOPES) and group.endswith(".scope")):
                yield pid, group
                break


def _has_the_root_of_the_host(pid: int) -> bool:
    try:
        return os.path.samefile(f"/proc/{pid}/root", "/proc/1/root")
    except OSError:
        return False


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="surrogateescape") as file:
            return file.read().replace("\0", " ").strip()
    except OSError:
        return ""
