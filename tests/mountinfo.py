"""Mount tables of machines: proc(5), "/proc/pid/mountinfo"."""

from __future__ import annotations

from typing import NamedTuple

from machine import Machine


class Mount(NamedTuple):
    """One mount. shared, master: peer groups, 0 for none; `root` names the namespace where one is pinned."""

    id: int
    parent: int
    root: str
    target: str
    shared: int
    master: int
    unbindable: bool
    fstype: str


def table(node: Machine, pid: int = 1) -> list[Mount]:
    """All mounts that a process sees, in the order in which they were made."""
    return parse(node.read(f"/proc/{pid}/mountinfo"))


def inside(node: Machine, pin: str) -> list[Mount]:
    """All mounts in a pinned mount namespace."""
    return parse(node.run("nsenter", f"--mount={pin}", "cat", "/proc/self/mountinfo").stdout)


def parse(text: str) -> list[Mount]:
    return [_parse(line) for line in text.splitlines()]


def at(node: Machine, target: str, pid: int = 1) -> list[Mount]:
    """The mounts on one place; the last one is to be seen."""
    return [mount for mount in table(node, pid) if mount.target == target]


def pinned(node: Machine, pin: str) -> str:
    """The namespace that is to be seen at a pin, `mnt:[4026531841]`; empty where there is none."""
    mounts = at(node, pin)
    return mounts[-1].root if mounts and mounts[-1].fstype == "nsfs" else ""


def _parse(line: str) -> Mount:
    head, _, tail = line.partition(" - ")
    number, parent, _, root, target, _, *optional = head.split(" ")
    groups = dict(field.partition(":")[::2] for field in optional)
    return Mount(
        int(number),
        int(parent),
        root,
        target,
        int(groups.get("shared", 0)),
        int(groups.get("master", 0)),
        "unbindable" in groups,
        tail.split(" ")[0],
    )
