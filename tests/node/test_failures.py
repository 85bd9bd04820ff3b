"""When it goes wrong on a node with containers: kills, a full /run, restarts and shutdowns under running containers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import node as nodes
from kubens_machine import whereabouts
from machine import Machine
from node import cri

CONTAINERD = "containerd.service"


@pytest.fixture
def whole(node: Machine) -> Iterator[Machine]:
    """The module's machine, with containerd inside before and after, and no containers."""
    yield node
    node.systemctl("reset-failed")
    node.systemctl("start", CONTAINERD)
    nodes.load(node)
    for name, (_, state) in nodes.tasks(node).items():
        nodes.remove(node, name) if state == "RUNNING" else nodes.ctr(node, "tasks", "delete", name)
    assert whereabouts(node, CONTAINERD) == ["inside"]
    assert _status(node)["survivors"] == []


def _status(node: Machine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(node.run("kubensctl", "status", "--json", check=False).stdout)["namespaces"][0]
    return found


def _works(node: Machine, runtime: cri.Runtime) -> None:
    """A new pod can be had, inside, and PID 1 sees nothing of it."""
    assert whereabouts(node, CONTAINERD) == ["inside"]
    nodes.load(node)
    node.wait_until(runtime.is_ready)
    pod = runtime.pod("works")
    assert cri.execute(runtime, pod.container("a", "sleep", "1000"), "echo", "here") == "here\n"
    assert nodes.of_containers(nodes.inside(node)) and nodes.of_containers(node.mounts()) == []
    pod.remove()


def test_a_restart_under_fifty_containers(whole: Machine) -> None:
    node = whole
    for number in range(50):
        nodes.run(node, f"many-{number}", "sleep", "1000")
    before = nodes.shims(node)
    assert len(before) == 50 and _status(node)["survivors"] == []

    node.systemctl("restart", "kubens")
    assert whereabouts(node, CONTAINERD) == ["inside"]
    nodes.load(node)
    survivors = _status(node)["survivors"]
    assert sorted(one["process"] for one in survivors) == before
    assert {(one["unit"], one["where"]) for one in survivors} == {(CONTAINERD, "an earlier namespace")}
    assert all(" -id many-" in one["command"] for one in survivors), "it says which container"
    # They go on, and answer; what is new is in the new namespace.
    assert nodes.ctr(node, "tasks", "exec", "--exec-id=a", "many-7", "echo", "here") == "here\n"
    nodes.run(node, "new", "sleep", "1000")
    assert [path for path in nodes.inside(node) if path.endswith("/rootfs")] == [
        "/run/containerd/io.containerd.runtime.v2.task/k8s.io/new/rootfs"
    ]
    assert nodes.of_containers(node.mounts()) == []
    assert len(_status(node)["survivors"]) == 50


def test_pid_1_loses_all_of_its_children(whole: Machine, runtime: cri.Runtime) -> None:
    """The journal, the bus, containerd, every shim, in one moment."""
    node = whole
    nodes.run(node, "lost", "sleep", "1000")
    pid = node.main_pid(CONTAINERD)
    node.run("pkill", "-KILL", "--parent", "1")
    # RestartSec=5 of the package's unit.
    node.wait_until(lambda: node.main_pid(CONTAINERD) not in (0, pid), timeout=20)
    _works(node, runtime)


def test_kubens_is_killed_at_every_step(whole: Machine, runtime: cri.Runtime) -> None:
    """Whatever command of its it is in; a start of containerd alone brings all back."""
    node = whole
    node.systemctl("stop", "kubens")
    killed = set()
    for step in range(24):
        node.systemctl("restart", "--no-block", "kubens")
        time.sleep(step / 80)
        node.systemctl("kill", "--signal=KILL", "kubens", check=False)
        killed.add(node.show("kubens.service", "Result")["Result"])
        node.wait_until(lambda: node.systemctl("show", "--property=NJobs").stdout == "NJobs=0\n")
        if step % 6 == 5:
            # Its own limit of starts, which nobody else comes to so soon.
            node.systemctl("reset-failed", CONTAINERD, check=False)
            node.systemctl("start", CONTAINERD)
            assert whereabouts(node, CONTAINERD) == ["inside"]
    assert "signal" in killed, "not one was hit"
    node.systemctl("reset-failed", CONTAINERD, check=False)
    node.systemctl("start", CONTAINERD)
    _works(node, runtime)


def test_run_is_full(whole: Machine, runtime: cri.Runtime) -> None:
    """Containers go on; what has to be made fails with its reason, nothing is half made, and room is all it takes."""
    node = whole
    nodes.run(node, "goes-on", "sleep", "1000")
    node.run("sh", "-c", "mount -o remount,size=$(($(df --output=used /run | tail -1) + 64))k /run")
    node.run("sh", "-c", "cat /dev/zero >/run/ballast", check=False)
    node.systemctl("restart", "kubens", check=False)
    assert nodes.shims(node), "a container goes on"
    node.run("rm", "/run/ballast")
    node.run("mount", "-o", "remount,size=4g", "/run")
    node.systemctl("start", CONTAINERD)
    _works(node, runtime)
    # Its shim is a survivor now.
    nodes.remove(node, "goes-on")


def _time(node: Machine, end: str) -> float:
    nodes.load(node)
    for number in range(3):
        nodes.run(node, f"last-{number}", "sleep", "1000")
    began = time.monotonic()
    node.reboot() if end == "reboot" else node.poweroff()
    return time.monotonic() - began


def test_shutdown_under_containers(tree: Path) -> None:
    """As without kubens: shims stay until systemd-shutdown's own time is over, and nothing waits for longer."""
    taken = {}
    for wrapped in (False, True):
        with nodes.machine(tree) as node:
            node.write("/etc/systemd/system.conf.d/stop.conf", "[Manager]\nDefaultTimeoutStopSec=4s\n")
            if wrapped:
                nodes.wrap(node)
            node.boot()
            taken[wrapped] = [_time(node, "reboot"), _time(node, "poweroff")]
    assert all(wrapped < host + 3 for host, wrapped in zip(taken[False], taken[True])), taken
