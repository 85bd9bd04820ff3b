"""Pods at a shutdown: they end before their mount namespace does, and that before the network."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kubens_machine import configure, install, service
from machine import Machine

# As kubelet makes slices, and runc what is in them: without the defaults, by which systemd would stop them.
SLICE = (
    *("busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"),
    *("StartTransientUnit", "ssa(sv)a(sa(sv))"),
)
CONTAINER = (
    *("systemd-run", "--scope", "--quiet", "--unit=cri-containerd-one", "--slice=kubepods-one.slice"),
    *("--property=DefaultDependencies=no", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"),
)
# Up before network.target, as a network is, and stopped after it.
NETWORK = """\
[Unit]
Wants=network.target
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/root/see network
"""
# How many processes pods have, and whether the namespace is there.
SEE = """\
#!/bin/sh
processes=$(cat /sys/fs/cgroup/kubepods.slice/*/*/cgroup.procs | wc -l)
echo "$1 $processes $(mountpoint -q /run/kubens/mnt && echo pinned)" >>/root/seen
"""
MEMBERS = "[MountNamespace]\nWrap=runtime.service\n"


@pytest.mark.needs("root", "namespaces")
def test_pods_end_before_the_network(machine: Callable[..., Machine], lower: str) -> None:
    node = machine(lower)
    install(node)
    service(node, "runtime.service", "ExecStart=/bin/sleep 1000")
    configure(node, MEMBERS)
    node.write("/root/see", SEE, 0o755)
    node.write("/etc/systemd/system.conf.d/stop.conf", "[Manager]\nDefaultTimeoutStopSec=1s\n")
    service(node, "network.service", NETWORK)
    node.write("/etc/systemd/system/kubens.service.d/see.conf", "[Service]\nExecStop=/root/see namespace\n")
    node.boot()
    _shut_down(node, "runtime")
    assert node.read("/root/seen").splitlines() == ["namespace 0 pinned", "network 0 "]
    node.write("/root/seen", "")
    node.boot("kubens=0")
    _shut_down(node)
    assert node.read("/root/seen") == "network 2 \n", "systemd lets them end after it"


def _shut_down(node: Machine, *members: str) -> None:
    """With a pod, and a restart of the namespace under it, which leaves it alone."""
    node.systemctl("start", "network", *members)
    for name in ("kubepods.slice", "kubepods-one.slice"):
        node.run(*SLICE, name, "fail", "1", "DefaultDependencies", "b", "false", "0")
    node.run("sh", "-c", '"$@" >/dev/null 2>&1 &', "sh", *CONTAINER)
    node.wait_until(lambda: node.show("cri-containerd-one.scope", "ActiveState")["ActiveState"] == "active")
    if members:
        node.systemctl("restart", "kubens")
        assert node.show("cri-containerd-one.scope", "ActiveState")["ActiveState"] == "active"
        node.write("/root/seen", "")
    node.poweroff()
