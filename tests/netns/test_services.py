"""Services and sockets that live in network namespaces."""

from __future__ import annotations

import mountinfo
from kubens_machine import whereabouts
from netns import SLEEP, VETH, Machine, Maker, configure, namespace_of, node_with, service, settle, states

# Answers every query with 192.0.2.7, whoever asks; notes who did.
RESOLVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.1.1.1", 53))
while True:
    query, peer = server.recvfrom(512)
    end = query.index(b"\\0", 12) + 5
    found = query[end - 4:end - 2] == b"\\0\\1"
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4" + bytes([192, 0, 2, 7]) if found else b""
    server.sendto(query[:2] + b"\\x81\\x80\\0\\1\\0" + bytes([found]) + b"\\0\\0\\0\\0" + query[12:end] + answer, peer)
"""
LOOKUP = """
import socket
try:
    print(socket.getaddrinfo("kubens.test", 80, socket.AF_INET)[0][4][0], flush=True)
except OSError as error:
    print(error, flush=True)
"""
BLUE = "[NetworkNamespace]\nName=blue\nTypes=veth\nServices={}\n"


def _lookup(node: Machine, unit: str) -> str:
    """What a oneshot that looks a name up says."""
    node.systemctl("restart", unit)
    return node.journal(unit, "--output=cat", "--identifier=python3").splitlines()[-1]


def _sees(node: Machine, unit: str, path: str) -> str:
    settle(node)
    return node.run("nsenter", f"--target={node.main_pid(unit)}", "--mount", "cat", path).stdout


def test_names_are_looked_up_inside(machine: Maker, lower: str) -> None:
    """Whatever /etc/resolv.conf is: a file, or a link to what systemd-resolved replaces at any time."""
    node = node_with(machine(lower), BLUE.format("lookup inside"), {"veth-blue.conf": VETH.format(1)})
    node.write("/opt/resolver", RESOLVER)
    node.write("/opt/lookup", LOOKUP)
    node.write("/etc/netns/blue/resolv.conf", "nameserver 10.1.1.1\noptions timeout:2 attempts:2\n")
    node.write("/etc/netns/blue/hosts", "10.1.1.1 only-in-blue\n")
    node.write("/etc/hosts", "127.0.0.1 localhost\n")
    node.write("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    node.write("/etc/nsswitch.conf", "hosts: files dns\n")
    node.write("/usr/lib/tmpfiles.d/nscd.conf", "d /run/nscd 0755\n")
    service(node, "lookup.service", "Type=oneshot\nExecStart=/usr/bin/python3 /opt/lookup")
    service(node, "outside.service", "Type=oneshot\nExecStart=/usr/bin/python3 /opt/lookup")
    service(node, "inside.service", f"{SLEEP}\nUser=daemon")
    service(node, "resolver.service", "ExecStart=/usr/bin/python3 /opt/resolver")
    node.boot()
    node.systemctl("start", "resolver", "inside")
    assert namespace_of(node, "inside") == "blue"
    assert _lookup(node, "lookup") == "192.0.2.7"
    assert _lookup(node, "outside") != "192.0.2.7"
    assert "only-in-blue" in _sees(node, "inside", "/etc/hosts")
    assert "only-in-blue" not in node.read("/etc/hosts")
    pid = node.main_pid("inside")
    assert node.run("nsenter", f"--target={pid}", "--mount", "ls", "-ld", "/run/nscd").stdout.startswith("d---------")

    for exists in (False, True):
        stub = "/run/systemd/resolve/stub-resolv.conf"
        node.link("/etc/resolv.conf", f"..{stub}")
        if exists:
            node.write(stub, "nameserver 127.0.0.53\n")
        node.daemon_reload()
        node.systemctl("restart", "inside")
        assert _lookup(node, "lookup") == "192.0.2.7", exists
        settle(node)
        # It stays, however often its owner replaces it.
        node.write(f"{stub}.new", "nameserver 127.0.0.53\n")
        node.run("mv", f"{stub}.new", stub)
        assert _sees(node, "inside", "/etc/resolv.conf").startswith("nameserver 10.1.1.1\n")
        assert node.read(stub) == "nameserver 127.0.0.53\n"
    # What is taken away is not bound any more.
    node.run("rm", "-r", "/etc/netns/blue")
    node.daemon_reload()
    node.systemctl("restart", "inside")
    assert "only-in-blue" not in _sees(node, "inside", "/etc/hosts")


def test_sockets_listen_inside(machine: Maker, lower: str) -> None:
    """Also one that the boot starts with sockets.target, before all that a namespace needs, by its own idea."""
    configuration = BLUE.format("word.socket late.socket late") + "Types=lo\n"
    node = node_with(machine(lower), configuration, {"veth-blue.conf": VETH.format(1)})
    for name, port in (("word", 80), ("late", 81), ("host", 80)):
        listen = f"[Socket]\nListenStream=10.1.1.2:{port}\nFreeBind=yes\nAccept=yes\n"
        node.write(f"/etc/systemd/system/{name}.socket", listen)
        service(node, f"{name}@.service", f"ExecStart=/bin/echo from {name}\nStandardOutput=socket")
    service(node, "late.service", SLEEP)
    node.link("/etc/systemd/system/sockets.target.wants/word.socket", "../word.socket")
    node.link("/etc/systemd/system/multi-user.target.wants/late.socket", "../late.socket")
    node.boot()
    # In an ordering cycle, systemd leaves one of them out.
    booted = ("word.socket", "late.socket", "netns-veth@blue", "sockets.target", "basic.target")
    assert states(node, *booted) == ["active"] * 5
    assert node.systemctl("is-system-running").stdout == "running\n"
    ask = ("bash", "-c", "exec 3<>/dev/tcp/10.1.1.2/80 && cat <&3")
    assert node.run(*ask).stdout == "from word\n"
    assert node.run("ip", "netns", "exec", "blue", *ask).stdout == "from word\n"
    assert "10.1.1.2:80" in node.run("ip", "netns", "exec", "blue", "ss", "-ltn").stdout
    assert "10.1.1.2:80" not in node.run("ss", "-ltn").stdout
    # A socket that is no member listens on the host.
    node.systemctl("start", "host.socket")
    assert "10.1.1.2:80" in node.run("ss", "-ltn").stdout
    # It goes with the namespace.
    node.systemctl("stop", "netns-veth@blue", "netns-lo@blue")
    assert states(node, "word.socket", "late.socket", "late", "host.socket") == ["inactive"] * 3 + ["active"]


def test_in_a_mount_namespace_as_well(machine: Maker, lower: str) -> None:
    configuration = BLUE.format("both only") + "[MountNamespace]\nWrap=both wrapped\n"
    node = node_with(machine(lower), configuration, {"veth-blue.conf": VETH.format(1)})
    for name in ("both", "only", "wrapped"):
        service(node, f"{name}.service", SLEEP)
    node.boot()
    node.systemctl("start", "both", "only", "wrapped")
    assert whereabouts(node, "both", "wrapped") == ["inside", "inside"]
    assert [namespace_of(node, name) for name in ("both", "only", "wrapped")] == ["blue", "blue", "host"]
    # With a file to bind it is refused, says so, and goes on as long as the namespace lives.
    node.write("/etc/netns/blue/resolv.conf", "nameserver 10.1.1.1\n")
    node.write("/etc/resolv.conf", "")
    node.daemon_reload()
    assert node.systemctl("restart", "both", check=False).returncode
    assert "is in mount namespace kubens, where nothing can be bound for it alone" in node.journal("both")
    node.systemctl("restart", "only", "wrapped")
    assert _sees(node, "only", "/etc/resolv.conf") == "nameserver 10.1.1.1\n"
    # Out of the mount namespace, it is inside again.
    configure(node, BLUE.format("both only") + "[MountNamespace]\nWrap=wrapped\n")
    node.systemctl("stop", "kubens")
    node.daemon_reload()
    node.systemctl("restart", "both")
    assert namespace_of(node, "both") == "blue"
    assert _sees(node, "both", "/etc/resolv.conf") == "nameserver 10.1.1.1\n"


def test_members_that_come_and_go_while_it_lives(machine: Maker) -> None:
    node = node_with(machine(), BLUE.format("a"), {"veth-blue.conf": VETH.format(1)})
    for name in ("a", "b", "c"):
        service(node, f"{name}.service", SLEEP)
    node.boot()
    node.systemctl("start", "a", "b")
    assert [namespace_of(node, name) for name in ("a", "b")] == ["blue", "host"]
    configure(node, BLUE.format("b"))
    node.daemon_reload()
    node.systemctl("restart", "a", "b")
    assert [namespace_of(node, name) for name in ("a", "b")] == ["blue", "blue"]
    # b is recorded by now: it stays as well, when nothing is configured any more.
    configure(node, "")
    node.daemon_reload()
    node.systemctl("restart", "a", "b")
    assert [namespace_of(node, name) for name in ("a", "b")] == ["blue", "blue"]
    # One that cannot join any more does not start outside; a new one that cannot runs as it did.
    configure(node, BLUE.format("b c"))
    for name in ("b", "c"):
        node.write(f"/etc/systemd/system/{name}.service.d/red.conf", "[Unit]\nJoinsNamespaceOf=red.service\n")
    node.daemon_reload()
    assert node.systemctl("restart", "b", check=False).returncode
    node.systemctl("restart", "a", "c")
    assert "kept from starting outside network namespace blue" in node.journal("b")
    assert [namespace_of(node, name) for name in ("a", "c")] == ["blue", "host"]
    configure(node, "")
    node.systemctl("stop", "netns-veth@blue")
    settle(node)
    node.daemon_reload()
    node.systemctl("reset-failed")
    node.systemctl("start", "a", "b")
    assert [namespace_of(node, name) for name in ("a", "b")] == ["host", "host"]
    assert not mountinfo.at(node, "/run/netns/blue")
