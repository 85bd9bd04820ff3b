"""What README.md tells people to type works.

A block under `<!-- test: NAME -->` is run; one under `<!-- file: NAME PATH -->` is written. Those of one NAME follow
each other in one machine, in a checkout.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import nodes
from kubens_machine import whereabouts
from machine import CHECKOUT, Machine

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"<!-- (?:test|file): (\w+) ?(\S*) ?-->\n```\w+\n(.*?)```\n", re.DOTALL)
CLONE = "/root/clone"


def blocks(name: str) -> Iterator[tuple[str, str]]:
    """(path or "", text) of each block of a machine."""
    return ((path, text) for found, path, text in _BLOCK.findall(README) if found == name)


def carry_out(node: Machine, path: str, text: str) -> str:
    """What the commands of a block wrote."""
    if path:
        node.write(path, text)
        return ""
    return node.run("sh", "-euc", f"cd {CLONE}; {text}", env={"SYSTEMD_PAGER": "cat"}).stdout


def clone(node: Machine) -> None:
    for name in ("Makefile", "bin", "conf", "generator", "lib", "libexec", "man", "packaging"):
        node.install(CHECKOUT / name, f"{CLONE}/{name}")


def inside(node: Machine, *services: str) -> list[bool]:
    return [place == "inside" for place in whereabouts(node, *(f"{service}.service" for service in services))]


@pytest.fixture
def node(machine: Callable[..., Machine]) -> Machine:
    made = machine()
    clone(made)
    nodes.install(made, "containerd", "crio", "kubelet")
    made.boot()
    return made


def test_a_node_from_its_installation_to_the_end(node: Machine) -> None:
    steps = blocks("node")

    def follow(*expected: str) -> str:
        path, text = next(steps)
        assert all(word in text for word in expected), text
        return carry_out(node, path, text)

    follow("make install")
    follow("Wrap=")
    follow("daemon-reload", "restart")
    assert inside(node, "containerd", "kubelet") == [True, True]
    shown = follow("systemctl status", "systemctl cat")
    assert "active (exited)" in shown
    assert shown.splitlines()[-1].startswith("SyslogIdentifier=kubelet")
    host, member = follow("readlink").split()
    assert host == node.mount_namespace(1) != member
    assert follow("kubensenter findmnt").startswith("TARGET")
    follow("mask")
    assert outside(node, "containerd", "kubelet")
    node.systemctl("unmask", "kubens")
    node.daemon_reload()
    node.systemctl("restart", "containerd", "kubelet")
    assert inside(node, "containerd", "kubelet") == [True, True]
    follow("rm ", "make uninstall")
    assert outside(node, "containerd", "kubelet")
    assert node.run("find", "/usr", "/run", "-name", "*kubens*").stdout == ""
    assert not list(steps)


def outside(node: Machine, *services: str) -> bool:
    namespaces = {node.mount_namespace(node.main_pid(f"{service}.service")) for service in services}
    return namespaces == {node.mount_namespace(1)}


def test_one_step(node: Machine) -> None:
    for path, text in blocks("quick"):
        carry_out(node, path, text)
    assert inside(node, "kubelet") == [True]
    assert nodes.report(node, "crio")["environment"]["KUBENSMNT"] == "/run/kubens/mnt"


def test_the_kernel_command_line_turns_it_off(machine: Callable[..., Machine]) -> None:
    assert "`kubens=0` on the kernel command line" in README
    node = machine()
    clone(node)
    subprocess.run(
        ["make", "--silent", f"--directory={CHECKOUT}", "install", f"DESTDIR={node.tree}", "WRAP_SERVICES=kubelet"],
        check=True,
    )
    nodes.install(node, "kubelet")
    node.boot("kubens=0")
    assert outside(node, "kubelet")
    node.reboot()
    assert inside(node, "kubelet") == [True]


def test_every_target_and_every_file_named_is_there() -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^| {4}|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "check", "bench", "install", "uninstall"} <= targets
    assert {target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)} == set()
    files = re.findall(r"\]\(([^):]+)\)", README)
    assert files
    assert [name for name in files if not Path(CHECKOUT, name).exists()] == []
