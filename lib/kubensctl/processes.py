"""Processes and the namespaces that they are in, as /proc has them."""

from __future__ import annotations

import contextlib
import os
import time

from kubens import names
from kubensctl.manager import State
from kubensctl.terminal import printable

# PID 1's view of /run: inside a namespace, where this may run as well, its pin is hidden.
HOST = "/proc/1/root"
# Seconds that a process which is about to enter a namespace is given to do so.
_ENTERING = 1.0


def pinned(pin: str) -> int:
    """The number of the namespace pinned there, 0 where there is none."""
    for path in (HOST + pin, pin):
        try:
            found = os.stat(path)
        except OSError:
            continue
        # Namespaces are all on one file system of their own.
        return found.st_ino if found.st_dev == os.stat("/proc/self/ns/mnt").st_dev else 0
    return 0


def namespace_of(pid: int, kind: str) -> int | None:
    """The number of a process's namespace, 0 where the process is gone, None where we may not see it."""
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except PermissionError:
        return None
    except OSError:
        return 0


def all_can_be_seen() -> bool:
    """Whether we may see the namespaces of everybody's processes, PID 1's being one of them."""
    return namespace_of(1, "net") is not None


def settled_namespace_of(pid: int, kind: str, expected: int) -> int | None:
    """The same of a service's process, once it has had the time to be in the expected namespace."""
    deadline = time.monotonic() + _ENTERING
    found = namespace_of(pid, kind)
    while found not in (None, expected) and _is_entering(pid) and time.monotonic() < deadline:
        time.sleep(_ENTERING / 50)
        found = namespace_of(pid, kind)
    return found


def _is_entering(pid: int) -> bool:
    """Whether this is what a service's main process is first: systemd takes a service for started before it is in."""
    name = command(pid)
    return name.startswith("(") or name in ("nsenter", "kubensenter", "env", "sh", "systemd-executo")


def main_process(state: State) -> int:
    """The main process, or the first that is left where there is none."""
    if state.pid or not state.control_group:
        return state.pid
    for hierarchy in ("", "/unified", "/systemd"):
        with contextlib.suppress(OSError), open(f"/sys/fs/cgroup{hierarchy}{state.control_group}/cgroup.procs") as file:
            return int(file.readline() or 0)
    return 0


def units_inside(kind: str, inode: int) -> list[str]:
    """The units whose processes are in a namespace, as far as they can be seen."""
    found: dict[str, None] = {}
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        if namespace_of(int(pid), kind) == inode:
            found.update(dict.fromkeys(filter(None, [_unit(pid)])))
    return sorted(found)


def _unit(pid: str) -> str:
    """The innermost service or scope that a process belongs to, "" where there is none."""
    parts = reversed(control_group(int(pid)).split("/"))
    return next((part for part in parts if names.kind(part) and part.endswith((".service", ".scope"))), "")


def control_group(pid: int) -> str:
    """In systemd's hierarchies (cgroups(7)): the second one, and the first where that is not used. Empty if gone."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            paths = {name: path for _, name, path in (line.rstrip("\n").split(":", 2) for line in file)}
    except OSError:
        return ""
    unified = paths.get("", "/")
    return unified if unified != "/" else paths.get("name=systemd", "")


def command(pid: int) -> str:
    """What it calls itself, to be shown."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="surrogateescape") as comm:
            return printable(comm.read().rstrip("\n"))
    except OSError:
        return ""
