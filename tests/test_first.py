"""The whole in one boot: declared services run in one mount namespace that PID 1 does not see."""

from __future__ import annotations

from collections.abc import Callable

from kubens_machine import configure, install, service, whereabouts
from machine import Machine


def test_declared_services_share_a_namespace(machine: Callable[..., Machine], lower: str) -> None:
    node = machine(lower)
    install(node)
    configure(node, "[MountNamespace]\nWrap=a.service b\nEnv=c.service missing.service\n")
    mounts = "ExecStart=sh -c 'mount -t tmpfs inside /mnt; exec sleep 1000'\n"
    service(node, "a.service", mounts + "WorkingDirectory=/var/tmp")
    service(node, "b.service", "ExecStart=/bin/sleep 1001")
    service(node, "c.service", "ExecStart=/bin/sh -c 'exec nsenter --mount=$KUBENSMNT sleep 1002'")
    service(node, "other.service", "ExecStart=/bin/sleep 1003")
    node.boot()
    node.systemctl("start", "a", "b", "c", "other")
    assert whereabouts(node, "a", "b", "c", "other") == ["inside", "inside", "inside", "host"]
    assert "/mnt" not in node.mounts(1)
    assert "/mnt" in node.mounts(node.main_pid("b"))
    assert node.systemctl("is-system-running").stdout == "running\n"
    node.systemctl("stop", "kubens")
    states = node.systemctl("is-active", "a", "b", "c", "other", check=False).stdout.split()
    assert states == ["inactive", "inactive", "inactive", "active"]
    assert not any(path.startswith("/run/kubens") for path in node.mounts(1))
    assert node.run("ls", "/run/kubens", "/run/kubens-generator", check=False).stdout == ""
