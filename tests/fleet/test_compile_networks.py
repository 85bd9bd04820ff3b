"""`kubensctl compile`: network namespaces and pods on machines that have no interpreter."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctl import kubensctl, tree, write
from fleet import apply_ignition, ignition_files
from kubens_machine import configure, service, whereabouts
from machine import Machine
from netns import VETH, namespace_of, remains, states
from pods.booted import app, appc, manifest
from pods.booted import tree as pod_tree

Maker = Callable[..., Machine]

CHECK = "kubens-compiled.service"
CONFIGURATION = """\
[MountNamespace]
Wrap=m
[NetworkNamespace]
Name=blue
Types=veth own
Services=web echo.socket
[NetworkNamespace]
Name=red
WantedBy=
Services=lone m
[NetworkNamespace]
Name=green
Types=lo
WantedBy=later.target
"""
OWN = """\
configure_own_up_inside() { ip link add dummy type veth peer name other; ip link set dummy up; }
configure_own_down_outside() { echo "own is down" >/run/own; }
NO_CONFIG_REQUIRED=1
"""
NODE = {
    "/etc/conf.d/netns/veth-blue.conf": VETH.format(1),
    "/etc/conf.d/netns/own.sh": OWN,
    "/etc/netns/blue/hosts": "10.1.1.1 host.of.blue\n",
}
WEB = "ExecStart=/bin/sleep 1000\nExecStartPre=/bin/sh -c 'cat /etc/hosts >/run/hosts'"


def _compiled(root: Path) -> Any:
    done = kubensctl("compile", f"--root={root}", "--format=ignition")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _without_python(node: Machine) -> None:
    for program in (node.tree / "usr/bin").glob("python3*"):
        program.unlink()
    for library in (node.tree / "usr/lib").glob("python3*"):
        shutil.rmtree(library)


def _without_configuration(node: Machine) -> None:
    for path in ("kubens", "conf.d/netns", "netns"):
        shutil.rmtree(node.tree / "etc" / path, ignore_errors=True)


@pytest.mark.needs("busybox")
def test_a_node_without_python(machine: Maker, each_lower: str) -> None:
    """All that a node may have, compiled from a tree with its configuration, and booted with nothing but the result."""
    node = machine(each_lower)
    configure(node, CONFIGURATION)
    node.write("/etc/hosts", "127.0.0.1 localhost\n")
    for path, text in NODE.items():
        node.write(path, text)
    service(node, "m.service", "ExecStart=/bin/sleep 1000")
    service(node, "web.service", WEB)
    service(node, "lone.service", "ExecStart=/bin/sleep 1000")
    service(node, "echo@.service", "StandardInput=socket\nExecStart=/bin/readlink /proc/self/ns/net")
    service(node, "echo.socket", "[Socket]\nListenStream=10.1.1.2:7\nAccept=yes\n")
    service(node, "later.target", "[Unit]\nDescription=Later\n")
    for name in ("m.service", "web.service", "echo.socket"):
        node.link(f"/etc/systemd/system/multi-user.target.wants/{name}", f"../{name}")
    pod_tree(node, "shop", "till")
    node.write("/srv/goods/apple", "an apple\n")
    till = app("till", "/bin/sh", "-c", "cat /goods/apple && exec sleep 1000", user=4711,
               mounts=[{"volume": "goods", "path": "/goods"}])  # fmt: skip
    manifest(node, "shop", appc(till, volumes=[{"name": "goods", "kind": "host", "source": "/srv/goods"}]))
    made = _compiled(node.tree)
    _without_configuration(node)
    _without_python(node)
    apply_ignition(node.tree, made)
    node.boot()
    assert node.systemctl("--failed", "--plain", "--no-legend").stdout == ""
    assert states(node, CHECK, "netns-own@blue", "netns-lo@green", "shop-pod.target") == ["active"] * 2 + [
        "inactive", "active",
    ]  # fmt: skip
    assert [namespace_of(node, unit) for unit in ("web", "m")] == ["blue", "red"]
    assert whereabouts(node, "m") == ["inside"]
    assert node.read("/run/hosts") == NODE["/etc/netns/blue/hosts"]
    assert "dummy" in node.run("ip", "-netns", "blue", "link").stdout
    assert "an apple" in node.journal(None, "SYSLOG_IDENTIFIER=shop-till")
    assert node.read(f"/proc/{node.main_pid('shop-till')}/status").split("Uid:\t")[1].startswith("4711")
    assert "/run/systemd/generator" not in node.show("shop-till", "FragmentPath")["FragmentPath"]

    # What nobody wanted at boot starts as it was declared, and all of it ends as it was made.
    node.systemctl("start", "lone", "later.target")
    assert namespace_of(node, "lone") == "red"
    assert states(node, "netns-lo@green") == ["active"]
    node.systemctl("stop", "netns-veth@blue", "netns-own@blue", "netns-lo@green", "netns_name@red", "shop-pod.target")
    assert states(node, "web", "lone", "m", "shop-till") == ["inactive"] * 4
    assert remains(node) == []
    assert node.read("/run/own") == "own is down\n"
    assert "till" not in "".join(node.mounts())

    # What came along changes, and what is bound over /etc: not what is only read at the next start.
    node.write("/etc/conf.d/netns/own.sh", OWN + "# changed\n")
    node.write("/etc/netns/blue/nsswitch.conf", "hosts: files\n")
    node.run("sh", "-c", "echo other >/run/hosts.other; ln -sf /run/hosts.other /etc/hosts")
    service(node, "web.service", WEB + "\nNetworkNamespacePath=/run/netns/other")
    node.systemctl("daemon-reload")
    node.systemctl("restart", CHECK, check=False)
    said = node.journal(CHECK, "--output=cat", f"_SYSTEMD_UNIT={CHECK}").splitlines()
    assert said[:-1] == [
        "/etc/netns/blue: has other files",
        "/etc/hosts: does not lead to /etc/hosts",
        "/etc/conf.d/netns/own.sh: has changed",
        "/etc/systemd/system/web.service: has changed",
    ]


# Without a machine

FILES = {
    **NODE,
    "/etc/kubens/services.conf": CONFIGURATION,
    "/etc/systemd/system/web.service": "[Service]\nExecStart=/usr/bin/a\n",
    "/etc/hosts": "",
}
NETWORKS = {
    "netns_name@.service", "netns_name@red.service",
    *(f"netns{where}-{kind}@.service" for where in ("", "_outside") for kind in ("lo", "own", "veth")),
    "netns-veth@blue.service", "netns-own@blue.service", "netns-lo@green.service",
}  # fmt: skip


def _tree(path: Path, **files: str) -> Path:
    return tree(path, {**FILES, **files}, ("a", "bash", "ip"))


def test_what_comes_along(tmp_path: Path) -> None:
    root = _tree(tmp_path / "root")
    write(root, "/etc/conf.d/netns/nft.rules", "flush ruleset\n").chmod(0o600)
    done = kubensctl("compile", f"--root={root}", "--format=ignition")
    assert "/etc/conf.d/netns/nft.rules: is for root's eyes alone" in done.stderr
    made = json.loads(done.stdout)
    files = ignition_files(made)
    assert files["/etc/conf.d/netns/nft.rules"] == (0o600, "flush ruleset\n")
    types = {path.rpartition("/")[2] for path in files if path.startswith("/opt/kubens/bin/netns/")}
    assert types == {"lo.sh", "nft.rules", "nft.sh", "veth.sh"}
    assert files["/opt/kubens/bin/kubens-netns"][0] == 0o755
    assert files["/etc/conf.d/netns/own.sh"] == (0o644, OWN)
    # No unit asks for anything that would be beside a generator, or that nobody brings.
    for path, (_, text) in files.items():
        if path.startswith("/etc/systemd/system/"):
            assert "/usr/lib/kubens" not in text and "record" not in text, path
    units = {unit["name"]: unit for unit in made["systemd"]["units"]}
    assert NETWORKS - {"netns_name@red.service"} <= units.keys()
    enabled = {name for name, unit in units.items() if unit.get("enabled")}
    assert {name for name in enabled if "netns" in name} == {
        "netns-veth@blue.service", "netns-own@blue.service", "netns-lo@green.service",
    }  # fmt: skip
    assert units["netns-lo@green.service"]["contents"].endswith("[Install]\nWantedBy=later.target\n")


def test_what_a_package_or_somebody_has_there_stays(tmp_path: Path) -> None:
    """Templates, and files of the administrator's that a link leads to; and a second time gives the same."""
    mine = "[Service]\nExecStart=/bin/mine\n"
    root = _tree(tmp_path / "root", **{"/etc/systemd/system/netns-lo@.service": mine})
    (root / "etc/conf.d/netns/own.sh").rename(root / "etc/own.sh")
    (root / "etc/conf.d/netns/own.sh").symlink_to("/etc/own.sh")
    for _ in range(2):
        done = kubensctl("compile", f"--root={root}", "--format=units", f"--output={root}")
        assert done.returncode == 0, done.stderr
        assert (root / "etc/systemd/system/netns-lo@.service").read_text() == mine
        assert not (root / "etc/systemd/system/netns-lo@green.service").exists()
        assert (root / "etc/conf.d/netns/own.sh").readlink() == Path("/etc/own.sh")
        wants = root / "etc/systemd/system/later.target.wants/netns-lo@green.service"
        assert wants.is_symlink()

    # What is configured no more goes, with the programs; what people wrote stays.
    write(root, "/etc/kubens/services.conf", "[MountNamespace]\nWrap=web\n")
    (root / "etc/conf.d/netns/own.sh").unlink()
    (root / "etc/conf.d/netns/veth-blue.conf").unlink()
    assert kubensctl("compile", f"--root={root}", "--format=units", f"--output={root}").returncode == 0
    assert not [*root.glob("opt/kubens/bin/**/*.sh"), *root.glob("etc/systemd/system/netns-veth*")]
    assert (root / "etc/netns/blue/hosts").exists()


