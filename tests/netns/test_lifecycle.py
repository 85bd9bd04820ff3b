"""How network namespaces come, change and go, in real machines."""

from __future__ import annotations

import mountinfo
from netns import SLEEP, VETH, Machine, Maker, namespace_of, node_with, remains, service, states, units_of

BLUE = "[NetworkNamespace]\nName=blue\nTypes=veth nft\nServices=inside\n"


def _blue(node: Machine) -> Machine:
    """A machine with the namespace blue and a service in it."""
    node_with(node, BLUE, {"veth-blue.conf": VETH.format(1)})
    service(node, "inside.service", SLEEP)
    node.link("/etc/systemd/system/multi-user.target.wants/inside.service", "../inside.service")
    node.boot()
    return node


def _from_boot_to_its_end(node: Machine) -> None:
    units = units_of("blue", "veth", "nft")
    assert states(node, *units) == ["active"] * 5
    assert node.systemctl("is-system-running").stdout == "running\n"
    assert namespace_of(node, "inside") == "blue"
    assert not node.run("systemd-analyze", "verify", "--man=no", *(f"{unit}.service" for unit in units)).stderr
    properties = node.show("inside", "BindsTo", "NetworkNamespacePath")
    assert properties["NetworkNamespacePath"] == "/run/netns/blue"
    assert set(properties["BindsTo"].split()) == {"netns-veth@blue.service", "netns-nft@blue.service"}
    # Its creator has no mount namespace of its own: PID 1 sees it, once.
    assert [mount.fstype for mount in mountinfo.at(node, "/run/netns/blue")] == ["nsfs"]
    assert len(mountinfo.at(node, "/run/netns")) == 1

    node.systemctl("stop", "netns-nft@blue")
    assert states(node, "inside", *units) == ["inactive", "active", "active", "active", "inactive", "inactive"]
    node.systemctl("stop", "netns-veth@blue")
    assert states(node, *units) == ["inactive"] * 5
    assert remains(node) == []

    # A service that is started brings all of it back.
    node.systemctl("start", "inside")
    assert namespace_of(node, "inside") == "blue"
    node.systemctl("stop", "netns-veth@blue", "netns-nft@blue")
    assert remains(node) == []
    assert states(node, "inside") == ["inactive"]


def _addresses(node: Machine, *arguments: str) -> set[str]:
    return set(node.run("ip", *arguments, "-4", "-o", "address").stdout.split())


def _a_restart_takes_the_files_as_they_are_then(node: Machine) -> None:
    """And goes down with those it came up with; services that joined are restarted."""
    pid = node.main_pid("inside")
    node.write("/etc/conf.d/netns/veth-blue.conf", VETH.format(2) + "VETH_IFNAME=x-\n")
    node.systemctl("restart", "netns-veth@blue")
    assert states(node, "inside", *units_of("blue", "veth", "nft")) == ["active"] * 6
    assert "10.1.2.1/24" in _addresses(node) and "10.1.1.1/24" not in _addresses(node)
    assert "10.1.2.2/24" in _addresses(node, "-n", "blue")
    assert remains(node)[-1] == "x-blue0"
    assert namespace_of(node, "inside") == "blue"
    assert node.main_pid("inside") not in (0, pid)
    # The namespace itself stayed, for nft.
    assert node.run("ip", "netns", "exec", "blue", "nft", "list", "tables").stdout == "table inet filter\n"


def _deleted_by_hand(node: Machine) -> None:
    """What is left goes, and the next start is as the first."""
    node.run("ip", "netns", "delete", "blue")
    node.systemctl("stop", "netns-veth@blue", "netns-nft@blue", check=False)
    assert remains(node) == []
    node.systemctl("start", "inside")
    assert namespace_of(node, "inside") == "blue"
    assert states(node, *units_of("blue", "veth", "nft")) == ["active"] * 5
    # Another one in its place is not ours to remove.
    node.run("ip", "netns", "delete", "blue")
    node.run("ip", "netns", "add", "blue")
    node.systemctl("stop", "netns-veth@blue", "netns-nft@blue", check=False)
    assert remains(node) == ["blue"]
    assert "not the one that was made here" in node.journal("netns_name@blue")


def test_the_life_of_a_namespace(machine: Maker, lower: str) -> None:
    node = _blue(machine(lower))
    _from_boot_to_its_end(node)
    node.systemctl("start", "inside")
    _a_restart_takes_the_files_as_they_are_then(node)
    _deleted_by_hand(node)


def test_enabled_edited_and_rebooted(machine: Maker) -> None:
    """Without a section; and what goes down at a shutdown does so in order."""
    note = 'configure_own_down_{0}() {{ echo {0} >>/root/down; }}\n'
    node = node_with(machine(), "", {"veth.conf": VETH.format(1), "own.conf": note.format("inside")})
    node.write("/etc/conf.d/netns/own-blue.conf", note.format("outside"))
    node.boot()
    node.systemctl("enable", "netns-veth@blue")
    edited = "[Unit]\nRequires=netns-own@%i.service\nAfter=netns-own@%i.service\n"
    node.write("/etc/systemd/system/netns-veth@blue.service.d/override.conf", edited)
    for _ in range(2):
        node.reboot()
        assert states(node, *units_of("blue", "veth", "own")) == ["active"] * 5
        assert node.systemctl("is-system-running").stdout == "running\n"
        assert "10.1.1.2/24" in _addresses(node, "-n", "blue")
    assert node.read("/root/down") == "inside\noutside\n"


