"""Who reaches whom: shipped types with real packets, between the host, two namespaces, and services in them."""

from __future__ import annotations

import pytest

from netns import VETH, Machine, Maker, configure, namespace_of, node_with, remains, service, settle, states

# Answers each connection with one word.
SERVE = """
import socket, sys
server = socket.create_server(("", 80))
while True:
    peer, address = server.accept()
    peer.sendall((sys.argv[1] + " to " + address[0]).encode())
    peer.close()
"""
ASK = """
import socket, sys
try:
    print(socket.create_connection((sys.argv[1], 80), timeout=float(sys.argv[2])).recv(100).decode())
except OSError as error:
    print(type(error).__name__, file=sys.stderr)
    sys.exit(1)
"""
RULES = """
table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
        iif "ve-blue1" ip saddr { 10.1.1.1, 10.1.3.2 } tcp dport 80 counter accept
    }
}
"""


def with_programs(node: Machine) -> Machine:
    node.write("/opt/serve", SERVE)
    node.write("/opt/ask", ASK)
    return node


def serves(node: Machine, name: str) -> None:
    """A service that answers with its own name, and is started at boot."""
    service(node, f"{name}.service", f"ExecStart=/usr/bin/python3 /opt/serve {name}")
    node.link(f"/etc/systemd/system/multi-user.target.wants/{name}.service", f"../{name}.service")


def ask(node: Machine, address: str, inside: str = "", timeout: float = 1) -> str:
    """What is answered at an address, "" where nothing is; asked from the host, or from inside of a namespace."""
    front = ("ip", "netns", "exec", inside) if inside else ()
    return node.run(*front, "python3", "/opt/ask", address, str(timeout), check=False).stdout.strip()


def answers(node: Machine, address: str, inside: str = "") -> str:
    """The answer, once there is one: a service that is started does not listen yet."""
    node.wait_until(lambda: ask(node, address, inside))
    return ask(node, address, inside)


def test_veth_and_nft(machine: Maker, lower: str) -> None:
    """A service in blue is reached from the host, and from red only where nft allows; not from green."""
    configuration = "".join(
        f"[NetworkNamespace]\nName={name}\nTypes={types}\nServices={name}\n"
        for name, types in (("blue", "veth nft"), ("red", "veth"), ("green", "veth lo"))
    )
    types = {f"veth-{name}.conf": VETH.format(number) for number, name in ((1, "blue"), (2, "green"), (3, "red"))}
    node = with_programs(node_with(machine(lower), configuration, {**types, "nft-blue.rules": RULES}))
    node.write("/etc/sysctl.d/forward.conf", "net.ipv4.ip_forward=1\n")
    for name in ("blue", "red", "green"):
        serves(node, name)
    node.boot()
    assert [namespace_of(node, name) for name in ("blue", "red", "green")] == ["blue", "red", "green"]
    assert answers(node, "10.1.1.2") == "blue to 10.1.1.1"
    assert answers(node, "10.1.1.2", "red") == "blue to 10.1.3.2"
    assert answers(node, "10.1.3.2", "green") == "red to 10.1.2.2"
    assert answers(node, "127.0.0.1", "green") == "green to 127.0.0.1"
    assert ask(node, "10.1.1.2", "green") == ""
    # Nothing listens on the host, and red has no other way there.
    assert ask(node, "127.0.0.1") == ""
    assert node.run("ip", "-n", "red", "-o", "link").stdout.count("\n") == 2

    # The rules as they are now come back, by hand and by NFT_AUTO_SAVE=.
    node.run("ip", "netns", "exec", "blue", "nft", "add", "rule", "inet", "filter", "input", "ip saddr 10.1.2.2 accept")
    node.run("/usr/lib/kubens/kubens-netns", "save", "blue")
    node.systemctl("restart", "netns-nft@blue")
    assert answers(node, "10.1.1.2", "green") == "blue to 10.1.2.2"
    node.write("/etc/conf.d/netns/nft-blue.conf", "NFT_AUTO_SAVE=yes\n")
    node.systemctl("restart", "netns-nft@blue")
    node.run("ip", "netns", "exec", "blue", "nft", "flush", "chain", "inet", "filter", "input")
    node.systemctl("restart", "netns-nft@blue")
    assert ask(node, "10.1.1.2") == ask(node, "10.1.1.2", "red") == ""
    assert "policy drop" in node.read("/etc/conf.d/netns/nft-blue.rules")
    assert node.systemctl("is-system-running").stdout == "running\n"

    # Rules that cannot be loaded keep the service from starting, and are not saved over.
    node.write("/etc/conf.d/netns/nft-blue.rules", "table inet filter {\n")
    assert node.systemctl("restart", "netns-nft@blue", check=False).returncode
    assert states(node, "netns-nft@blue", "blue", "red") == ["failed", "inactive", "active"]
    assert node.read("/etc/conf.d/netns/nft-blue.rules") == "table inet filter {\n"
    node.systemctl("stop", *(f"netns-{kind}@{name}" for kind in ("veth", "lo") for name in ("blue", "red", "green")))
    assert remains(node) == []