def test_an_enabled_instance_finds_its_template(tmp_path: Path) -> None:
    """As systemd-netns' users have it: no [NetworkNamespace], a file of variables, and a link."""
    root = tree(tmp_path, {"/etc/conf.d/netns/veth-blue.conf": VETH.format(1)}, ("bash", "ip"))
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "netns-lo@blue.service").symlink_to("/usr/lib/systemd/system/netns-lo@.service")
    made = _compiled(root)
    names = {unit["name"] for unit in made["systemd"]["units"]}
    assert {"netns-lo@.service", "netns-veth@.service", "netns_name@.service"} <= names
    assert "netns-nft@.service" not in names


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("/etc/conf.d/netns/veth-blue.conf", "A=\udcff\n", "veth-blue.conf: is no UTF-8 text"),
        ("/etc/kubens/services.conf", CONFIGURATION + "[NetworkNamespace]\nName=x\nTypes=none\n", "no such type"),
    ],
    ids=["no text", "no type"],
)
def test_what_cannot_be_carried_is_refused(tmp_path: Path, path: str, text: str, reason: str) -> None:
    root = _tree(tmp_path)
    write(root, path, text)
    done = kubensctl("compile", f"--root={root}", "--format=ignition")
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    write(root, path, FILES[path])
    assert kubensctl("compile", f"--root={root}", "--format=ignition").returncode == 0
