"""kubensctl and network namespaces: what is declared next to what runs, joining, leaving and entering them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ctl import Maker, Node, kubensctl, tree, write
from kubens_machine import configure, service

FILE = "/etc/kubens/50-kubensctl.conf"
OTHER = "/etc/kubens/services.conf"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
DECLARED = "[NetworkNamespace]\nName=blue\nTypes=lo\n"
UNITS = {f"/etc/systemd/system/{name}.service": "[Service]\nExecStart=/usr/bin/a\n" for name in "abcd"}
PROGRAMS = ("a", "bash", "ip")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tree(tmp_path, {**UNITS, OTHER: DECLARED}, PROGRAMS)


def _run(root: Path, *arguments: str, status: int = 0) -> str:
    """What a verb says, which must end so; the file that it edits, comments left out, after a success."""
    done = kubensctl(*arguments, "--root", str(root))
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
    if status:
        return done.stderr
    lines = (root / FILE[1:]).read_text().splitlines()
    return "\n".join(line for line in lines if line and line[0] != "#")


# Files alone


def test_joining_and_leaving(root: Path) -> None:
    assert _run(root, "join", "blue", "a", "b.service") == "[NetworkNamespace]\nName=blue\nServices=a.service b.service"
    assert _run(root, "leave", "blue", "a", "a") == "[NetworkNamespace]\nName=blue\nServices=b.service"
    # A service may be in one of each kind.
    assert "[MountNamespace]\nName=kubens\nWrap=b.service" in _run(root, "wrap", "b")
    assert _run(root, "leave", "blue", "b") == "[MountNamespace]\nName=kubens\nWrap=b.service"
    assert _run(root, "release", "b") == ""


def test_a_socket_joins(root: Path) -> None:
    write(root, "/etc/systemd/system/a.socket", "[Socket]\nListenStream=1\n")
    assert _run(root, "join", "blue", "a.socket").endswith("Services=a.socket")
    assert "neither a service nor a socket" in _run(root, "join", "blue", "a.mount", status=1)


def test_a_namespace_that_nobody_declared(root: Path) -> None:
    assert "no network namespace red is configured" in _run(root, "join", "red", "a", status=1)
    assert "has more than 15 bytes" in _run(root, "join", "r" * 16, "a", status=1)
    # What is enabled makes it: members wait until all of that is done.
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for kind in ("nft", "lo"):
        (wants / f"netns-{kind}@red.service").symlink_to(f"/usr/lib/systemd/system/netns-{kind}@.service")
    assert _run(root, "join", "red", "a") == "[NetworkNamespace]\nName=red\nTypes=lo nft\nServices=a.service"
    assert _run(root, "join", "red", "b").endswith("Services=a.service b.service")


def test_what_another_file_declares_is_named(root: Path) -> None:
    write(root, OTHER, DECLARED + "Services=a\n[NetworkNamespace]\nName=red\nTypes=lo\n")
    place = f"{OTHER}:4"
    assert f"a.service is declared in {place}, which is not kubensctl's" in _run(root, "leave", "blue", "a", status=1)
    assert f"a.service is in namespace blue by {place}" in _run(root, "join", "red", "a", status=1)
    assert "b.service is not declared for namespace blue" in _run(root, "leave", "blue", "b", status=1)
    _run(root, "join", "blue", "b")
    assert "first: kubensctl leave blue b.service" in _run(root, "join", "red", "b", status=1)
    done = kubensctl("join", "blue", "a", "--root", str(root))
    assert (done.returncode, done.stderr) == (0, f"kubensctl: a.service is declared so already, by {place}\n")


def test_what_would_be_refused_is_not_declared(root: Path) -> None:
    write(root, "/etc/systemd/system/a.service.d/x.conf", "[Service]\nNetworkNamespacePath=/run/netns/other\n")
    said = _run(root, "join", "blue", "b", "a", status=1)
    assert "/etc/systemd/system/a.service.d/x.conf:2:22: error: a.service" in said
    assert said.endswith("kubensctl: nothing is changed: it would be refused\n")
    assert not (root / FILE[1:]).exists()


def test_explain(root: Path) -> None:
    write(root, OTHER, DECLARED + "Services=a b\n[MountNamespace]\nWrap=a\n")
    lines = kubensctl("explain", "--root", str(root), "a").stdout.splitlines()
    assert lines[2:6] == [
        f" Namespace: kubens, by Wrap= in {OTHER}:6",
        "   Outcome: wrapped",
        f"   Network: blue, by Services= in {OTHER}:4",
        "   Outcome: joins",
    ]
    applied = [line for line in lines if line.startswith("Applied ")]
    assert applied == [
        "Applied then, /run/systemd/generator/a.service.d/zz-kubens-netns.conf:",
        "Applied last, /run/systemd/generator/a.service.d/zz-kubens.conf:",
    ]
    assert "  NetworkNamespacePath=/run/netns/blue" in lines
    # One that is refused is so for itself.
    write(root, "/etc/systemd/system/b.service.d/x.conf", "[Unit]\nJoinsNamespaceOf=x.service\n")
    assert "   Outcome: joins" in kubensctl("explain", "--root", str(root), "a").stdout
    text = kubensctl("explain", "--root", str(root), "b").stdout
    assert "   Outcome: refused" in text
    assert "/etc/systemd/system/b.service.d/x.conf:2:18: error: b.service" in text
    # What is wrong with the namespace is wrong for all.
    write(root, OTHER, DECLARED + "Types=veth\nServices=a b\n")
    text = kubensctl("explain", "--root", str(root), "a").stdout
    assert "   Outcome: refused" in text
    assert f"{OTHER}:4:7: error" in text


def test_a_file_that_is_not_yet_in_place(root: Path, tmp_path: Path) -> None:
    draft = tmp_path / "draft.conf"
    draft.write_text("[NetworkNamespace]\nName=blue\nTypes=veth mine\nServices=a\n")
    assert "Types=mine: there is no such type" in kubensctl("check", "--root", str(root), str(draft)).stdout
    write(root, "/etc/conf.d/netns/veth-blue.conf", "")
    write(root, "/etc/conf.d/netns/mine.sh", "")
    assert kubensctl("check", "--root", str(root), str(draft)).returncode == 0


def _check(root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kubensctl("check", "--root", str(root), "--json").stdout)
    return found


@pytest.mark.needs("bash")
@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("up() {\n  ip )\n}\n", 2, "syntax error near unexpected token `)'"),
        ("up() {\n  true\n", 3, "syntax error: unexpected end of file"),
        ("A=1\nB='2\n", 2, "unexpected EOF while looking for matching `''"),
    ],
)
def test_what_bash_does_not_understand(root: Path, text: str, line: int, reason: str) -> None:
    write(root, "/etc/conf.d/netns/good.sh", f"touch {root}/executed\n")
    assert _check(root) == []
    write(root, "/etc/conf.d/netns/mine.sh", text)
    found = _check(root)
    assert [(f["severity"], f["file"], f["line"]) for f in found] == [("error", "/etc/conf.d/netns/mine.sh", line)]
    assert reason in found[0]["reason"]
    assert str(root) not in found[0]["reason"]
    assert not (root / "executed").exists()


def test_a_namespace_that_another_generator_chooses(root: Path) -> None:
    write(root, OTHER, DECLARED + "Services=a b\n")
    dropin = write(root, "/run/systemd/generator.late/a.service.d/zzz.conf", "[Service]\nNetworkNamespacePath=\n")
    found = _check(root)
    assert [(f["file"], f["line"], f["unit"]) for f in found] == [(f"/{dropin.relative_to(root)}", 2, "a.service")]
    assert "after zz-kubens-netns.conf: the service runs outside" in found[0]["reason"]


# A machine


def _node(machine: Maker, lower: str = "/") -> Node:
    ctl = Node(machine, lower)
    node = ctl.machine
    configure(
        node,
        "[MountNamespace]\nWrap=a\n"
        "[NetworkNamespace]\nName=blue\nTypes=veth\nServices=a b late web.socket\n"
        "[NetworkNamespace]\nName=idle\nTypes=lo\nWantedBy=\nServices=lazy\n",
    )
    node.write("/etc/conf.d/netns/veth-blue.conf", "VETH_IFADDR_OUTSIDE=10.1.1.1/24\nVETH_IFADDR_INSIDE=10.1.1.2/24\n")
    for name in ("a", "b", "c", "late", "lazy", "own"):
        service(node, f"{name}.service", "ExecStart=/bin/sleep 1000")
    node.write("/etc/systemd/system/web.socket", "[Socket]\nListenStream=8080\n")
    service(node, "web.service", "ExecStart=/bin/sleep 1000")
    service(node, "own.service.d/x.conf", "NetworkNamespacePath=/run/netns/blue\nPrivateTmp=yes\nPrivateUsers=yes")
    node.boot()
    node.run("sh", "-c", "rm -r /run/systemd/generator/late.service.d; ip netns add foreign")
    node.systemctl("start", "a", "late", "own", "web.socket", "netns-lo@bare")
    return ctl


def _networks(ctl: Node, *arguments: str) -> dict[str, Any]:
    found = json.loads(ctl.ctl("status", "--json", *arguments).stdout)["namespaces"]
    return {namespace["name"]: namespace for namespace in found if namespace["kind"] == "network"}


@pytest.mark.needs("ip")
def test_a_machine(machine: Maker, lower: str) -> None:
    ctl = _node(machine, lower)
    node = ctl.machine
    assert ctl.ctl("check").returncode == 0

    # status
    done = ctl.ctl("status")
    assert (done.returncode, done.stderr) == (3, "")
    networks = _networks(ctl)
    assert list(networks) == ["blue", "idle", "bare"]
    blue = networks["blue"]
    assert (blue["active"], blue["pin"], blue["notes"]) == (True, "/run/netns/blue", [])
    assert blue["types"] == [{"type": "veth", "active": "active"}]
    assert blue["others"] == ["own.service"]
    veth = next(interface for interface in blue["interfaces"] if interface["name"] == "ve-blue1")
    assert (veth["up"], veth["addresses"][0]) == (True, "10.1.1.2/24")
    assert {member["unit"]: (member["mode"], member["state"]) for member in blue["members"]} == {
        "a.service": ("join", "inside"),
        "b.service": ("join", "stopped"),
        "late.service": ("join", "outside"),
        "web.socket": ("join", None),
    }
    assert "            ve-blue1 10.1.1.2/24" in done.stdout
    assert re.search(r"late\.service +join +outside +\d+ sleep +systemctl daemon-reload; ", done.stdout)
    assert "    Active: inactive, until a service needs it" in ctl.ctl("status", "idle").stdout
    assert ctl.ctl("status", "idle").returncode == 0
    assert ctl.ctl("status", "bare").returncode == 0

    # netns list, exec
    lines = [line.split() for line in ctl.ctl("netns", "list").stdout.splitlines()[1:]]
    assert [line[0] for line in lines] == ["blue", "idle", "bare", "foreign"]
    assert lines[0][1:] == ["degraded", "veth", "a.service", "own.service"]
    assert lines[3][1:4] == ["not", "by", "kubens"]
    show = ("sh", "-c", "readlink /proc/self/ns/net /proc/self/ns/mnt /proc/self/ns/user; exit 7")
    pid = node.main_pid("own")
    namespaces = [node.run("readlink", f"/proc/{pid}/ns/{kind}").stdout.strip() for kind in ("net", "mnt", "user")]
    done = ctl.ctl("netns", "exec", "own.service", "--", *show)
    assert (done.returncode, done.stdout.split()) == (7, namespaces)
    done = ctl.ctl("netns", "exec", "blue", *show)
    assert (done.returncode, done.stdout.split()[0]) == (7, namespaces[0])
    node.write("/etc/netns/foreign/issue", "marked\n")
    assert ctl.ctl("netns", "exec", "foreign", "cat", "/etc/issue").stdout == "marked\n"
    assert "has no process" in ctl.ctl("netns", "exec", "b", "true").stderr

    # join and leave
    node.systemctl("start", "c")
    done = ctl.ctl("join", "blue", "c", "--now")
    assert (done.returncode, done.stderr) == (0, "")
    states = {member["unit"]: member["state"] for member in _networks(ctl)["blue"]["members"]}
    assert (states["c.service"], states["late.service"]) == ("inside", "inside")
    assert ctl.ctl("status").returncode == 0
    done = ctl.ctl("leave", "blue", "c")
    assert "the same command with --now" in done.stdout
    assert "released, stays inside until: systemctl stop netns-veth@blue.service" in ctl.ctl("status").stdout
    done = ctl.ctl("leave", "blue", "c", "--now")
    assert (done.returncode, done.stderr) == (0, "")
    node.wait_until(lambda: ctl.ctl("status").returncode == 0)
    states = {member["unit"]: member["state"] for member in _networks(ctl)["blue"]["members"]}
    assert states == {"a.service": "inside", "b.service": "stopped", "late.service": "inside", "web.socket": None}
    assert (
        node.run("readlink", f"/proc/{node.main_pid('c')}/ns/net").stdout
        == node.run("readlink", "/proc/1/ns/net").stdout
    )
    done = ctl.ctl("join", "idle", "c", "--now")
    assert (done.returncode, done.stderr) == (0, "")
    states = {member["unit"]: member["state"] for member in _networks(ctl, "idle")["idle"]["members"]}
    assert states == {"c.service": "inside", "lazy.service": "stopped"}

    # without root
    done = ctl.ctl("status", front=NOBODY)
    assert (done.returncode, done.stderr) == (0, "kubensctl: only root can see which namespace each process is in\n")
    assert " Addresses: only root can see the interfaces inside\n" in done.stdout
    assert re.search(r"^blue +active +veth +\?$", ctl.ctl("netns", "list", front=NOBODY).stdout, re.MULTILINE)
    for arguments in (("netns", "exec", "blue", "true"), ("netns", "exec", "a", "true"), ("netns", "save", "blue")):
        done = ctl.ctl(*arguments, front=NOBODY)
        assert (done.returncode, done.stderr) == (1, "kubensctl: only root can enter namespaces of others\n")

    # a type that fails
    node.write("/etc/conf.d/netns/veth-blue.conf", "VETH_IFADDR_INSIDE=nonsense\nVETH_IFADDR_OUTSIDE=10.1.1.1/24\n")
    node.systemctl("restart", "netns-veth@blue", check=False)
    done = ctl.ctl("status", "blue")
    assert done.returncode == 3
    assert "            failed: systemctl status netns-veth@blue.service\n" in done.stdout
    assert " Types: veth (failed)\n" in done.stdout

    # without a bus
    node.systemctl("stop", "dbus.socket", "dbus.service")
    for words in ("netns list", "netns exec a true", "join blue c", "leave blue c"):
        done = ctl.ctl(*words.split())
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(r"kubensctl: the system bus does not answer, [^\n]*\n", done.stderr)
    # A namespace by its name needs none.
    assert ctl.ctl("netns", "exec", "foreign", "true").returncode == 0


@pytest.mark.needs("nft", "ip")
def test_rules_are_saved(machine: Maker, lower: str) -> None:
    ctl = Node(machine, lower)
    node = ctl.machine
    configure(node, "[NetworkNamespace]\nName=blue\nTypes=nft\n")
    node.boot()
    assert ctl.ctl("netns", "exec", "blue", "nft", "add", "table", "inet", "mine").returncode == 0
    done = ctl.ctl("netns", "save", "blue")
    assert (done.returncode, done.stdout) == (0, "")
    assert re.fullmatch(r"saved the rules of network namespace blue: /etc/conf.d/netns/nft-blue.rules\n", done.stderr)
    assert "table inet mine" in node.read("/etc/conf.d/netns/nft-blue.rules")
    assert ctl.ctl("netns", "save", "red").stderr == "kubensctl: no network namespace red lives: kubensctl netns list\n"
    assert "letters and digits" in ctl.ctl("netns", "save", "../x").stderr


@pytest.mark.needs("ip")
def test_joining_what_cannot_be_started_stops_nothing(machine: Maker) -> None:
    """systemd stops at a reload what runs and is bound to a unit that is not active."""
    ctl = Node(machine)
    node = ctl.machine
    declared = "[NetworkNamespace]\nName={}\nTypes={}\nWantedBy=\n"
    configure(node, declared.format("red", "bad") + declared.format("good", "lo"))
    node.write("/etc/conf.d/netns/bad.sh", "NO_CONFIG_REQUIRED=1\nconfigure_bad_up_inside() {\n  false\n}\n")
    for name in ("a", "b"):
        service(node, f"{name}.service", "ExecStart=/bin/sleep 1000")
    node.boot()
    node.systemctl("start", "a", "b")
    pids = [node.main_pid(name) for name in ("a", "b")]
    done = ctl.ctl("join", "red", "a")
    assert done.returncode == 1
    assert "Failed; for the reason: systemctl status netns-bad@red.service\nNot reloaded" in done.stdout
    assert ctl.ctl("leave", "red", "a").returncode == 0
    done = ctl.ctl("join", "good", "b")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0, "To bring in what runs outside: systemctl restart b.service",
    )  # fmt: skip
    assert [node.main_pid(name) for name in ("a", "b")] == pids