def test_veth_between_two_namespaces(machine: Maker) -> None:
    """The outer end in blue, which is to be there first, as a drop-in of the administrator's says."""
    types = {
        "veth-blue.conf": VETH.format(1),
        "veth-red.conf": VETH.format(2) + "VETH_NSNAME_OUTSIDE=blue\nVETH_MAC_OUTSIDE=02:00:00:00:00:01\n"
        "VETH_MAC_INSIDE=02:00:00:00:00:02\nVETH_IFNAME=x\n",
    }
    configuration = "".join(f"[NetworkNamespace]\nName={name}\nTypes=veth\n" for name in ("red", "blue"))
    node = node_with(machine(), configuration, types)
    order = "[Unit]\nRequires=netns-veth@blue.service\nAfter=netns-veth@blue.service\n"
    node.write("/etc/systemd/system/netns_outside-veth@red.service.d/order.conf", order)
    node.boot()
    assert states(node, "netns-veth@blue", "netns-veth@red") == ["active", "active"]
    assert remains(node)[-1] == "ve-blue0"
    outer = node.run("ip", "-n", "blue", "-o", "link", "show", "dev", "xred0").stdout
    assert "02:00:00:00:00:01" in outer and "LOWER_UP" in outer
    assert "02:00:00:00:00:02" in node.run("ip", "-n", "red", "link").stdout
    node.systemctl("stop", "netns-veth@red")
    settle(node)
    assert "xred0" not in node.run("ip", "-n", "blue", "link").stdout
    node.systemctl("start", "netns-veth@red")
    node.systemctl("stop", "netns-veth@blue")
    assert states(node, "netns-veth@blue", "netns-veth@red") == ["inactive", "inactive"]
    assert remains(node) == []


