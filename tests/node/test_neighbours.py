"""What else there is on a node with containerd inside: another runtime, monitoring, housekeeping, the journal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import node as nodes
from kubens_machine import configure, service, whereabouts
from machine import Machine
from node import cri, image

CONFIGURATION = """\
[MountNamespace]
Wrap=containerd.service monitor-wrapped.service
Env=monitor-env.service
"""
# A monitoring service that looks at the node's mounts, as people have them.
MONITOR = "Type=oneshot\nExecStart={}/usr/bin/findmnt --noheadings --list --output=TARGET\n"
MONITORS = {"monitor-wrapped": "", "monitor-env": "/usr/bin/kubensenter --quiet -- ", "monitor": ""}
# Debian's podman and its network, in machines without control groups.
PODMAN = ("podman", "--cgroup-manager=cgroupfs", "--runtime=/usr/local/bin/crun")


@pytest.fixture(scope="module")
def node(tree: Path) -> Iterator[Machine]:
    with nodes.machine(tree) as made:
        configure(made, CONFIGURATION)
        for name, command in MONITORS.items():
            service(made, f"{name}.service", MONITOR.format(command))
        busybox = (tree / "usr/bin/busybox").read_bytes()
        made.write("/root/image.tar", image.archive(busybox, {nodes.BUSYBOX: ["sh"]}))
        made.boot()
        nodes.load(made)
        yield made


def _podman(node: Machine, *arguments: str) -> str:
    return node.run(*PODMAN, *arguments, timeout=60).stdout


def test_an_unwrapped_runtime_of_its_own(node: Machine, runtime: cri.Runtime) -> None:
    """podman on the host: its containers run beside containerd's, and neither takes the other's mounts or networks."""
    pod = runtime.pod("beside")
    inner = pod.container("inner", "sleep", "1000")
    _podman(node, "load", "--quiet", "--input=/root/image.tar")
    image_name = _podman(node, "images", "--quiet").strip()
    arguments = ("run", "--detach", "--cgroups=disabled", "--init=false", "--stop-signal=KILL")
    _podman(node, *arguments, "--name=outer", image_name, "sleep", "1000")
    pid = int(_podman(node, "inspect", "--format={{.State.Pid}}", "outer"))
    assert node.mount_namespace(pid) not in (node.mount_namespace(1), node.mount_namespace(node.main_pid("containerd")))
    assert "inet 10.88." in _podman(node, "exec", "outer", "ip", "addr")
    merged = [path for path in node.mounts() if path.startswith("/var/lib/containers/") and path.endswith("/merged")]
    assert len(merged) == 1 and nodes.of_containers(node.mounts()) != []
    assert all(path.startswith("/run/netns/") for path in nodes.of_containers(node.mounts()))
    assert cri.execute(runtime, inner, "echo", "here") == "here\n"
    # A network namespace of the host's is to be seen inside too; it goes although there is a copy of its mount.
    _podman(node, "rm", "--force", "outer")
    pod.remove()
    assert list((node.tree / "run/netns").iterdir()) == []
    assert nodes.of_containers(node.mounts()) == nodes.of_containers(nodes.inside(node)) == []


def test_people_s_commands(node: Machine) -> None:
    nodes.run(node, "seen", "sleep", "1000")
    rootfs = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/seen/rootfs"
    find = ("findmnt", "--noheadings", "--output=TARGET", rootfs)
    assert node.run("kubensenter", "--quiet", "--", *find).stdout.strip() == rootfs
    assert node.run(*find, check=False).returncode == 1
    # Of the host, ctr asks the daemon over its socket; inside, it sees its containers' root directories as well.
    for enter in ((), ("kubensenter", "--quiet", "--")):
        assert "seen" in node.run(*enter, "ctr", "--namespace=k8s.io", "tasks", "list").stdout
    assert "busybox" in node.run("kubensenter", "--quiet", "--", "ls", f"{rootfs}/bin").stdout
    assert node.run("ls", rootfs).stdout == ""
    status = json.loads(node.run("kubensctl", "status", "--json", check=False).stdout)["namespaces"][0]
    assert status["mounts_hidden"] == 1


def test_monitoring(node: Machine) -> None:
    """A Wrap and an Env member see the containers' mounts, any other service does not."""
    seen = {}
    for name in MONITORS:
        node.systemctl("start", name)
        seen[name] = "/k8s.io/seen/rootfs" in node.journal(f"{name}.service")
    assert seen == {"monitor-wrapped": True, "monitor-env": True, "monitor": False}


def test_housekeeping(node: Machine) -> None:
    """The services of the host that are sandboxed themselves go on as they were."""
    for name in ("logrotate.service", "systemd-tmpfiles-clean.service"):
        node.systemctl("start", name)
        assert node.show(name, "Result", "DropInPaths") == {"Result": "success", "DropInPaths": ""}


def _identifiers(node: Machine) -> set[tuple[str, str]]:
    """(unit, SYSLOG_IDENTIFIER) of all that services wrote. systemd and the kernel write about them.

    So does systemd's child before it executes the command, which goes by the command's name in brackets:
    whether it has to say something (about a slow start, say) depends on the machine, not on the unit.
    """
    lines = map(json.loads, node.journal(None, "--output=json").splitlines())
    found = {(line.get("_SYSTEMD_UNIT", ""), str(line.get("SYSLOG_IDENTIFIER", ""))) for line in lines}
    units = ("containerd", "kubens", "monitor", "logrotate")
    return {(unit, name) for unit, name in found if unit.startswith(units) and not name.startswith("(")}


def test_journal_identifiers(node: Machine) -> None:
    """The same as without kubens, but for what is documented: commands beside ExecStart= go by its name."""
    found = []
    nodes.remove(node, "seen")
    for argument in ("kubens=0", ""):
        node.reboot(*argument.split())
        nodes.load(node)
        node.systemctl("start", "monitor", "monitor-wrapped")
        assert whereabouts(node, "containerd.service") == ["inside" if not argument else "host"]
        found.append(_identifiers(node))
    without, wrapped = found
    assert ("containerd.service", "containerd") in without and ("monitor-wrapped.service", "findmnt") in without
    # Without modules, the package's ExecStartPre=-/sbin/modprobe complains.
    documented = ("containerd.service", "modprobe")
    assert wrapped == without - {documented}