def test_one_without_types_is_started_and_stopped_by_its_own_unit(machine: Maker) -> None:
    typed = "[NetworkNamespace]\nName=blue\nTypes=lo\n"
    node = node_with(machine(), typed + "[NetworkNamespace]\nName=empty\nServices=inside\n")
    service(node, "inside.service", SLEEP)
    node.boot()
    node.systemctl("start", "inside")
    assert namespace_of(node, "inside") == "empty"
    node.systemctl("stop", "netns_name@empty")
    assert states(node, "inside", "netns_name@empty") == ["inactive"] * 2
    node.systemctl("start", "netns_name@empty")
    assert states(node, "netns_name@empty", "netns_name@blue") == ["active"] * 2
    # Where there are types, it is theirs.
    refused = node.systemctl("stop", "netns_name@blue", check=False)
    assert refused.returncode and "may be requested by dependency only" in refused.stderr


def test_many_restarts_in_a_row(machine: Maker) -> None:
    node = _blue(machine())
    node.write("/etc/systemd/system/inside.service.d/often.conf", "[Unit]\nStartLimitIntervalSec=0\n")
    node.daemon_reload()
    for _ in range(7):
        node.systemctl("restart", "netns-veth@blue")
    assert states(node, "inside", *units_of("blue", "veth", "nft")) == ["active"] * 6


def test_fifty_starts_at_once_make_one_mount(machine: Maker, lower: str) -> None:
    node = node_with(machine(lower))
    node.boot()
    before = mountinfo.table(node)
    names = [f"n{number}" for number in range(50)]
    node.systemctl("start", *(f"netns-lo@{name}" for name in names))
    after = mountinfo.table(node)
    new = [mount for mount in after if mount.id not in {old.id for old in before}]
    assert sorted(mount.target for mount in new) == sorted(["/run/netns", *(f"/run/netns/{name}" for name in names)])
    # A namespace each, and a peer group for each mount: nobody else's.
    assert len({mount.root for mount in new}) == 51
    groups = [mount.shared for mount in after]
    assert all(mount.shared and groups.count(mount.shared) == 1 for mount in new)
    node.systemctl("stop", *(f"netns-lo@{name}" for name in names))
    assert remains(node) == []
    assert [mount.target for mount in mountinfo.table(node)][len(before) :] == ["/run/netns"]


def test_a_namespace_of_somebody_else_is_left_alone(machine: Maker) -> None:
    node = node_with(machine(), BLUE, {"veth-blue.conf": VETH.format(1), "veth-red.conf": VETH.format(2)})
    service(node, "inside.service", SLEEP)
    node.boot()
    node.systemctl("stop", "netns-veth@blue", "netns-nft@blue")
    assert remains(node) == []
    node.run("ip", "netns", "add", "blue")
    inode = node.run("stat", "-Lc", "%i", "/run/netns/blue").stdout
    assert node.systemctl("start", "netns-veth@blue", check=False).returncode
    assert states(node, *units_of("blue", "veth")) == ["failed", "inactive", "inactive"]
    assert node.systemctl("start", "inside", check=False).returncode
    assert node.run("stat", "-Lc", "%i", "/run/netns/blue").stdout == inode
    assert "network namespace blue exists already" in node.journal("netns_name@blue")
    assert "ip netns delete blue" in node.systemctl("status", "netns_name@blue", check=False).stdout
    # The one next to it comes up; and this one, once it is free.
    node.systemctl("start", "netns-veth@red")
    node.run("ip", "netns", "delete", "blue")
    node.systemctl("start", "inside")
    assert namespace_of(node, "inside") == "blue"


def test_a_section_that_is_removed_while_it_lives(machine: Maker) -> None:
    """Nor is an interpreter needed, as in the middle of an upgrade."""
    node = _blue(machine())
    for harm in ("rm /etc/kubens/services.conf", "cd /usr/lib/kubens; mv kubens away; rm -r __pycache__"):
        node.run("sh", "-c", harm)
        node.daemon_reload()
        node.systemctl("restart", "inside")
        assert namespace_of(node, "inside") == "blue"
        assert states(node, *units_of("blue", "veth", "nft")) == ["active"] * 5
    node.systemctl("restart", "netns-veth@blue")
    assert namespace_of(node, "inside") == "blue"
    node.run("mv", "/usr/lib/kubens/away", "/usr/lib/kubens/kubens")
    node.systemctl("stop", "netns-veth@blue", "netns-nft@blue")
    assert remains(node) == []
    node.daemon_reload()
    node.systemctl("reset-failed")
    node.systemctl("start", "inside")
    assert namespace_of(node, "inside") == "host"