def test_macvlan_and_bridge(machine: Maker, lower: str) -> None:
    """Devices on the host's own, among them what its default route tells; a failure half-way leaves nothing."""
    types = {
        "macvlan-blue.conf": "MACVLAN_PARENT_IFNAME=$HOST_IFNAME\nMACVLAN_IFADDR='10.2.0.2/24 broadcast +'\n"
        "MACVLAN_GATEWAY=$HOST_GATEWAY\nMACVLAN_MAC=02:00:00:00:00:02\n",
        "macvlan-red.conf": "MACVLAN_PARENT_IFNAME=up1\nMACVLAN_IFADDR=10.2.0.3/24\nMACVLAN_MODE=bridge\n",
        "macvlan-bad.conf": "MACVLAN_PARENT_IFNAME=up1\nMACVLAN_IFADDR=10.2.0.300/24\n",
        "bridge-left.conf": "BRIDGE_MASTER=br0\nBRIDGE_IFADDR=10.3.0.2/24\nBRIDGE_GATEWAY=10.3.0.1\n",
        "bridge-right.conf": "BRIDGE_MASTER=br0\nBRIDGE_IFADDR=10.3.0.3/24\nBRIDGE_MAC=02:00:00:00:00:03\n",
        "bridge-bad.conf": "BRIDGE_MASTER=br1\nBRIDGE_IFADDR=10.3.0.4/24\n",
    }
    node = with_programs(node_with(machine(), "", types))
    for name in ("blue", "left"):
        service(node, f"{name}.service", f"NetworkNamespacePath=/run/netns/{name}\nExecStart=python3 /opt/serve {name}")
    node.boot()
    node.run("sh", "-ec", """
        ip link add up0 type veth peer name up1
        ip link set up0 up; ip link set up1 up
        ip address add 10.2.0.9/24 dev up1; ip route add default via 10.2.0.1 dev up1
        ip link add br0 type bridge; ip address add 10.3.0.1/24 dev br0; ip link set br0 up
    """)  # fmt: skip
    own = remains(node)
    node.systemctl("start", "netns-macvlan@blue", "netns-macvlan@red", "netns-bridge@left", "netns-bridge@right")
    node.systemctl("start", "blue", "left")
    assert answers(node, "10.2.0.2", "red") == "blue to 10.2.0.3"
    assert answers(node, "10.3.0.2", "right") == "left to 10.3.0.3"
    assert answers(node, "10.3.0.2") == "left to 10.3.0.1"
    link = node.run("ip", "-n", "blue", "-o", "address", "show", "dev", "mv-blue").stdout
    assert "10.2.0.2/24 brd 10.2.0.255" in link
    assert "02:00:00:00:00:02" in node.run("ip", "-n", "blue", "link").stdout
    assert "default via 10.2.0.1 dev mv-blue" in node.run("ip", "-n", "blue", "route").stdout
    assert "02:00:00:00:00:03" in node.run("ip", "-n", "right", "link").stdout

    there = remains(node)
    for unit, reason in (("netns-macvlan@bad", "any valid prefix is expected"), ("netns-bridge@bad", "no bridge br1")):
        assert node.systemctl("start", unit, check=False).returncode
        assert remains(node) == there
        assert reason in node.journal(None, "--output=cat")
    # A device of that name that is somebody else's stays.
    node.write("/etc/conf.d/netns/veth-other.conf", VETH.format(7) + "VETH_IFNAME_OUTSIDE=up0\n")
    assert node.systemctl("start", "netns-veth@other", check=False).returncode
    assert remains(node) == there
    node.systemctl("stop", "netns-macvlan@blue", "netns-macvlan@red", "netns-bridge@left", "netns-bridge@right")
    node.systemctl("stop", "blue", "left")
    assert remains(node) == own


SERVER = """
[Interface]
PrivateKey = {server}
ListenPort = 51820
[Peer]
PublicKey = {client_public}
AllowedIPs = 10.9.0.2/32, fd00::2/128
"""
CLIENT = """
[Interface]
PrivateKey = {client} # comment
Address = 10.9.0.2/32, fd00::2/128
DNS = 10.9.0.1
MTU = 1380
PostUp = touch /run/never

[Peer]
PublicKey = {server_public}
Endpoint = 10.4.0.2:51820
AllowedIPs = 0.0.0.0/0, ::/0
"""
COUNT = """
table inet count {
    chain output {
        type filter hook output priority 0
        oif "out0" udp dport 51820 counter comment "tunnel"
        oif "out0" udp dport != 51820 counter comment "leak"
        oif "out0" tcp dport 80 counter comment "leak"
    }
    chain forward {
        type filter hook forward priority 0
        counter comment "leak"
    }
}
"""


