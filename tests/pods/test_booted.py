"""Pods booted: what systemd makes of the units, on every release."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kubens_machine import install
from machine import Machine

from .booted import PODS, app, appc, give_json, manifest, python_tree, tree

pytestmark = pytest.mark.needs("busybox")

Maker = Callable[..., Machine]

# Answers on the socket that systemd passes, with what it finds in the volumes.
SERVER = r"""
import os, socket
listening = socket.socket(fileno=3)
while True:
    connection = listening.accept()[0]
    note = open("/shared/note").read()
    try:
        open("/usr/written", "w")
    except OSError as error:
        note += f"{error.strerror}\n"
    connection.sendall(f"{os.environ['LISTEN_FDS']} {os.getuid()} {note}".encode())
    connection.close()
"""
CLIENT = "import socket; print(socket.create_connection(('127.0.0.1', 8080), 5).recv(4096).decode(), end='')"
# Every byte but NUL and what is no UTF-8.
BYTES = "".join(map(chr, range(1, 256))) + '%h %% $HOME ${HOME} \\n \\ " \' ; é \U0001f600 '
WORKER = "pwd >/data/pwd && cd /shared && umask 022 && echo seen >note && echo host >/data/note; exec sleep 1000"

SHOP = appc(
    app(
        "web",
        *("/usr/bin/python3", "-Ic", SERVER),
        ports=[{"name": "http", "protocol": "tcp", "port": 80, "socketActivated": True}],
        mounts=[{"volume": "usr", "path": "/usr"}, {"volume": "scratch", "path": "/shared"}],
    ),
    app(
        "worker",
        *("/bin/sh", "-c", WORKER),
        user=54321,
        supplementaryGIDs=[54000, 4],
        workingDirectory="/bin",
        environment=[{"name": "BYTES", "value": BYTES}],
        isolators=[
            {"name": "resource/memory", "value": {"limit": "64Mi"}},
            {"name": "resource/cpu", "value": {"limit": "250m"}},
            {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_KILL"]}},
        ],
        eventHandlers=[
            {"name": "pre-start", "exec": ["/bin/touch", "/shared/pre-start"]},
            {"name": "post-stop", "exec": ["/bin/touch", "/data/post-stop"]},
        ],
        mounts=[{"volume": "scratch", "path": "/shared"}, {"volume": "data", "path": "/data"}],
    ),
    volumes=[
        {"name": "usr", "kind": "host", "source": "/usr", "readOnly": True},
        {"name": "data", "kind": "host", "source": "/srv/da ta%h"},
        {"name": "scratch", "kind": "empty", "mode": "0770", "uid": 54321, "gid": 54000},
    ],
    ports=[{"name": "http", "hostPort": 8080}],
    isolators=[{"name": "resource/memory", "value": {"limit": "256Mi"}}],
)


def prepare(node: Machine) -> None:
    """A machine with the shop's trees and volumes."""
    install(node)
    give_json(node)
    python_tree(node, "shop", "web")
    tree(node, "shop", "worker")
    node.write("/srv/da ta%h/there", "")
    (node.tree / "srv/da ta%h").chmod(0o777)
    manifest(node, "shop", SHOP)


def mounts_of(node: Machine) -> list[str]:
    return [path for path in node.mounts() if path.startswith(PODS)]


def states(node: Machine, *units: str) -> list[str]:
    return [node.show(unit, "ActiveState")["ActiveState"] for unit in units]


def settle(node: Machine) -> None:
    node.wait_until(lambda: node.systemctl("show", "--property=NJobs").stdout == "NJobs=0\n")


def start(node: Machine) -> None:
    node.systemctl("start", "shop-pod.target")
    settle(node)


UNITS = ("shop-pod.target", "shop-pod.service", "shop-web.socket", "shop-worker.service")


def test_a_pod_from_boot_to_end(machine: Maker, lower: str) -> None:
    node = machine(lower)
    prepare(node)
    node.boot()
    assert states(node, *UNITS, "shop-web.service") == ["active"] * 4 + ["inactive"]
    check_worker(node)
    # The port answers, from what the other app left in the volume; nothing writes to the read-only one.
    assert node.run("python3", "-Ic", CLIENT).stdout == "1 0 seen\nRead-only file system\n"
    assert states(node, "shop-web") == ["active"]
    assert node.run("sh", "-c", "echo no >/usr/bin/written && rm /usr/bin/written").stdout == ""
    volume = f"{PODS}/shop/.volumes/scratch"
    assert node.run("stat", "-c", "%a %u %g", volume).stdout == "770 54321 54000\n"
    assert node.run("ls", volume).stdout == "note\npre-start\n"
    assert node.read("/srv/da ta%h/note") == "host\n"
    check_verified(node)
    check_failure(node)
    check_repeated(node)
    check_removed(node)


