"""The services of Kubernetes' nodes, wrapped: all that they are given is as without kubens, but for the namespace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nodes
from kubens_machine import configure, install, service, whereabouts
from machine import Machine

Maker = Callable[..., Machine]
SERVICES = tuple(nodes.PROGRAMS)
# Differ from one start to the next. LISTEN_PIDFDID= is the process's too, by another number.
FRESH = ("INVOCATION_ID", "JOURNAL_STREAM", "LISTEN_PIDFDID")


def _given(node: Machine, unit: str) -> dict[str, Any]:
    """What the service was given, and what the kernel knows of it.

    Of a process id in the environment only remains whether it is the service's main process.
    """
    given = nodes.report(node, unit)
    pid = given.pop("pid")
    assert pid == node.main_pid(unit)
    del given["namespaces"]["mnt"]
    environment = {name: value for name, value in given["environment"].items() if name not in FRESH}
    ids = {name: value == str(pid) for name, value in environment.items() if name.endswith("_PID")}
    given["environment"] = {**environment, **ids}
    status = dict(line.split(":\t", 1) for line in node.read(f"/proc/{pid}/status").splitlines())
    given["status"].update({name: status[name] for name in ("PPid", "SigBlk", "SigIgn", "Umask")})
    given["scheduling"] = node.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[15:17]
    given["descriptors"] = sorted(path.name for path in (node.tree / f"proc/{pid}/fd").iterdir())
    return given


def _wrap(node: Machine) -> None:
    configure(node, f"[MountNamespace]\nWrap={' '.join(SERVICES)}\nWrapCommands=ExecStart ExecStartPre ExecReload\n")
    node.daemon_reload()
    node.systemctl("restart", *SERVICES)


def _compare(node: Machine) -> None:
    """Boots unwrapped, then wraps; the services' reports must be the same."""
    node.boot()
    without = {unit: _given(node, unit) for unit in SERVICES}
    assert whereabouts(node, *SERVICES) == ["host"] * len(SERVICES)
    _wrap(node)
    assert whereabouts(node, *SERVICES) == ["inside"] * len(SERVICES)
    for unit in SERVICES:
        assert _given(node, unit) == without[unit]
    assert node.systemctl("is-system-running").stdout == "running\n"


def test_services_as_they_are_shipped(machine: Maker, lower: str) -> None:
    node = machine(lower)
    install(node)
    nodes.install(node, *SERVICES)
    _compare(node)


MORE = {
    "containerd": """
        WorkingDirectory=/var/tmp
        Environment=STANDIN_MOUNTS=20 "TWO=a b"
        LoadCredential=key:/etc/key
        LimitNOFILE=2000:3000
        Nice=5
        UMask=0027
        IgnoreSIGPIPE=no
        WatchdogSec=30
        CapabilityBoundingSet=CAP_SYS_ADMIN CAP_SYS_CHROOT CAP_KILL
        NoNewPrivileges=yes
        CPUSchedulingPolicy=batch
    """,
    "crio": """
        WorkingDirectory=-/var/lib/not-there
        SetCredential=word:secret
        RuntimeDirectory=crio
        StateDirectory=crio
        SystemCallFilter=~@reboot
    """,
    "docker": """
        WorkingDirectory=-/var/tmp
        ExecStart=
        ExecStart=:/usr/bin/dockerd -H fd:// $HOME "a b" ${HOME} 50%%
        FileDescriptorStoreMax=3
    """,
    "k3s": """
        Type=forking
        PIDFile=/run/k3s.pid
        Environment=STANDIN_PIDFILE=/run/k3s.pid
        Slice=machine.slice
    """,
    "kubelet": """
        WorkingDirectory=/var/lib/kubelet
        ExecStart=
        ExecStart=!!kubelet $KUBELET_KUBECONFIG_ARGS ${KUBELET_EXTRA_ARGS}
        Group=daemon
        SupplementaryGroups=disk
        OOMScoreAdjust=-999
    """,
}  # fmt: skip


def _with_more(node: Machine) -> Machine:
    install(node)
    nodes.install(node, *SERVICES)
    node.write("/etc/key", "value")
    for unit, settings in MORE.items():
        service(node, f"{unit}.service.d/more.conf", "\n".join(map(str.strip, settings.splitlines())))
    return node


def test_services_with_more_settings(machine: Maker, lower: str) -> None:
    _compare(_with_more(machine(lower)))


CLIENT = """
import socket
with socket.socket(socket.AF_UNIX) as client:
    client.connect("/run/docker.sock")
    print(client.recv(99).decode())
"""


def test_what_the_settings_do_over_time(machine: Maker, lower: str) -> None:
    """Watchdog, PIDFile=, $MAINPID and passed sockets are with the processes that nsenter became."""
    node = _with_more(machine(lower))
    service(node, "containerd.service.d/watchdog.conf", "WatchdogSec=1")
    service(node, "service.d/restart.conf", "RestartSec=0")
    node.boot()
    _wrap(node)
    pids = {unit: node.main_pid(unit) for unit in SERVICES}

    node.systemctl("reload", "crio", "docker")
    node.wait_until(lambda: [nodes.report(node, unit)["reloads"] for unit in ("crio", "docker")] == [1, 1])
    assert [node.main_pid(unit) for unit in ("crio", "docker")] == [pids["crio"], pids["docker"]]

    node.run("kill", "-KILL", str(pids["k3s"]))
    node.wait_until(lambda: node.main_pid("k3s") not in (0, pids["k3s"]))

    node.systemctl("stop", "docker")
    assert node.run("/usr/bin/python3", "-c", CLIENT).stdout == "dockerd\n"
    assert nodes.report(node, "docker")["sockets"] == ["/run/docker.sock"]

    node.run("sleep", "1.5")
    assert node.main_pid("containerd") == pids["containerd"]
    node.run("kill", "-STOP", str(pids["containerd"]))
    node.wait_until(lambda: node.main_pid("containerd") not in (0, pids["containerd"]))
    assert "with result 'watchdog'" in node.journal("containerd")
    assert whereabouts(node, *SERVICES) == ["inside"] * len(SERVICES)
