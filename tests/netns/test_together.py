"""Mount namespaces and network namespaces on one node, and many of the latter."""

from __future__ import annotations

import mountinfo
from kubens_machine import whereabouts
from netns import SLEEP, VETH, Machine, Maker, namespace_of, node_with, remains, service, settle, states

KUBENS = "[MountNamespace]\nWrap=member\n[NetworkNamespace]\nName=blue\nTypes=veth\nServices=inside member\n"
PIN = "--mount=/run/kubens/mnt"


def _is_entered(node: Machine, *command: str) -> bool:
    return node.run(*command, "true", check=False).returncode == 0


def test_both_kinds_see_what_they_should(machine: Maker, lower: str) -> None:
    """The host's network namespaces are entered from inside, whoever came first; those made inside stay, whatever the
    host makes later. Where /run/netns is mounted only once somebody is inside, the latter are hidden: setns(2) fails
    with EINVAL in pods."""
    node = node_with(machine(lower), KUBENS, {"veth-blue.conf": VETH.format(1)})
    for name in ("member", "inside"):
        service(node, f"{name}.service", SLEEP)
        node.link(f"/etc/systemd/system/multi-user.target.wants/{name}.service", f"../{name}.service")
    node.boot()
    assert whereabouts(node, "member") == ["inside"]
    assert [namespace_of(node, name) for name in ("inside", "member")] == ["blue", "blue"]

    def inside(*command: str) -> tuple[str, ...]:
        return ("nsenter", PIN, *command)

    # As a container runtime does it, between what ip and our units do on the host.
    node.run("ip", "netns", "add", "host1")
    node.run(*inside("ip", "netns", "add", "cni-1"))
    node.run("ip", "netns", "add", "host2")
    node.systemctl("start", "netns-lo@green")
    node.run(*inside("ip", "netns", "add", "cni-2"))
    node.systemctl("stop", "netns-lo@green")
    settle(node)
    for name in ("host1", "host2", "blue", "cni-1", "cni-2"):
        assert _is_entered(node, *inside("ip", "netns", "exec", name)), name
        assert _is_entered(node, "kubensenter", "-q", "ip", "netns", "exec", name), name
        on_host = _is_entered(node, "nsenter", f"--net=/run/netns/{name}")
        assert on_host == (not name.startswith("cni")), name

    targets = [mount.target for mount in mountinfo.table(node) if mount.target.startswith("/run/netns")]
    assert sorted(targets) == ["/run/netns", "/run/netns/blue", "/run/netns/host1", "/run/netns/host2"]
    targets = [mount.target for mount in mountinfo.inside(node, "/run/kubens/mnt") if "/run/netns" in mount.target]
    assert sorted(targets) == sorted([
        "/run/netns", *(f"/run/netns/{name}" for name in ("blue", "cni-1", "cni-2", "host1", "host2"))
    ])  # fmt: skip
    # Each goes from either side, and the namespace that is ours goes for both.
    node.run(*inside("ip", "netns", "delete", "host1"))
    node.run("ip", "netns", "delete", "host2")
    node.run(*inside("ip", "netns", "delete", "cni-1"))
    node.run(*inside("ip", "netns", "delete", "cni-2"))
    node.systemctl("stop", "netns-veth@blue")
    assert states(node, "inside", "member", "kubens") == ["inactive", "inactive", "active"]
    assert [name for name in remains(node) if name not in ("kubens", ".kubens.d")] == []
    assert not [mount for mount in mountinfo.inside(node, "/run/kubens/mnt") if "/run/netns/" in mount.target]


def test_fifty_namespaces_of_two_types_in_one_boot(machine: Maker) -> None:
    names = [f"n{number}" for number in range(50)]
    sections = "".join(f"[NetworkNamespace]\nName={name}\nTypes=veth lo\n" for name in names)
    types = {f"veth-{name}.conf": VETH.format(number) for number, name in enumerate(names)}
    node = node_with(machine(), sections, types)
    node.boot()
    assert node.systemctl("is-system-running").stdout == "running\n"
    units = [f"netns-{kind}@{name}" for name in names for kind in ("veth", "lo")]
    assert node.systemctl("is-active", *units).stdout == "active\n" * 100
    targets = [mount.target for mount in mountinfo.table(node) if mount.target.startswith("/run/netns")]
    assert sorted(targets) == sorted(["/run/netns", *(f"/run/netns/{name}" for name in names)])
    for name in names:
        assert "10.1." in node.run("ip", "-n", name, "-o", "-4", "address").stdout
    node.systemctl("stop", *units)
    assert remains(node) == []
