"""Bad input: each costs itself only, says so in one line, and a good neighbour is generated as if it were alone."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kubens.config import FINDINGS_MAX
from trees import BASE, Content, Run, build, generate, link, snapshot, sparse, verify

SLEEP = "[Service]\nExecStart=/bin/sleep 1000\n"
CONF = "/etc/kubens/10-bad.conf"
UNIT = "/etc/systemd/system/bad.service"
DROPIN = "/etc/systemd/system/bad.service.d/bad.conf"
NOT_INSTALLED = f"notice: {CONF}:3: bad.service: not installed, not wrapped: install it, or remove it here"
MASKED = f"notice: {CONF}:3: bad.service: masked, not wrapped: systemctl unmask bad.service"
NOT_WRAPPED = f"error: {CONF}:1: namespace night: none of its services is wrapped until this is mended"

# The neighbour is in the file that is read last.
GOOD: dict[str, Content] = {
    **BASE,
    "/etc/kubens/90-good.conf": "[MountNamespace]\nName=day\nWrap=good.service\n",
    "/etc/systemd/system/good.service": SLEEP,
    "/etc/systemd/system/other.service": SLEEP,
    "/dev/null": "",
}


def make_socket(path: Path) -> None:
    # The path of a socket may have 107 bytes.
    directory = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{directory}/{path.name}")
    os.close(directory)


def make_device(kind: int, major: int, minor: int) -> Callable[[Path], None]:
    return lambda path: os.mknod(path, 0o600 | kind, os.makedev(major, minor))


def make_unreadable(path: Path) -> None:
    path.write_text(SLEEP)
    path.chmod(0)


def night(text: str) -> dict[str, Content]:
    """A configuration file of a namespace `night`, the lines from the third on."""
    return {CONF: f"[MountNamespace]\nName=night\n{text}"}


def unit(content: Content) -> dict[str, Content]:
    return {**night("Wrap=bad.service other.service\n"), UNIT: content}


def dropin(content: Content) -> dict[str, Content]:
    return {**unit(SLEEP), DROPIN: content}


DENIED = "Permission denied"
if os.geteuid() == 0:
    DENIED += ", and that to root: is it SELinux? Then see kubensctl selinux"

# What can be at a path instead of a readable text: the content, and the reason to be read for it.
NO_FILE: dict[str, tuple[Content, str]] = {
    "directory": (Path.mkdir, "is a directory"),
    "link to a directory": (link("/usr/bin"), "is a directory"),
    "circular link": (link("circle"), "Too many levels of symbolic links"),
    "fifo": (os.mkfifo, "not a regular file"),
    "device": (make_device(stat.S_IFCHR, 1, 5), "not a regular file"),
    "block device": (make_device(stat.S_IFBLK, 7, 0), "not a regular file"),
    "socket": (make_socket, "not a regular file"),
    "100 MB": (sparse(100_000_000), "larger than 4096 KiB"),
    "unreadable": (make_unreadable, DENIED),
}
CIRCLE: dict[str, Content] = {f"{Path(path).parent}/circle": link("circle") for path in (CONF, UNIT, DROPIN)}

ELF = b"\x7fELF\2\1\1" + bytes(range(256)) * 16

Case = tuple[Mapping[str, Content], list[str]]
CASES: dict[str, Case] = {
    "configuration: dangling link": (
        {CONF: link("nowhere")},
        [f"error: {CONF}: a link to nothing, ignored: mend it, or link it to /dev/null"],
    ),
    "configuration: binary": (
        {CONF: ELF},
        [f"error: {CONF}: binary data, ignored: remove it, this is no configuration file"],
    ),
    "configuration: half a line": (
        {CONF: "[MountNamespace]\nName=night\nWra"},
        [f"warning: {CONF}:3: no KEY=VALUE, line ignored: mend or remove it"],
    ),
    "configuration: half a section": (
        {CONF: "[MountNamespace]\nName=night\n[MountNam"},
        [f"error: {CONF}:3: invalid section header '[MountNam', the whole file is ignored: mend it"],
    ),
    "configuration: no section": (
        {CONF: "Wrap=other\n[MountNamespace]\nName=night\n"},
        [f"warning: {CONF}:1: assignment outside of a section, line ignored: mend or remove it"],
    ),
    "configuration: no UTF-8": (
        night("Wrap=\udce9.service\n"),
        [f"error: {CONF}:3: not valid UTF-8, the whole file is ignored: mend it"],
    ),
    "configuration: line of 1 MiB": (
        night("Wrap=" + "x" * 2**20 + "\n"),
        [f"error: {CONF}: cannot be read, ignored: larger than 256 KiB; mend that"],
    ),
    "configuration: unknown section": (
        {CONF: "[Mountnamespace]\nName=night\n"},
        [
            f"warning: {CONF}:1: unknown section [Mountnamespace], ignored: "
            "write one of [MountNamespace] [NetworkNamespace]"
        ],
    ),
    "configuration: unknown setting": (
        night("wrap=other\n"),
        [
            f"warning: {CONF}:3: unknown setting wrap= in [MountNamespace], ignored: write one of "
            "Name Wrap Env WrapCommands WhenMissing AllowSandboxLoss"
        ],
    ),
    "WhenMissing": (
        night("WhenMissing=maybe\n"),
        [f"warning: {CONF}:3: WhenMissing=maybe is neither fail nor host, ignored: write one of them"],
    ),
    "AllowSandboxLoss": (
        night("AllowSandboxLoss=perhaps\n"),
        [f"warning: {CONF}:3: AllowSandboxLoss=perhaps is neither yes nor no, ignored: write one of them"],
    ),
    "WrapCommands": (
        night("WrapCommands=ExecFoo ExecStart\n"),
        [
            f"warning: {CONF}:3: WrapCommands=ExecFoo ignored: write one of ExecCondition ExecStartPre ExecStart "
            "ExecStartPost ExecReload ExecReloadPost ExecStop ExecStopPost"
        ],
    ),
    "directory of configuration: circular link": (
        {"/usr/lib/kubens": link("kubens")},
        ["error: /usr/lib/kubens: cannot be read: Too many levels of symbolic links; mend that"],
    ),
    "unit: missing": (
        night("Wrap=bad.service other.service\n"),
        [NOT_INSTALLED],
    ),
    "unit: masked": (unit(link("/dev/null")), [MASKED]),
    "unit: empty": (unit(""), [MASKED]),
    "unit: dangling link": (unit(link("nowhere")), [NOT_INSTALLED]),
    "unit: dangling link out of the search path": (
        unit(link("/nowhere/bad.service")),
        [NOT_INSTALLED],
    ),
    "unit: link to itself": (unit(link("bad.service")), [NOT_INSTALLED]),
    "unit: binary": (
        unit(ELF),
        [f"warning: {UNIT}:4: bad.service: systemd itself does not load it, not wrapped: not valid UTF-8; mend that"],
    ),
    "unit: half a line": (
        unit("[Service]\nExecSt"),
        [f"warning: {UNIT}: bad.service: systemd itself does not load it, not wrapped: no ExecStart=; mend that"],
    ),
    "unit: half a section": (
        unit(f"{SLEEP}[Serv"),
        [
            f"warning: {UNIT}:3: bad.service: systemd itself does not load it, not wrapped: "
            "invalid section header '[Serv'; mend that"
        ],
    ),
    "drop-in: half a word": (
        dropin('[Service]\nExecStart=\nExecStart=/bin/sleep "10'),
        [f"warning: {UNIT}: bad.service: systemd itself does not load it, not wrapped: no ExecStart=; mend that"],
    ),
    "drop-in: binary": (dropin(ELF), []),
    "drop-in: dangling link": (dropin(link("nowhere")), []),
    "directory of drop-ins: file": ({**unit(SLEEP), f"{UNIT}.d": ""}, []),
    "directory of drop-ins: circular link": (
        {**unit(SLEEP), f"{UNIT}.d": link("bad.service.d")},
        [
            f"error: {UNIT}.d: bad.service: what systemd would run cannot be told: "
            "Too many levels of symbolic links; mend that",
            NOT_WRAPPED,
        ],
    ),
    "directory of units: circular link": ({"/etc/systemd/system.control": link("system.control")}, []),
    "unit: directory with an unknown specifier": (
        unit(f"{SLEEP}WorkingDirectory=/var/%k\n"),
        [
            f"error: {UNIT}:3: bad.service: what systemd would run cannot be told: "
            "%k in WorkingDirectory= is not known to every release of systemd: write what it stands for",
            NOT_WRAPPED,
        ],
    ),
    "unit: program of a name that no file has": (
        unit(f"[Service]\nExecStart=/bin/{'x' * 256} y\n"),
        [
            f"error: {UNIT}:2: bad.service: what systemd would run cannot be told: "
            f"ExecStart=/bin/{'x' * 35}… may be longer than a path can be: write a shorter one",
            NOT_WRAPPED,
        ],
    ),
    "unit: program of the longest name": (unit(f"[Service]\nExecStart=/bin/{'x' * 255} y\n"), []),
    "unit: directory of many names": (unit(f"{SLEEP}WorkingDirectory=-/{'%n/' * 30}x\n"), []),
    "unit: directory of a name that no directory has": (
        unit(f"{SLEEP}WorkingDirectory=/{'%n' * 30}/x\n"),
        [
            f"error: {UNIT}:3: bad.service: what systemd would run cannot be told: "
            f"WorkingDirectory=/{'%n' * 19}%… may be longer than a path can be: write a shorter one",
            NOT_WRAPPED,
        ],
    ),
    "service listed twice": (
        night("Wrap=other\nWrap=other.service\n"),
        [f"warning: {CONF}:4: other.service: listed twice, first at {CONF}:3: remove one"],
    ),
    "service in Wrap= and Env=": (
        night("Wrap=other\nEnv=other\n"),
        [f"warning: {CONF}:4: other.service: in Wrap= and in Env= ({CONF}:3), wrapped: remove one"],
    ),
    "service in Env= and Wrap=": (
        night("Env=other\nWrap=other\n"),
        [f"warning: {CONF}:4: other.service: in Wrap= and in Env= ({CONF}:3), wrapped: remove one"],
    ),
    "service in two namespaces": (
        {**night("Wrap=other\n"), "/etc/kubens/20-bad.conf": "[MountNamespace]\nName=noon\nWrap=other\n"},
        [
            "error: /etc/kubens/20-bad.conf:3: other.service: is a member of namespace night already: "
            "a service can be in one only, remove it from the other",
            "error: /etc/kubens/20-bad.conf:1: namespace noon: none of its services is wrapped until this is mended",
        ],
    ),
    "pod: half a manifest": (
        {"/etc/kubens/pods/half.json": '{"acVersion": "0.8'},
        [
            "error: /etc/kubens/pods/half.json:1: $: no JSON: Unterminated string starting at in line 1, column 15: "
            "the pod is not made until this is mended"
        ],
    ),
    "service that is no service": (
        night("Wrap=other.socket other\n"),
        [f"error: {CONF}:3: other.socket: not a service, ignored: remove it, only services run commands"],
    ),
    "tree with /etc/kubens alone": ({"/etc/systemd/system.control/x.service": SLEEP}, []),
    "namespace named like a unit": (
        {CONF: "[MountNamespace]\nName=other\nWrap=bad\n"},
        [
            f"error: {CONF}:1: other.service: exists already (/etc/systemd/system/other.service): "
            "remove it, or choose another Name="
        ],
    ),
    "namespace named like a masked unit": (
        {**night("Wrap=other\n"), "/etc/systemd/system/night.service": link("/dev/null")},
        [
            f"notice: {CONF}:1: night.service: is masked, so nothing is wrapped: systemctl unmask night.service"
        ],
    ),
}  # fmt: skip


def not_unit_names() -> dict[str, Case]:
    """Words of Wrap=, by how they are shown."""
    words = {
        "../../etc/passwd": "../../etc/passwd",
        "/etc/passwd": "/etc/passwd",
        "a%i.service": "a%i.service",
        '"other"': '"other"',
        "é.service": "é.service",
        "\x1b[31m": "\\x1b[31m",
        "@.service": "@.service",
        "x" * 256: "x" * 256,
    }
    return {
        f"service named {word[:20]!r}": (
            night(f"Wrap={word} other\n"),
            [f"error: {CONF}:3: {shown}: not a unit name, ignored: mend or remove it"],
        )
        for word, shown in words.items()
    }


def strange_unit_names() -> dict[str, Case]:
    return {
        f"service named {word!r}": (
            night(f"Wrap={word} other\n"),
            [f"notice: {CONF}:3: {word}: not installed, not wrapped: install it, or remove it here"],
        )
        for word in ("a\\nb.service", "a@b@c.service", "a@.service", "a@b.service", "...service")
    }


def bad_namespace_names() -> dict[str, Case]:
    plain = ("a b", "../night", "/night", "a%b", "a@b", ".night", "a\\x20b", "é", "a;b", "$HOME")
    reasons = dict.fromkeys(plain, "is not a plain unit name")
    for name in ("netns", "systemd", "kubens-generator", "containerd"):
        reasons[name] = f"is taken: /run/{name} belongs to another program"
    reasons["x" * 201] = "is longer than 200 characters"
    return {
        f"namespace named {name[:20]!r}": (
            {CONF: f"[MountNamespace]\nName={name}\nWrap=other\n"},
            [f"error: {CONF}:2: Name={name} {reason}, section ignored: choose another"],
        )
        for name, reason in reasons.items()
    }


def no_files() -> dict[str, Case]:
    """Something else in the place of each kind of file. A device in a unit's place is a mask for systemd."""
    cases: dict[str, Case] = {}
    for what, (content, reason) in NO_FILE.items():
        lines = [f"error: {CONF}: cannot be read, ignored: {reason.replace('4096', '256')}; mend that"]
        cases[f"configuration: {what}"] = ({**CIRCLE, CONF: content}, lines)
        lines = [
            f"error: {DROPIN}: bad.service: what systemd would run cannot be told: {reason}; mend that",
            NOT_WRAPPED,
        ]
        cases[f"drop-in: {what}"] = ({**CIRCLE, **dropin(content)}, lines)
        if what not in ("device", "circular link"):
            lines = [
                f"error: {UNIT}: bad.service: what systemd would run cannot be told: {reason}; mend that",
                NOT_WRAPPED,
            ]
            cases[f"unit: {what}"] = ({**CIRCLE, **unit(content)}, lines)
    return cases


