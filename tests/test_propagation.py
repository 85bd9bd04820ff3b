"""Who sees whose mounts: between the host, members, and their containers, whichever of them came first."""

from __future__ import annotations

from collections.abc import Callable

import mountinfo
from kubens_machine import configure, install, service
from machine import Machine

# Kubernetes' names for what it asks of a container runtime (KEP 432): with HostToContainer the runtime makes the
# container's mounts slaves, with Bidirectional they stay peers of its own.
CONTAINERS = {"HostToContainer": "slave", "Bidirectional": "unchanged"}

# By who makes a mount. Never does anything get out to the host, nor out of a HostToContainer container.
EVERYBODY_INSIDE = {"a", "b", "HostToContainer", "Bidirectional"}
SEEN_BY = {
    "host": {"host", *EVERYBODY_INSIDE},
    "a": EVERYBODY_INSIDE,
    "b": EVERYBODY_INSIDE,
    "Bidirectional": EVERYBODY_INSIDE,
    "HostToContainer": set(),
}


def _seen_by(node: Machine, observers: dict[str, int], directory: str) -> dict[str, set[str]]:
    """By who made it, who sees the mount in that directory (other than its maker, where that is gone by now)."""
    tables = {name: {mount.target for mount in mountinfo.table(node, pid)} for name, pid in observers.items()}
    return {maker: {name for name, targets in tables.items() if f"{directory}/{maker}" in targets} for maker in SEEN_BY}


def _mount(node: Machine, makers: dict[str, int], directory: str) -> None:
    for maker, pid in makers.items():
        node.run("mkdir", "-p", f"{directory}/{maker}")
        node.run("nsenter", f"--target={pid}", "--mount", "mount", "-t", "tmpfs", "test", f"{directory}/{maker}")


def _unmount(node: Machine, makers: dict[str, int], directory: str) -> None:
    for maker, pid in makers.items():
        node.run("nsenter", f"--target={pid}", "--mount", "umount", f"{directory}/{maker}")


def _members(node: Machine) -> dict[str, int]:
    return {name: node.main_pid(f"{name}.service") for name in ("a", "b")}


def _containers(node: Machine, member: int, generation: str) -> dict[str, int]:
    """Containers of a member, each in a service of its own: they outlive the member, as with a real runtime."""
    made = {}
    for kind, propagation in CONTAINERS.items():
        unit = f"{kind}-{generation}.service"
        enter = ("nsenter", f"--target={member}", "--mount")
        container = ("unshare", "--mount", f"--propagation={propagation}", "sleep", "1000")
        node.run("systemd-run", f"--unit={unit}", "--service-type=exec", *enter, *container)
        node.run("sh", "-c", f"until grep -qx sleep /proc/{node.main_pid(unit)}/comm; do sleep 0.01; done")
        made[kind] = node.main_pid(unit)
    return made


def test_propagation(machine: Callable[..., Machine], lower: str) -> None:
    node = machine(lower)
    install(node)
    configure(node, "[MountNamespace]\nWrap=a b\n")
    for name in ("a", "b"):
        service(node, f"{name}.service", "ExecStart=/bin/sleep 1000")
    node.boot()
    node.systemctl("stop", "kubens")
    _mount(node, {"host": 1}, "/srv/early")
    node.systemctl("start", "a", "b")

    first = {"host": 1, **_members(node), **_containers(node, _members(node)["a"], "first")}
    _mount(node, {maker: pid for maker, pid in first.items() if maker != "host"}, "/srv/early")
    _mount(node, first, "/srv/late")
    # Its maker, which is none of the others, sees the mount of a HostToContainer container.
    alone = {**SEEN_BY, "HostToContainer": {"HostToContainer"}}
    assert _seen_by(node, first, "/srv/late") == alone, "mounts made after everybody had come"

    node.systemctl("restart", "a")
    node.systemctl("restart", "b")
    second = {"host": 1, **_members(node), **_containers(node, _members(node)["b"], "second")}
    assert not set(first.values()) & set(second.values()) - {1}
    assert _seen_by(node, second, "/srv/early") == SEEN_BY, "mounts made before"

    # The members of now are in the place of those who made the mounts.
    alive = {**first, **_members(node)}
    for directory in "/srv/early", "/srv/late":
        _unmount(node, alive, directory)
        for observers in (alive, second):
            assert not any(_seen_by(node, observers, directory).values()), "an unmount goes where the mount went"
