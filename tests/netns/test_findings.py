"""What is wrong with types and network namespaces is said, and costs itself only."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubens import netns, netns_units
from trees import BASE, Content, Run, build, generate, link, program, sparse, verify

TOOLS: dict[str, Content] = {**BASE, "/usr/bin/ip": program, "/usr/bin/bash": program}
PACKAGED: dict[str, Content] = {
    f"/usr/lib/systemd/system/{name}": text for name, text in netns_units.packaged(netns.SHIPPED).items()
}
SLEEP = "[Service]\nExecStart=/bin/sleep 1000\n"
NO_RUNNER = "/usr/lib/kubens/kubens-netns is not executable: No such file or directory"
CONF = "/etc/kubens/a.conf"
BLUE = "[NetworkNamespace]\nName=blue\nTypes=lo\nServices=good\n"


def run(tmp_path: Path, text: str, files: dict[str, Content] | None = None) -> Run:
    """Generate for one configuration file, a service `good`, and whatever is given. lines: without severities."""
    good: dict[str, Content] = {"/etc/systemd/system/good.service": SLEEP}
    root = build(tmp_path / "root", {**TOOLS, **PACKAGED, **good, **(files or {}), CONF: text})
    done = generate(root, tmp_path / "output")
    assert done.status == any(line.startswith("error: ") for line in done.lines)
    done.lines = [line.partition(": ")[2] for line in done.lines]
    said = verify(root, done.output, without="kubens-problems.service").splitlines()
    assert not [line for line in said if not line.endswith((NO_RUNNER, "exit status 1"))]
    return done


def dropin(done: Run, unit: str) -> list[str]:
    path = done.output / f"{unit}.d/zz-kubens-netns.conf"
    return [line for line in path.read_text().splitlines() if "=" in line and line[0] != "#"] if path.exists() else []


JOINED = [
    "BindsTo=netns-lo@blue.service", "After=netns-lo@blue.service",
    "Wants=netns_record@blue.service", "After=netns_record@blue.service",
    "NetworkNamespacePath=/run/netns/blue",
]  # fmt: skip


def test_nothing_is_wrong(tmp_path: Path) -> None:
    done = run(tmp_path, BLUE)
    assert (done.status, done.lines) == (0, [])
    assert dropin(done, "good.service") == JOINED
    assert (done.output / "multi-user.target.wants/netns-lo@blue.service").is_symlink()


# Sections


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "Name= is missing, section ignored: choose another"),
        ("a-b", "Name=a-b is not of letters and digits alone, section ignored: choose another"),
        ("../x", "Name=../x is not of letters and digits alone, section ignored: choose another"),
        ("é", "Name=é is not of letters and digits alone, section ignored: choose another"),
        ("a%i", "Name=a%i is not of letters and digits alone, section ignored: choose another"),
        ("abcdefghijklmnop", "Name=abcdefghijklmnop has more than 15 bytes, section ignored: choose another"),
    ],
)
def test_a_name_that_cannot_be_one(name: str, reason: str, tmp_path: Path) -> None:
    done = run(tmp_path, f"[NetworkNamespace]\nName={name}\nServices=good\n" + BLUE)
    assert done.status == 1
    assert done.lines == [f"{CONF}:2: {reason}"]
    assert dropin(done, "good.service") == JOINED


def test_fifteen_bytes_are_a_name(tmp_path: Path) -> None:
    name = "abcdefghijklmno"
    done = run(tmp_path, BLUE.replace("blue", name))
    assert (done.status, done.lines) == (0, [])
    assert f"NetworkNamespacePath=/run/netns/{name}" in dropin(done, "good.service")


def test_a_section_without_a_name(tmp_path: Path) -> None:
    done = run(tmp_path, "[NetworkNamespace]\nTypes=lo\n" + BLUE)
    assert done.lines == [f"{CONF}:1: Name= is missing, section ignored: choose another"]
    assert dropin(done, "good.service") == JOINED


def test_sections_of_one_name_are_one(tmp_path: Path) -> None:
    done = run(tmp_path, BLUE + "[NetworkNamespace]\nName=blue\nTypes=nft\nWantedBy=\nWantedBy=a.target\nX-Mine=1\n")
    assert (done.status, done.lines) == (0, [])
    assert dropin(done, "good.service")[0] == "BindsTo=netns-lo@blue.service netns-nft@blue.service"
    assert sorted(path.name for path in (done.output / "a.target.wants").iterdir()) == [
        "netns-lo@blue.service", "netns-nft@blue.service"
    ]  # fmt: skip
    assert not (done.output / "multi-user.target.wants").exists()
    # In the order listed.
    assert dropin(done, "netns-nft@blue.service") == ["After=netns-lo@blue.service"]
    assert dropin(done, "netns-lo@blue.service") == []


def test_one_name_for_both_kinds(tmp_path: Path) -> None:
    done = run(tmp_path, BLUE + "[MountNamespace]\nName=blue\n")
    assert done.lines == [f"{CONF}:1: Name=blue is that of a mount namespace, too ({CONF}:5): rename one of them"]
    assert (done.output / "blue.service").exists()
    assert dropin(done, "good.service") == JOINED


def test_a_namespace_without_types_is_there_and_empty(tmp_path: Path) -> None:
    done = run(tmp_path, "[NetworkNamespace]\nName=blue\nServices=good\n")
    assert (done.status, done.lines) == (0, [])
    assert dropin(done, "good.service")[0] == "BindsTo=netns_name@blue.service"


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("Type=lo", "unknown setting Type= in [NetworkNamespace], ignored: write one of Name Types Services"),
        ("Types=lo", f"type lo is listed twice, first at {CONF}:3: remove one"),
        ("Services=good", f"good.service: listed twice, first at {CONF}:4: remove one"),
        ("Services=a/b", "a/b: not a unit name, ignored: mend or remove it"),
        ("Services=a.timer", "a.timer: neither a service nor a socket, ignored"),
        ("Services=netns-lo@blue", "netns-lo@blue.service: makes network namespaces itself, ignored: remove it"),
        ("Services=absent", "absent.service: not installed, not joined"),
        ("WantedBy=a/b", "WantedBy=a/b is not a unit name, ignored: mend or remove it"),
        ("WantedBy=a b.target", "WantedBy=a is not a unit name, ignored: mend or remove it"),
    ],
)
def test_a_line_that_means_nothing(line: str, finding: str, tmp_path: Path) -> None:
    done = run(tmp_path, f"{BLUE}{line}\n")
    assert len(done.lines) == 1
    assert done.lines[0].replace("warning: ", "").replace("", "").startswith(
        f"{CONF}:5: {finding.replace('warning: ', '').replace('notice: ', '')}"
    )
    assert dropin(done, "good.service") == JOINED


# Types


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("own", "Types=own: there is no such type: write /etc/conf.d/netns/own.sh, or choose one of"),
        ("default", "Types=default: there is no such type"),
        ("a/b", "Types=a/b: there is no such type"),
        ("veth", "Types=veth: its variables are nowhere set: write /etc/conf.d/netns/veth-red.conf"),
    ],
)
def test_a_type_that_is_none(kind: str, reason: str, tmp_path: Path) -> None:
    red = f"[NetworkNamespace]\nName=red\nTypes={kind}\nServices=other\n"
    done = run(tmp_path, red + BLUE, {"/etc/systemd/system/other.service": SLEEP})
    assert done.status == 1
    assert done.lines[0].startswith(f"{CONF}:3: {reason}")
    assert done.lines[1:] == [f"{CONF}:1: network namespace red: nothing joins it until this is mended"]
    assert dropin(done, "other.service") == []
    assert dropin(done, "good.service") == JOINED


@pytest.mark.parametrize("file", ["own.sh", "own.conf"])
def test_a_type_of_the_administrator(file: str, tmp_path: Path) -> None:
    done = run(tmp_path, BLUE.replace("lo\n", "own\n"), {f"/etc/conf.d/netns/{file}": "# functions\n"})
    assert (done.status, done.lines) == (0, [])
    assert dropin(done, "good.service")[0] == "BindsTo=netns-own@blue.service"
    text = (done.output / "netns-own@.service").read_text()
    assert f"from /etc/conf.d/netns/{file}." in text
    assert "ExecStart=/usr/lib/kubens/kubens-netns up inside own %i\n" in text
    assert (done.output / "netns_outside-own@.service").exists()
    assert not (done.output / "netns_name@.service").exists()


def test_types_need_no_section(tmp_path: Path) -> None:
    done = run(tmp_path, "", {"/etc/conf.d/netns/own.sh": "", "/etc/conf.d/netns/default.conf": ""})
    assert (done.status, done.lines) == (0, [])
    made = sorted(path.name for path in done.output.iterdir() if path.suffix == ".service")
    assert made == ["netns-own@.service", "netns_outside-own@.service"]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("a_b.sh", "is not TYPE.sh, TYPE.conf or TYPE-NAME.conf of letters and digits, ignored: rename it"),
        ("a-b.sh", "is not TYPE.sh, TYPE.conf or TYPE-NAME.conf of letters and digits, ignored: rename it"),
        ("lo-a-b.conf", "is not TYPE.sh, TYPE.conf or TYPE-NAME.conf of letters and digits, ignored: rename it"),
        ("lo-abcdefghijklmnop.conf", "the name abcdefghijklmnop has more than 15 bytes, ignored: rename it"),
        ("gone-blue.conf", "there is no type gone, ignored: write /etc/conf.d/netns/gone.sh or gone.conf"),
    ],
)
def test_a_file_that_belongs_to_no_type(file: str, reason: str, tmp_path: Path) -> None:
    done = run(tmp_path, BLUE, {f"/etc/conf.d/netns/{file}": "", "/etc/conf.d/netns/own.conf": ""})
    assert (done.status, done.lines) == (0, [f"/etc/conf.d/netns/{file}: {reason}"])
    assert dropin(done, "good.service") == JOINED
    assert (done.output / "netns-own@.service").exists()


def test_files_that_say_nothing_of_types(tmp_path: Path) -> None:
    names = ("nft-blue.rules", "README", ".own.sh.swp", "own.sh~", "default.conf", "own.conf.dpkg-old")
    done = run(tmp_path, BLUE, {f"/etc/conf.d/netns/{name}": "" for name in names})
    assert (done.status, done.lines) == (0, [])
    assert not list(done.output.glob("netns-*@.service"))


def test_units_of_that_name_are_used_as_they_are(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        "/etc/conf.d/netns/own.sh": "",
        "/etc/conf.d/netns/off.sh": "",
        "/etc/systemd/system/netns-own@.service": SLEEP,
        "/etc/systemd/system/netns-off@.service": link("/dev/null"),
    }
    done = run(tmp_path, BLUE, files)
    assert done.status == 0
    assert done.lines == [
        "/etc/conf.d/netns/off.sh: netns-off@.service: is masked: systemctl unmask netns-off@.service",
        "/etc/conf.d/netns/own.sh: netns-own@.service: exists already (/etc/systemd/system/netns-own@.service), "
        "and is used as it is: remove it to have it made by each reload",
    ]
    assert sorted(path.name for path in done.output.glob("netns*@.service")) == [
        "netns_outside-off@.service", "netns_outside-own@.service"
    ]  # fmt: skip


def test_a_masked_namespace_is_joined_by_nobody(tmp_path: Path) -> None:
    done = run(tmp_path, BLUE, {"/etc/systemd/system/netns-lo@blue.service": link("/dev/null")})
    assert done.status == 0
    assert done.lines == [
        f"{CONF}:1: netns-lo@blue.service: is masked, so nothing joins network namespace blue: "
        "systemctl unmask netns-lo@blue.service"
    ]
    assert dropin(done, "good.service") == []


# Members


OTHER = "/etc/systemd/system/other.service"
REFUSED = [
    ("[Service]\nNetworkNamespacePath=/run/netns/red\n", "NetworkNamespacePath=/run/netns/red puts it into another"),
    ("[Unit]\nJoinsNamespaceOf=good.service\n", "JoinsNamespaceOf=good.service puts it into another"),
    ("[Unit]\nBefore=network.target\n", "is ordered before network.target, which network namespaces wait for"),
]


@pytest.mark.parametrize(("more", "finding"), REFUSED)
def test_a_service_that_cannot_join(more: str, finding: str, tmp_path: Path) -> None:
    done = run(tmp_path, f"{BLUE}Services=other\n", {OTHER: SLEEP + more})
    assert done.status == 1
    assert len(done.lines) == 1 and done.lines[0].startswith(f"{OTHER}:4: other.service: {finding}")
    assert dropin(done, "other.service") == []
    assert dropin(done, "good.service") == JOINED


@pytest.mark.parametrize(
    "more",
    [
        "User=daemon\nDynamicUser=yes\nPrivateTmp=yes\nProtectSystem=strict\nPrivateNetwork=yes\n",
        "NetworkNamespacePath=/run/netns/red\nNetworkNamespacePath=\n",
        "NetworkNamespacePath=/run/netns/blue\n",
        "CapabilityBoundingSet=\nRestrictNamespaces=yes\nSystemCallFilter=~setns\n",
    ],
)
def test_what_does_not_keep_a_service_from_joining(more: str, tmp_path: Path) -> None:
    done = run(tmp_path, f"{BLUE}Services=other\n", {OTHER: SLEEP + more})
    assert (done.status, done.lines) == (0, [])
    assert dropin(done, "other.service") == dropin(done, "good.service") == JOINED


def test_a_service_is_in_one_namespace_only(tmp_path: Path) -> None:
    done = run(tmp_path, BLUE + "[NetworkNamespace]\nName=red\nServices=good other\n", {OTHER: SLEEP})
    assert done.lines == [
        f"{CONF}:7: good.service: has joined network namespace blue already: "
        "it can be in one only, remove it from the other"
    ]
    assert dropin(done, "good.service") == JOINED
    assert "NetworkNamespacePath=/run/netns/red" in dropin(done, "other.service")


def test_one_service_under_two_names(tmp_path: Path) -> None:
    alias: dict[str, Content] = {"/etc/systemd/system/alias.service": link("good.service")}
    done = run(tmp_path, f"{BLUE}Services=alias\n", alias)
    assert (done.status, done.lines) == (
        0, [f"{CONF}:5: alias.service: is listed already under another name: remove one"]
    )  # fmt: skip
    assert dropin(done, "good.service") == JOINED


def test_templates_and_instances(tmp_path: Path) -> None:
    files: dict[str, Content] = {"/etc/systemd/system/t@.service": SLEEP, "/etc/systemd/system/u@.service": SLEEP}
    done = run(tmp_path, f"{BLUE}Services=t@ u@1\n", files)
    assert (done.status, done.lines) == (0, [])
    assert dropin(done, "t@.service") == dropin(done, "u@1.service") == JOINED
    assert dropin(done, "u@.service") == []


def test_instances_with_files_of_their_own(tmp_path: Path) -> None:
    """Each is a member by its template, unless it is listed itself; one that cannot join is refused alone."""
    files: dict[str, Content] = {
        "/etc/systemd/system/t@.service": SLEEP,
        "/etc/systemd/system/t@1.service.d/zzz.conf": "[Service]\nNetworkNamespacePath=\n",
        "/etc/systemd/system/t@2.service.d/a.conf": "[Service]\nNetworkNamespacePath=/run/netns/other\n",
        "/etc/systemd/system/t@3.service.d/a.conf": "[Service]\nUser=daemon\n",
    }
    done = run(tmp_path, f"{BLUE}Services=t@\n[NetworkNamespace]\nName=red\nServices=t@3\n", files)
    assert done.lines == [
        "/etc/systemd/system/t@2.service.d/a.conf:2: t@2.service: NetworkNamespacePath=/run/netns/other puts it into "
        "another network namespace: reset it in a drop-in"
    ]
    made = sorted(str(path.relative_to(done.output)) for path in done.output.glob("t@*.d/*"))
    assert made == [
        "t@.service.d/zzz~kubens-netns.conf", "t@1.service.d/zzz~kubens-netns.conf",
        "t@3.service.d/zzz~kubens-netns.conf",
    ]  # fmt: skip
    assert "NetworkNamespacePath=/run/netns/red" in (done.output / made[2]).read_text()


def test_a_unit_that_cannot_be_read(tmp_path: Path) -> None:
    files: dict[str, Content] = {OTHER: SLEEP, "/etc/systemd/system/other.service.d/a.conf": sparse(1 << 30)}
    done = run(tmp_path, f"{BLUE}Services=other\n", files)
    assert len(done.lines) == 1
    where = "/etc/systemd/system/other.service.d/a.conf: other.service"
    assert done.lines[0].startswith(f"{where}: what systemd would run cannot be told: ")
    assert dropin(done, "other.service") == []
    assert dropin(done, "good.service") == JOINED


def test_the_dropin_sorts_behind_all_others(tmp_path: Path) -> None:
    dropins: dict[str, Content] = {"/etc/systemd/system/good.service.d/zzz-mine.conf": "[Service]\nUser=daemon\n"}
    done = run(tmp_path, BLUE, dropins)
    assert [path.name for path in (done.output / "good.service.d").iterdir()] == ["zzz-mine~kubens-netns.conf"]


# Sockets


SOCKET = "/etc/systemd/system/s.socket"


def test_a_socket_joins(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        SOCKET: "[Socket]\nListenStream=7\n",
        "/etc/systemd/system/s.service": SLEEP,
        "/etc/systemd/system/sockets.target.wants/s.socket": link("../s.socket"),
    }
    done = run(tmp_path, f"{BLUE}Services=s.socket\n", files)
    assert (done.status, done.lines) == (0, [])
    assert set(JOINED) < set(dropin(done, "s.socket"))
    assert "DefaultDependencies=no" in dropin(done, "s.socket")
    assert dropin(done, "s.service") == []


@pytest.mark.parametrize(
    ("socket", "service", "finding"),
    [
        ("[Socket]\nNetworkNamespacePath=/run/netns/red\n", "", ":4: s.socket: NetworkNamespacePath=/run/netns/red"),
        ("[Unit]\nBefore=sockets.target\n", "", ":4: s.socket: is ordered before sockets.target"),
        ("", "[Unit]\nBefore=network.target\n", ": s.socket: is ordered before s.service and so before network.target"),
    ],
)
def test_a_socket_that_cannot_join(socket: str, service: str, finding: str, tmp_path: Path) -> None:
    files: dict[str, Content] = {
        SOCKET: f"[Socket]\nListenStream=7\n{socket}",
        "/etc/systemd/system/s.service": SLEEP + service,
    }
    done = run(tmp_path, f"{BLUE}Services=s.socket\n", files)
    assert done.status == 1
    assert len(done.lines) == 1 and done.lines[0].startswith(SOCKET + finding)
    assert dropin(done, "s.socket") == []
    assert dropin(done, "good.service") == JOINED


@pytest.mark.parametrize(("accept", "starts"), [("no", "s.service"), ("yes", "s@.service")])
def test_a_socket_does_not_join_without_its_service(accept: str, starts: str, tmp_path: Path) -> None:
    files: dict[str, Content] = {
        SOCKET: f"[Socket]\nListenStream=7\nAccept={accept}\n",
        f"/etc/systemd/system/{starts}": SLEEP + "NetworkNamespacePath=/run/netns/red\n",
        "/etc/systemd/system/t.socket": "[Socket]\nListenStream=8\n",
        "/etc/systemd/system/t.service": SLEEP,
    }
    done = run(tmp_path, f"{BLUE}Services=s.socket {starts} t.socket t\n", files)
    assert len(done.lines) == 2
    assert done.lines[1] == f"{CONF}:5: s.socket: listens for {starts}, which cannot join: mend that, or remove both"
    assert dropin(done, "s.socket") == dropin(done, starts) == []
    assert set(JOINED) < set(dropin(done, "t.socket"))
    assert dropin(done, "t.service") == dropin(done, "good.service") == JOINED


def test_a_directory_of_types_that_cannot_be_read(tmp_path: Path) -> None:
    done = run(tmp_path, BLUE, {"/etc/conf.d/netns": link("netns")})
    assert done.lines == [
        "/etc/conf.d/netns: cannot be read: Too many levels of symbolic links; mend that",
        f"{CONF}:1: network namespace blue: nothing joins it until this is mended",
    ]


# What is in /etc/netns/NAME


ETC: dict[str, Content] = {"/etc/netns/blue/resolv.conf": "nameserver 10.0.0.1\n", "/etc/resolv.conf": ""}


@pytest.mark.parametrize(
    ("resolv", "expected"),
    [
        ("", ["BindReadOnlyPaths=/etc/netns/blue/resolv.conf:/etc/resolv.conf",
              "InaccessiblePaths=-/run/nscd", "InaccessiblePaths=-/run/systemd/resolve"]),
        (link("../run/systemd/resolve/stub-resolv.conf"),
         ["TemporaryFileSystem=/run/systemd/resolve:ro",
          "BindReadOnlyPaths=/etc/netns/blue/resolv.conf:/run/systemd/resolve/stub-resolv.conf",
          "InaccessiblePaths=-/run/nscd"]),
        (link("/srv/resolv.conf"),
         ["BindReadOnlyPaths=/etc/netns/blue/resolv.conf:/srv/resolv.conf",
          "InaccessiblePaths=-/run/nscd", "InaccessiblePaths=-/run/systemd/resolve"]),
    ],
)  # fmt: skip
def test_its_files_are_bound_over_etc(resolv: Content, expected: list[str], tmp_path: Path) -> None:
    files = {**ETC, "/etc/resolv.conf": resolv, "/srv/resolv.conf": ""}
    done = run(tmp_path, BLUE, files)
    assert (done.status, done.lines) == (0, [])
    assert dropin(done, "good.service") == [*JOINED, *expected]


def test_without_resolv_conf_names_are_looked_up_as_ever(tmp_path: Path) -> None:
    done = run(tmp_path, BLUE, {"/etc/netns/blue/hosts": "", "/etc/hosts": ""})
    assert dropin(done, "good.service") == [*JOINED, "BindReadOnlyPaths=/etc/netns/blue/hosts:/etc/hosts"]


@pytest.mark.parametrize(
    ("files", "finding"),
    [
        ({"/etc/netns/blue/nowhere": ""}, "nowhere: good.service: cannot be bound over /etc/nowhere"),
        ({"/etc/netns/blue/a b": "", "/etc/a b": ""}, "a b: good.service: cannot be bound over /etc/a b"),
        ({"/etc/netns/blue/hosts": "", "/etc/hosts": link("nothing")}, "hosts: good.service: cannot be bound over"),
    ],
)
def test_what_cannot_be_bound(files: dict[str, Content], finding: str, tmp_path: Path) -> None:
    red = "[NetworkNamespace]\nName=red\nServices=other\n"
    done = run(tmp_path, BLUE + red, {**files, OTHER: SLEEP})
    assert done.status == 1
    assert len(done.lines) == 1 and done.lines[0].startswith(f"/etc/netns/blue/{finding}")
    assert dropin(done, "good.service") == []
    assert dropin(done, "other.service")


@pytest.mark.parametrize(("files", "refused"), [({}, False), (ETC, True)], ids=["nothing to bind", "files to bind"])
def test_a_service_in_both_kinds_of_namespaces(files: dict[str, Content], refused: bool, tmp_path: Path) -> None:
    done = run(tmp_path, BLUE + "[MountNamespace]\nWrap=good\n", files)
    assert (done.output / "good.service.d/zz-kubens.conf").exists()
    if refused:
        assert done.lines == [
            f"{CONF}:4: good.service: is in mount namespace kubens, where nothing can be bound for it alone: "
            "remove it there, or empty /etc/netns/blue"
        ]
        assert dropin(done, "good.service") == []
    else:
        assert (done.status, done.lines) == (0, [])
        assert dropin(done, "good.service") == [*JOINED, "PrivateMounts=no"]


def test_a_service_with_a_root_of_its_own(tmp_path: Path) -> None:
    rooted = f"{SLEEP}RootDirectory=/srv\n"
    done = run(tmp_path, f"{BLUE}Services=other\n", {**ETC, OTHER: rooted})
    assert len(done.lines) == 1
    assert done.lines[0].startswith(f"{OTHER}:3: other.service: RootDirectory=/srv has an /etc of its own")
    assert dropin(done, "other.service") == []
    assert dropin(done, "good.service")[:5] == JOINED


# Tools


def test_without_ip_or_bash_nothing_joins(tmp_path: Path) -> None:
    root = build(tmp_path / "root", {**BASE, CONF: BLUE, "/etc/systemd/system/good.service": SLEEP})
    done = generate(root, tmp_path / "output")
    assert done.status == 1
    assert done.lines[0] == f"error: {CONF}:1: bash and ip missing: install bash and iproute2"
    assert dropin(done, "good.service") == []