def check_worker(node: Machine) -> None:
    pid = node.main_pid("shop-worker")
    status = dict(line.split(":\t", 1) for line in node.read(f"/proc/{pid}/status").splitlines())
    assert status["Uid"].split() == ["54321"] * 4 == status["Gid"].split()
    assert sorted(status["Groups"].split()) == ["4", "54000", "54321"]
    assert status["CapBnd"] == f"{1 << 5:016x}"
    assert node.read("/srv/da ta%h/pwd") == "/bin\n"
    environment = (node.tree / f"proc/{pid}/environ").read_bytes().split(b"\0")
    assert {b"BYTES=" + BYTES.encode(), b"HOME=/", b"USER=54321", b"AC_APP_NAME=worker"} <= set(environment)
    limits = node.show("shop-worker", "MemoryMax", "CPUQuotaPerSecUSec", "Slice", "SyslogIdentifier")
    assert limits == {
        "MemoryMax": str(64 << 20),
        "CPUQuotaPerSecUSec": "250ms",
        "Slice": "pods-shop.slice",
        "SyslogIdentifier": "shop-worker",
    }
    assert node.show("pods-shop.slice", "MemoryMax") == {"MemoryMax": str(256 << 20)}


def check_verified(node: Machine) -> None:
    made = node.run("sh", "-c", "cd /run/systemd/generator && ls -d shop-* pods-* var-lib-*").stdout.split()
    assert len(made) == 12
    path = "SYSTEMD_UNIT_PATH=/run/systemd/generator:"
    done = node.run("env", path, "systemd-analyze", "verify", "--man=no", *made, check=False)
    assert [line for line in done.stderr.splitlines() if "shop" in line or "pods" in line] == []


def check_failure(node: Machine) -> None:
    """An app that fails takes the pod with it, and nothing is left over; then the pod starts again."""
    node.run("kill", "-KILL", str(node.main_pid("shop-worker")))
    node.wait_until(lambda: states(node, *UNITS) == ["inactive"] * 3 + ["failed"])
    settle(node)
    assert states(node, "shop-web", "shop-pod-failed.target") == ["inactive", "active"]
    assert mounts_of(node) == []
    assert node.run("ls", "-A", f"{PODS}/shop").stdout == "web\nworker\n"
    assert (node.tree / "srv/da ta%h/post-stop").exists()
    start(node)
    assert states(node, *UNITS, "shop-pod-failed.target") == ["active"] * 4 + ["inactive"]


def check_repeated(node: Machine) -> None:
    for _ in range(20):
        node.systemctl("stop", "shop-pod.target")
        assert mounts_of(node) == []
        start(node)
        assert len(mounts_of(node)) == 2  # those of the worker, while nobody has asked for the other
    assert states(node, *UNITS) == ["active"] * 4
    node.systemctl("restart", "shop-pod.target")
    settle(node)
    assert states(node, *UNITS) == ["active"] * 4


def check_removed(node: Machine) -> None:
    """What is configured no more goes on as it is until it is stopped, whole, and is gone then."""
    pid = node.main_pid("shop-worker")
    node.run("rm", "/etc/kubens/pods/shop.json")
    for _ in range(2):
        node.daemon_reload()
        assert states(node, *UNITS) == ["active"] * 4
        assert node.main_pid("shop-worker") == pid
    assert node.run("python3", "-Ic", CLIENT).stdout == "1 0 seen\nRead-only file system\n"
    guards = node.tree / "run/systemd/system-generators"
    assert (guards / "kubens-generator").is_symlink()
    node.systemctl("stop", "shop-pod.target")
    settle(node)
    assert mounts_of(node) == []
    assert not (node.tree / "run/kubens-generator").exists() and not guards.exists()
    node.daemon_reload()
    assert {node.show(unit, "LoadState")["LoadState"] for unit in UNITS} == {"not-found"}
