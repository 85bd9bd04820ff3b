"""The services of Kubernetes' nodes run, each in its machine, as they are without kubens."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from machine import Machine
from nodes import PROGRAMS, install, report

Maker = Callable[..., Machine]

ARGUMENTS = {
    "containerd": [],
    "crio": [
        *("--config", "/etc/crio/crio.conf"),
        *("--storage-driver", "overlay", "--storage-opt", "overlay.mountopt=nodev"),
    ],
    "docker": ["-H", "fd://", "--containerd=/run/containerd/containerd.sock"],
    "k3s": [
        *("server", "--write-kubeconfig-mode", "644", "--node-name", "node 1"),
        *("--kubelet-arg", "max-pods=500"),
    ],
    "kubelet": [
        "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
        "--kubeconfig=/etc/kubernetes/kubelet.conf",
        "--config=/var/lib/kubelet/config.yaml",
        "--container-runtime-endpoint=unix:///run/containerd/containerd.sock",
        "--node-ip=192.0.2.10",
        "--v=2",
        "--node-labels=rack=12",
    ],
}


def _booted(node: Machine, *services: str) -> Machine:
    install(node, *services)
    node.boot()
    return node


@pytest.mark.parametrize("service", ARGUMENTS)
def test_service_runs_after_boot(machine: Maker, lower: str, service: str) -> None:
    node = _booted(machine(lower), service)
    assert node.systemctl("is-system-running").stdout == "running\n"
    assert node.show(service, "ActiveState", "Result", "NRestarts") == {
        "ActiveState": "active",
        "Result": "success",
        "NRestarts": "0",
    }
    given = report(node, service)
    assert given["pid"] == node.main_pid(service)
    assert given["namespaces"]["mnt"] == node.mount_namespace()
    assert given["command"][:2] == ["/usr/bin/python3", "-IS"]
    assert given["command"][2].endswith(f"/bin/{PROGRAMS[service]}")
    assert given["command"][3:] == ARGUMENTS[service]


def test_all_of_them_in_one_machine(machine: Maker) -> None:
    node = _booted(machine(), *ARGUMENTS)
    assert node.systemctl("is-active", *ARGUMENTS).stdout.split() == ["active"] * len(ARGUMENTS)
    assert node.systemctl("is-active", "cri-o.service").stdout == "active\n"


def test_what_k3s_is_given(machine: Maker) -> None:
    node = _booted(machine(), "k3s")
    given = report(node, "k3s")
    assert given["environment"]["K3S_TOKEN"] == "secret"
    assert given["environment"]["USER"] == "root"
    assert given["status"]["Uid"].split() == ["0"] * 4
    assert given["limits"]["Max core file size"] == ("unlimited", "unlimited")
    assert given["directory"] == "/"
    assert "0::/system.slice/k3s.service" in given["control_groups"]


@pytest.mark.parametrize("service", ["crio", "docker"])
def test_reload_reaches_the_daemon(machine: Maker, service: str) -> None:
    node = _booted(machine(), service)
    node.systemctl("reload", service)
    node.wait_until(lambda: report(node, service)["reloads"] == 1)


def test_docker_is_started_by_its_socket(machine: Maker) -> None:
    node = machine()
    install(node, "docker", enable=False)
    node.boot()
    node.systemctl("start", "docker.socket")
    assert node.main_pid("docker") == 0
    assert _ask(node, "/run/docker.sock") == "dockerd"
    given = report(node, "docker")
    assert given["sockets"] == ["/run/docker.sock"]
    assert given["environment"]["LISTEN_PID"] == str(given["pid"]) == str(node.main_pid("docker"))
    assert node.run("stat", "--format=%a %U:%G", "/run/docker.sock").stdout == "660 root:docker\n"


def test_what_the_daemon_does_when_told(machine: Maker) -> None:
    node = machine()
    settings = {
        "mounts": "Environment=STANDIN_MOUNTS=200",
        "watchdog": "WatchdogSec=0.5",
        "credential": "LoadCredential=key:/etc/key",
        "limits": "OOMScoreAdjust=99\nLimitNOFILE=2000:3000",
    }
    node.write("/etc/key", "value")
    for name, setting in settings.items():
        node.write(f"/etc/systemd/system/containerd.service.d/{name}.conf", f"[Service]\n{setting}\n")
    node.write("/etc/systemd/system/k3s.service.d/forking.conf", FORKING)
    _booted(node, "containerd", "k3s")
    mounts = [f"/var/lib/containerd/mounts/{number}" for number in range(200)]
    assert [path for path in node.mounts() if path.startswith("/var/lib/containerd/")] == mounts
    given = report(node, "containerd")
    assert given["credentials"] == {"key": "value"}
    assert given["limits"]["Max open files"] == ("2000", "3000")
    assert given["oom_score_adjust"] == 99
    assert given["environment"]["NOTIFY_SOCKET"]
    assert given["sockets"] == []
    assert node.main_pid("k3s") == int(node.read("/run/k3s.pid")) == report(node, "k3s")["pid"]

    node.run("sleep", "1")
    pid = node.main_pid("containerd")
    assert node.show("containerd", "NRestarts", "ActiveState") == {"NRestarts": "0", "ActiveState": "active"}
    node.run("kill", "-STOP", str(pid))
    node.wait_until(lambda: node.show("containerd", "Result")["Result"] == "watchdog")


CLIENT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    print(client.recv(99).decode())
"""
FORKING = """[Service]
Type=forking
PIDFile=/run/k3s.pid
Environment=STANDIN_PIDFILE=/run/k3s.pid
"""


def _ask(node: Machine, socket: str) -> str:
    """Connect to a socket in the machine, and read."""
    return node.run("/usr/bin/python3", "-c", CLIENT, socket).stdout.strip()