CASES.update({**not_unit_names(), **strange_unit_names(), **bad_namespace_names(), **no_files()})

# Root reads everything; without these two it is stopped like anybody.
WITHOUT_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def run(root: Path, output: Path) -> Run:
    return generate(root, output, prefix=WITHOUT_OVERRIDE if os.geteuid() == 0 else ())


def files_of_day(output: Path) -> dict[str, object]:
    """What is generated for the neighbour."""
    places = ("day", "good", "multi-user.target.wants/day", ".kubens/day")
    return {path: state for path, state in snapshot(output).items() if path.startswith(places)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The neighbour without anything bad."""
    here = tmp_path_factory.mktemp("alone")
    done = run(build(here / "root", GOOD), here / "output")
    assert (done.status, done.lines) == (0, [])
    assert verify(here / "root", here / "output") == ""
    return files_of_day(here / "output")


@pytest.mark.needs("root", "setpriv", "systemd-analyze")
@pytest.mark.parametrize("case", CASES)
def test_bad_input_costs_itself_only(case: str, tmp_path: Path, alone: dict[str, object]) -> None:
    files, lines = CASES[case]
    root = build(tmp_path / "root", {**GOOD, **files})
    before = snapshot(tmp_path)
    done = run(root, tmp_path / "output")
    assert done.lines == lines
    assert done.status == (1 if any(line.startswith("error") for line in lines) else 0)
    after = snapshot(tmp_path)
    assert {path: state for path, state in after.items() if not path.startswith("output")} == before
    assert files_of_day(done.output) == alone
    assert (done.output / "kubens-problems.service").exists() == bool(done.status)
    # systemd has its own to say about the bad unit; none of it may be about what we made.
    said = verify(root, done.output, without="bad.service").splitlines()
    assert [line for line in said if "bad.service" not in line] == []


def test_every_problem_is_in_the_problems_service(tmp_path: Path) -> None:
    bad = {"/etc/kubens/20.conf": "[MountNamespace]\nName=%h$HOME\n", "/etc/kubens/30.conf": "[MountNam"}
    done = run(build(tmp_path / "root", {**GOOD, **bad}), tmp_path / "output")
    text = (done.output / "kubens-problems.service").read_text()
    assert "20.conf:2: Name=%%h$$HOME is not a plain unit name" in text
    assert "30.conf:1: invalid section header" in text
    assert os.readlink(done.output / "multi-user.target.wants/kubens-problems.service") == "../kubens-problems.service"


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("character", ["\x01", "x", "é"])
def test_a_problem_that_no_unit_could_hold_is_cut(character: str, tmp_path: Path) -> None:
    """A unit with a line of a megabyte is not loaded, nor can a command get an argument of more than 128 KiB."""
    root = build(tmp_path / "root", {**GOOD, CONF: f"[MountNamespace]\nName={character * 120_000}\n"})
    done = run(root, tmp_path / "output")
    assert verify(root, done.output) == ""
    text = (done.output / "kubens-problems.service").read_text()
    assert f"{CONF}:2: Name=" in text
    assert max(map(len, text.splitlines())) < 6000


def test_thousands_of_problems_take_a_hundred_lines(tmp_path: Path) -> None:
    """Each is a process at boot."""
    bad: dict[str, Content] = {f"/etc/kubens/{number:04}.conf": "Wrap=\xff[Mount\n[Moun" for number in range(3000)}
    done = run(build(tmp_path / "root", {**GOOD, **bad}), tmp_path / "output")
    lines = (done.output / "kubens-problems.service").read_text().splitlines()
    assert "Description=kubens found 3000 problems in its configuration" in lines
    commands = [line for line in lines if line.startswith("ExecStart=")]
    assert len(commands) == 103
    assert "/etc/kubens/0099.conf:2: invalid section header" in commands[99]
    assert "and 2900 more: kubensctl check shows all" in commands[100]
    assert len(done.lines) == 3000


def test_a_missing_tool_is_one_line_and_nothing_is_generated(tmp_path: Path) -> None:
    root = build(tmp_path / "root", GOOD)
    (root / "usr/bin/nsenter").chmod(0o644)
    (root / "usr/bin/mount").unlink()
    done = run(root, tmp_path / "output")
    assert done.lines == ["error: nsenter, mount missing, nothing is generated: install util-linux and coreutils"]
    assert files_of_day(done.output) == {}


@pytest.mark.parametrize("line", ["x", "[Unknown]", "Wrap=../x"])
def test_a_file_of_nothing_but_mistakes_says_so_in_a_few_lines(line: str, tmp_path: Path) -> None:
    text = "[MountNamespace]\nName=night\n" + f"{line}\n" * 20_000
    done = run(build(tmp_path / "root", {**GOOD, CONF: text}), tmp_path / "output")
    assert 1 < len(done.lines) <= FINDINGS_MAX + 1
    assert (done.output / "good.service.d").is_dir()


def test_no_configuration_is_silence(tmp_path: Path) -> None:
    done = run(build(tmp_path / "root", BASE), tmp_path / "output")
    assert (done.status, done.stderr, snapshot(done.output)) == (0, "", {})


def test_two_namespaces_do_not_take_each_others_units(tmp_path: Path) -> None:
    """night-record.service belongs to `night`, and would be the unit of a namespace `night-record` as well."""
    both = "[MountNamespace]\nName=night\n[MountNamespace]\nName=night-record\n"
    done = run(build(tmp_path / "root", {**GOOD, CONF: both}), tmp_path / "output")
    assert len(done.lines) == 1
    assert "Record of night.service\n" in (done.output / "night-record.service").read_text()


def test_a_mask_is_one_in_a_tree_without_devices(tmp_path: Path) -> None:
    files = {**GOOD, **unit(link("/dev/null"))}
    del files["/dev/null"]
    done = run(build(tmp_path / "root", files), tmp_path / "output")
    assert (done.status, done.lines) == (
        0,
        [MASKED],
    )


@pytest.mark.parametrize("place", ["directory", "file in the place of the directory", "link to nothing"])
def test_what_is_in_the_place_of_configuration_is_said(place: str, tmp_path: Path) -> None:
    files = {path: content for path, content in GOOD.items() if not path.startswith("/etc/kubens")}
    files["/usr/lib/kubens/90-good.conf"] = GOOD["/etc/kubens/90-good.conf"]
    if place == "directory":
        files[CONF] = Path.mkdir
    else:
        files["/etc/kubens"] = "" if place.startswith("file") else link("nowhere")
    done = run(build(tmp_path / "root", files), tmp_path / "output")
    assert len(done.lines) == 1
    assert (CONF if place == "directory" else "/etc/kubens") in done.lines[0]
    assert (done.output / "good.service.d").is_dir()


def test_a_record_in_which_types_are_no_names(tmp_path: Path) -> None:
    """It is written by nobody but us. All the same no unit that comes from it is a path."""
    record = "[NetworkNamespace]\nName=blue\nTypes={}lo\nServices=other.service\n"
    outputs = []
    for number, types in enumerate(("", "../../../x .. a/b ")):
        place = "/run/kubens-generator/netns@blue/namespace.conf"
        root = build(tmp_path / f"{number}/root", {**GOOD, "/usr/bin/ip": "", place: record.format(types)})
        run = generate(root, tmp_path / f"{number}/output")
        assert run.status == 0, run.lines
        outputs.append({path for path in snapshot(run.output) if len(path.rpartition("/")[2]) != 16})
        assert sorted(os.listdir(tmp_path / f"{number}")) == ["output", "root"]
    assert outputs[0] == outputs[1]
    assert "other.service.d/zz-kubens-netns.conf" in outputs[0]