def _wireguard(node: Machine) -> None:
    """A server in a namespace of its own behind a device of the host's, and the client's file."""
    keys = {}
    for end in ("server", "client"):
        keys[end] = node.run("wg", "genkey").stdout.strip()
        keys[f"{end}_public"] = node.run("wg", "pubkey", input=keys[end]).stdout.strip()
    node.write("/run/server.conf", SERVER.format(**keys))
    node.write("/etc/wireguard/vpn.conf", CLIENT.format(**keys), 0o600)
    node.run("sh", "-ec", """
        ip netns add server
        ip link add out0 type veth peer name out1 netns server
        ip address add 10.4.0.1/24 dev out0; ip link set out0 up
        ip -n server address add 10.4.0.2/24 dev out1; ip -n server link set out1 up
        ip netns exec server wireguard-go wgs
        ip netns exec server wg setconf wgs /run/server.conf
        ip -n server address add 10.9.0.1/24 dev wgs; ip -n server link set wgs up
        ip -n server address add fd00::1/64 dev wgs nodad
        systemd-run --unit=serve -p NetworkNamespacePath=/run/netns/server python3 /opt/serve server
    """)  # fmt: skip


def _counted(node: Machine, comment: str) -> int:
    """Packets that the rules with a comment counted."""
    lines = [line.split() for line in node.run("nft", "list", "ruleset").stdout.splitlines() if f'"{comment}"' in line]
    assert lines
    return sum(int(words[words.index("packets") + 1]) for words in lines)


@pytest.mark.needs("wireguard-go", "wg")
def test_wireguard(machine: Maker) -> None:
    """All that a service sends takes the tunnel, without which nothing leaves. The device is wireguard-go's."""
    node = with_programs(node_with(machine(arguments=("--bind=/dev/net/tun",))))
    service(node, "member.service", "ExecStart=/bin/sleep 1000")
    node.boot()
    _wireguard(node)
    node.write("/run/count.nft", COUNT)
    node.run("nft", "-f", "/run/count.nft")
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    own = remains(node)
    configure(node, "[NetworkNamespace]\nName=vpn\nTypes=wireguard lo\nServices=member\n")
    node.daemon_reload()
    node.systemctl("start", "member")
    assert namespace_of(node, "member") == "vpn"
    assert answers(node, "10.9.0.1", "vpn") == "server to 10.9.0.2"
    # Its own addresses outside of the tunnel are taken through it, too: the server sees where they come from.
    assert ask(node, "10.4.0.2", "vpn") in ("server to 10.9.0.2", "")
    assert ask(node, "10.4.0.1", "vpn") == ""
    devices = node.run("ip", "-n", "vpn", "-o", "link").stdout
    assert devices.count("\n") == 2 and "wg-vpn" in devices and "mtu 1380" in devices
    routes = node.run("ip", "-n", "vpn", "route").stdout + node.run("ip", "-n", "vpn", "-6", "route").stdout
    assert routes.count("default dev wg-vpn") == 2
    assert _counted(node, "tunnel") > 5
    assert _counted(node, "leak") == 0
    assert "PrivateKey" not in node.journal() and not node.run("find", "/run", "-name", "never").stdout

    # The tunnel is gone: so is the network.
    node.run("pkill", "-f", "wireguard-go wg-vpn")
    node.wait_until(lambda: "wg-vpn" not in node.run("ip", "-n", "vpn", "link").stdout)
    assert ask(node, "10.9.0.1", "vpn") == ""
    assert _counted(node, "leak") == 0
    node.systemctl("restart", "netns-wireguard@vpn")
    assert answers(node, "10.9.0.1", "vpn") == "server to 10.9.0.2"
    node.systemctl("stop", "netns-wireguard@vpn", "netns-lo@vpn")
    assert remains(node) == own
    assert _counted(node, "leak") == 0

    # A file that wg(8) refuses leaves nothing behind.
    node.write("/etc/wireguard/vpn.conf", "[Interface]\nPrivateKey = none\n")
    assert node.systemctl("start", "netns-wireguard@vpn", check=False).returncode
    assert remains(node) == own
    assert "Key is not the correct length or format" in node.journal("netns_outside-wireguard@vpn")
