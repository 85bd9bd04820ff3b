"""The package removed while network namespaces and pods live: `make check-packages` runs this on every release."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kubens_machine import configure, service
from machine import Machine
from netns import VETH, namespace_of, remains, states
from package import GENERATOR, provide
from pods import booted

pytestmark = pytest.mark.needs("dpkg-buildpackage", "lintian", "busybox")

Maker = Callable[..., Machine]

CONFIGURATION = """\
[NetworkNamespace]
Name=blue
Types=veth nft own
Services=web
[NetworkNamespace]
Name=red
Services=lone
"""
OWN = """\
configure_own_up_inside() { ip link add dummy type veth peer name other; }
configure_own_down_outside() { echo down >>/run/own; }
NO_CONFIG_REQUIRED=1
"""
BLUE = ("netns-veth@blue", "netns-nft@blue", "netns-own@blue")
SHOP = booted.appc(
    booted.app("till", "/bin/sh", "-c", "umask 022; echo open >/desk/note; exec sleep 1000", user=4711,
               mounts=[{"volume": name, "path": f"/{name}"} for name in ("goods", "desk")]),
    volumes=[
        {"name": "goods", "kind": "host", "source": "/srv/goods"},
        {"name": "desk", "kind": "empty", "uid": 4711},
    ],
)  # fmt: skip


def _node(machine: Maker, packages: Path, lower: str) -> Machine:
    node = machine(lower)
    provide(node, packages, lower)
    configure(node, CONFIGURATION, "mine.conf")
    node.write("/etc/conf.d/netns/veth-blue.conf", VETH.format(1))
    node.write("/etc/conf.d/netns/own.sh", OWN)
    for name in ("web", "lone"):
        service(node, f"{name}.service", "ExecStart=/bin/sleep 1000")
    booted.tree(node, "shop", "till")
    booted.manifest(node, "shop", SHOP)
    node.write("/srv/goods/apple", "")
    node.boot()
    node.run("dpkg", "--install", "/root/kubens")
    node.systemctl("start", "web", "lone", "shop-pod.target")
    # What is installed finds its programs, to compile for others.
    node.run("kubensctl", "compile", "--format=units", "--output=/root/compiled")
    carried = node.run("ls", "/root/compiled/opt/kubens/bin", "/root/compiled/opt/kubens/bin/netns").stdout.split()
    assert {"kubens-netns", "kubens-pod", "veth.sh", "nft.rules"} <= {*carried}
    return node


def _is_whole(node: Machine) -> bool:
    """Whether all of it runs, each where it belongs."""
    assert [namespace_of(node, unit) for unit in ("web", "lone")] == ["blue", "red"]
    assert states(node, *BLUE, "shop-till", "shop-pod.target") == ["active"] * 5
    rootfs = f"{booted.PODS}/shop/till/rootfs"
    node.wait_until(lambda: node.run("cat", f"{rootfs}/desk/note", check=False).stdout == "open\n")
    return all(f"{rootfs}/{name}" in node.mounts() for name in ("goods", "desk"))


def test_what_lives_of_networks_and_pods_is_kept(machine: Maker, packages: Path, each_lower: str) -> None:
    node = _node(machine, packages, each_lower)
    assert _is_whole(node)
    pids = [node.main_pid(unit) for unit in ("web", "lone", "shop-till")]
    for path in ("/etc/conf.d/netns/own.sh", "/etc/kubens/pods/shop.json"):
        # Nobody needs them any more.
        (node.tree / path[1:]).unlink()
    node.run("dpkg", "--remove", "kubens")
    assert not (node.tree / GENERATOR[1:]).exists()
    assert not (node.tree / "usr/lib/kubens").exists()
    assert [node.main_pid(unit) for unit in ("web", "lone", "shop-till")] == pids
    assert _is_whole(node)

    # Restarted, members and what they are in: all of it still is what it was.
    node.systemctl("restart", "web", "lone", "shop-till")
    assert _is_whole(node)
    node.systemctl("restart", "netns-veth@blue")
    node.systemctl("restart", "shop-pod.target")
    node.systemctl("start", "netns-own@blue", "netns-nft@blue", "web")
    assert _is_whole(node)
    assert "dummy" in node.run("ip", "-netns", "blue", "link").stdout

    # The package comes back to what lives, and goes again.
    node.write("/etc/conf.d/netns/own.sh", OWN)
    booted.manifest(node, "shop", SHOP)
    node.run("dpkg", "--install", "/root/kubens")
    assert node.run("find", "/run/systemd/system", "/run/kubens-removed", "-type", "f", check=False).stdout == ""
    assert _is_whole(node)
    node.systemctl("restart", "web", "shop-till")
    assert _is_whole(node)
    node.run("dpkg", "--remove", "kubens")
    assert _is_whole(node)

    # Stopped: it is gone.
    node.run("rm", "-f", "/run/own")
    node.systemctl("stop", *BLUE, "netns_name@red", "shop-pod.target")
    assert states(node, "web", "lone", "shop-till", "shop-pod.service") == ["inactive"] * 4
    assert remains(node) == []
    assert node.read("/run/own") == "down\n"
    assert not [mount for mount in node.mounts() if booted.PODS in mount]
    assert not (node.tree / f"{booted.PODS[1:]}/shop/.volumes").exists()
    node.reboot()
    for unit in ("netns-veth@blue", "shop-pod.target"):
        assert node.show(unit, "LoadState") == {"LoadState": "not-found"}
    assert node.systemctl("--failed", "--plain", "--no-legend").stdout == ""
