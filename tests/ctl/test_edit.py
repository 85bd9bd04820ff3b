"""`kubensctl wrap`, `env`, `release`: one file, the old or the new one, and systemd brought to what it says."""

from __future__ import annotations

import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ctl import PROGRAM, Maker, Node, kubensctl, tree, write
from kubens_machine import service, whereabouts

FILE = "/etc/kubens/50-kubensctl.conf"
OTHER = "/etc/kubens/services.conf"
UNITS = ("a", "b", "c", "d")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    units = {f"/etc/systemd/system/{name}.service": "[Service]\nExecStart=/usr/bin/a\n" for name in UNITS}
    return tree(tmp_path, units, ("a",))


def _edit(root: Path, *arguments: str) -> str:
    """Run a verb that must succeed; what the file says then, comments left out."""
    done = kubensctl(*arguments, "--root", str(root))
    assert (done.returncode, done.stderr) == (0, "")
    return _content(root)


def _content(root: Path) -> str:
    lines = (root / FILE[1:]).read_text("utf-8", "surrogateescape").splitlines()
    return "\n".join(line for line in lines if line and line[0] != "#")


def _fails(root: Path, *arguments: str) -> str:
    """Run a verb that must change nothing; what it says."""
    path = root / FILE[1:]
    before = path.read_bytes() if path.exists() else None
    done = kubensctl(*arguments, "--root", str(root))
    assert done.returncode == 1
    assert (path.read_bytes() if path.exists() else None) == before
    assert "Traceback" not in done.stderr
    return done.stderr


def test_declaring_and_releasing(root: Path) -> None:
    assert _edit(root, "wrap", "a", "b.service") == "[MountNamespace]\nName=kubens\nWrap=a.service b.service"
    assert _edit(root, "env", "b", "c") == "[MountNamespace]\nName=kubens\nWrap=a.service\nEnv=b.service c.service"
    assert _edit(root, "wrap", "a") == "[MountNamespace]\nName=kubens\nEnv=b.service c.service\nWrap=a.service"
    assert _edit(root, "release", "b", "c", "c") == "[MountNamespace]\nName=kubens\nWrap=a.service"
    # An empty section would still make a namespace.
    assert _edit(root, "release", "a") == ""


def test_every_namespace_has_a_section(root: Path) -> None:
    _edit(root, "wrap", "a")
    _edit(root, "env", "b", "--namespace", "blue")
    text = _edit(root, "wrap", "c", "--namespace", "blue")
    assert text == (
        "[MountNamespace]\nName=kubens\nWrap=a.service\n[MountNamespace]\nName=blue\nEnv=b.service\nWrap=c.service"
    )
    assert "first: kubensctl release a.service" in _fails(root, "wrap", "a", "--namespace", "blue")
    assert "not declared for namespace kubens" in _fails(root, "release", "b", "--namespace", "kubens")
    assert _edit(root, "release", "b", "c") == "[MountNamespace]\nName=kubens\nWrap=a.service"


def test_settings_written_by_hand_stay(root: Path) -> None:
    write(root, FILE, "[MountNamespace]\nwrap=x\nWhenMissing=fail\nWrap=a b\n\n[X-Mine]\nä = 1%2\n")
    text = _edit(root, "release", "a", "b")
    assert text == "[MountNamespace]\nwrap=x\nWhenMissing=fail\n[X-Mine]\nä=1%2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("[MountNamespace]\nWrap=a\nWrap=b\n", "line  3", id="twice"),
        pytest.param("[MountNamespace]\nName=kubens\n\nx\n", "line  4", id="no-assignment"),
        pytest.param("Wrap=a\n", "no section headers", id="no-section"),
    ],
)
def test_a_file_that_configparser_does_not_take(root: Path, text: str, reason: str) -> None:
    write(root, FILE, text)
    said = _fails(root, "wrap", "c")
    assert FILE in said
    assert reason in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("text", ["Wrap=a\n  b", "Wrap=a \\\nb=c", "Wrap=a b/c b"])
def test_what_the_generator_reads_otherwise_is_not_touched(root: Path, text: str) -> None:
    # configparser continues an indented line, systemd one that ends in a backslash.
    write(root, FILE, f"[MountNamespace]\n{text}\n")
    assert f"{FILE} was edited by hand, and is not clear about" in _fails(root, "wrap", "c")
    write(root, FILE, "[MountNamespace]\nWrap=a   b\n")
    assert "a.service b.service c.service" in _edit(root, "wrap", "c")


def test_what_another_file_takes_back(root: Path) -> None:
    write(root, "/etc/kubens/90-late.conf", "[MountNamespace]\nWrap=\n")
    assert "another file overrules" in _fails(root, "wrap", "c")


def test_what_another_file_declares_is_named(root: Path) -> None:
    write(root, OTHER, "[MountNamespace]\n\nWrap=a\n")
    place = f"{OTHER}:3"
    assert f"a.service is declared in {place}, which is not kubensctl's to edit" in _fails(root, "release", "a")
    assert f"a.service is in Wrap= at {place}" in _fails(root, "env", "a")
    assert f"a.service is in namespace kubens by {place}" in _fails(root, "wrap", "a", "--namespace", "blue")
    done = kubensctl("wrap", "a", "--root", str(root))
    assert (done.returncode, done.stderr) == (0, f"kubensctl: a.service is declared so already, by {place}\n")
    assert not (root / FILE[1:]).exists()
    # All or nothing, with a neighbour that could be released.
    _edit(root, "wrap", "b")
    assert place in _fails(root, "release", "b", "a")


def test_what_would_be_refused_is_not_declared(root: Path) -> None:
    _edit(root, "wrap", "a")
    write(root, "/etc/systemd/system/b.service", "[Service]\nExecStart=/usr/bin/a\nPrivateTmp=yes\n")
    said = _fails(root, "wrap", "c", "b")
    assert "/etc/systemd/system/b.service:3:12: error: b.service" in said
    assert said.splitlines()[-1] == "kubensctl: nothing is changed: the namespace would be refused as a whole"
    # An error that is there already does not keep anybody from working on.
    write(root, OTHER, "[MountNamespace]\nName=/\n")
    assert "c.service" in _edit(root, "wrap", "c")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("wrap", "a/b"), "a/b: not a unit name"),
        (("wrap", "a.socket"), "a.socket: not a service; only services run commands"),
        (("wrap", "a", "--namespace", "log"), "--namespace log is taken: /run/log belongs to another program"),
        (("wrap", "a", "--namespace", "x\n[Foo]"), "--namespace x\\x0a[Foo] is not a plain unit name"),
        (("release", "a"), "a.service is not declared anywhere"),
        (("wrap", "a", "--now"), "--now restarts services of the machine that runs: leave out --root"),
    ],
)
def test_what_makes_no_sense(root: Path, arguments: tuple[str, ...], reason: str) -> None:
    assert _fails(root, *arguments) == f"kubensctl: {reason}\n"


def test_a_dry_run_shows_the_difference(root: Path) -> None:
    done = kubensctl("wrap", "a", "--dry-run", "--root", str(root))
    assert done.returncode == 0
    assert done.stdout.startswith(f"--- /dev/null\n+++ {FILE}\n")
    assert "+Wrap=a.service\n" in done.stdout
    assert done.stdout.endswith(f"a.service: would be declared for kubens, by Wrap= in {FILE}\n")
    assert not (root / "etc/kubens").exists()


def test_a_link_is_not_written_through(root: Path) -> None:
    write(root, "/elsewhere", "")
    (root / "etc/kubens").mkdir()
    (root / FILE[1:]).symlink_to("/dev/null")
    assert "is a link" in _fails(root, "wrap", "a")


def test_two_at_once_lose_nothing(root: Path) -> None:
    def wrap(unit: str) -> int:
        return kubensctl("wrap", unit, "--root", str(root)).returncode

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(wrap, UNITS)) == [0, 0, 0, 0]
    assert sorted(_content(root).rpartition("=")[2].split()) == [f"{unit}.service" for unit in UNITS]


@pytest.mark.needs("strace")
@pytest.mark.parametrize("call", ["openat", "write", "fsync", "rename", "close"])
def test_killed_at_any_time_the_file_is_the_old_or_the_new_one(root: Path, call: str) -> None:
    old = _edit(root, "wrap", "a")
    draft = "/.50-kubensctl.conf.new"
    trace = ["strace", "-f", "-qq", "-o", str(root / "trace"), "-P", f"{root}{FILE}", "-P", f"{root}/etc/kubens{draft}"]
    number = 0
    killed = True
    while killed:
        number += 1
        inject = ["-e", f"inject={call}:signal=KILL:when={number}"]
        command = [*trace, *inject, str(PROGRAM), "wrap", "b", "--root", str(root)]
        killed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode != 0
        assert _content(root) in (old, old + " b.service")
        _edit(root, "wrap", "c")  # Whatever the dead one left behind is in nobody's way.
        _edit(root, "release", "c", *(["b"] if "b.service" in _content(root) else []))
        assert sorted(os.listdir(root / "etc/kubens")) == ["50-kubensctl.conf"]
    assert number > 1, f"never killed at {call}"


def test_the_backport_and_the_standard_library_write_the_same(root: Path) -> None:
    """The system's Python has the standard library's configparser alone, that of the tests the backport too."""
    steps = (("wrap", "a", "b"), ("env", "c", "--namespace", "blue"), ("release", "b"))
    texts = []
    for python in ("/usr/bin/python3", sys.executable):
        for step in steps:
            subprocess.run([python, "-I", str(PROGRAM), *step, "--root", str(root)], check=True, stdout=subprocess.PIPE)
        texts.append((root / FILE[1:]).read_text())
        (root / FILE[1:]).unlink()
    assert texts[0] == texts[1] != ""


def _services(ctl: Node) -> None:
    """A runtime, the kubelet that needs it, and a service that needs the runtime and is no business of ours."""
    needs = "[Unit]\nRequires=runtime.service\nAfter=runtime.service\n[Service]\nExecStart=/bin/sleep 1000\n"
    log = "ExecStartPre=/bin/sh -c 'echo %n >>/run/order'\n"
    service(ctl.machine, "runtime.service", f"ExecStart=/bin/sleep 1000\n{log}")
    service(ctl.machine, "kubelet.service", needs + log)
    service(ctl.machine, "tool.service", needs)
    ctl.machine.boot()
    ctl.machine.systemctl("start", "kubelet", "tool")
    ctl.machine.run("rm", "/run/order")


def _inside(ctl: Node) -> list[bool]:
    return [place == "inside" for place in whereabouts(ctl.machine, "runtime", "kubelet", "tool")]


def test_now_brings_all_of_them_in_and_out(machine: Maker, lower: str) -> None:
    ctl = Node(machine, lower)
    _services(ctl)
    node = ctl.machine
    # The one that waits is named first, and starts last.
    done = ctl.ctl("wrap", "kubelet", "runtime", "--now")
    assert (done.returncode, done.stderr) == (0, "")
    assert node.read("/run/order").split() == ["runtime.service", "kubelet.service"]
    assert _inside(ctl) == [True, True, False]
    assert ctl.ctl("status").returncode == 0
    assert re.search(r"^  kubelet\.service +active \(running\)$", done.stdout, re.MULTILINE)
    # Into a namespace that lives: nobody else is disturbed.
    pids = [node.main_pid(unit) for unit in ("runtime", "kubelet")]
    done = ctl.ctl("wrap", "tool", "--now")
    assert (done.returncode, done.stderr) == (0, "")
    assert _inside(ctl) == [True, True, True]
    assert [node.main_pid(unit) for unit in ("runtime", "kubelet")] == pids
    # Out again: everything that stopping takes along is started again.
    done = ctl.ctl("release", "kubelet", "tool", "--now")
    assert (done.returncode, done.stderr) == (0, "")
    assert _inside(ctl) == [True, False, False]
    assert all(node.main_pid(unit) for unit in ("runtime", "kubelet", "tool"))
    # One that is only told of the namespace.
    done = ctl.ctl("env", "tool", "--now")
    assert (done.returncode, done.stderr) == (0, "")
    assert "KUBENSMNT=/run/kubens/mnt" in node.read(f"/proc/{node.main_pid('tool')}/environ").split("\0")
    assert _inside(ctl) == [True, False, False]
    done = ctl.ctl("release", "runtime", "tool", "--now")
    assert (done.returncode, done.stderr) == (0, "")
    assert "KUBENSMNT" not in node.read(f"/proc/{node.main_pid('tool')}/environ")
    assert all(node.main_pid(unit) for unit in ("runtime", "kubelet", "tool"))
    assert node.show("kubens.service", "LoadState")["LoadState"] == "not-found"
    assert ctl.ctl("status").stdout.startswith("No namespace is configured.")


def test_step_by_step(machine: Maker) -> None:
    ctl = Node(machine)
    _services(ctl)
    assert ctl.ctl("wrap", "runtime", "kubelet", "--dry-run", "--now").stdout.endswith(
        "would restart, after a reload: kubens.service runtime.service kubelet.service\n"
    )
    done = ctl.ctl("wrap", "runtime", "kubelet")
    assert done.stdout.endswith("To bring in what runs: systemctl restart kubens.service\n")
    assert _drop_ins(ctl, "kubelet") == ["zz-kubens.conf"]
    ctl.machine.systemctl("restart", "kubens.service")
    assert _inside(ctl) == [True, True, False]
    done = ctl.ctl("wrap", "tool")
    assert done.stdout.endswith("To bring in what runs outside: systemctl restart tool.service\n")
    ctl.ctl("release", "tool")
    assert "the same command with --now" in ctl.ctl("release", "kubelet").stdout
    assert ctl.ctl("release", "kubelet", "--dry-run", "--now").stdout.endswith(
        "would stop and, after a reload, start: kubens.service runtime.service kubelet.service tool.service\n"
    )
    # Declared no more, and inside still: the same command again, now with --now.
    assert ctl.ctl("release", "kubelet", "--now").returncode == 0
    assert _inside(ctl) == [True, False, False]
    assert ctl.ctl("release", "kubelet", "--now").returncode == 1


def test_a_service_that_does_not_come_back(machine: Maker) -> None:
    ctl = Node(machine)
    _services(ctl)
    ctl.machine.write("/etc/systemd/system/kubelet.service.d/x.conf", "[Service]\nExecStartPre=/bin/false\n")
    done = ctl.ctl("wrap", "runtime", "kubelet", "--now")
    assert done.returncode == 1
    assert done.stdout.endswith("Failed; for the reason: systemctl status kubelet.service\n")


def test_interrupted_it_says_how_to_go_on(machine: Maker) -> None:
    ctl = Node(machine)
    _services(ctl)
    ctl.machine.write("/etc/systemd/system/runtime.service.d/x.conf", "[Service]\nExecStop=/bin/sleep 4\n")
    assert ctl.ctl("wrap", "runtime", "kubelet", "--now").returncode == 0
    done = ctl.ctl("release", "kubelet", "--now", front=("timeout", "--preserve-status", "--signal=INT", "2"))
    assert done.returncode == 130
    assert done.stderr == ""
    command = re.search(r"^Interrupted\. To go on: (.*)$", done.stdout, re.MULTILINE)
    assert command
    ctl.machine.run("sh", "-c", command[1])
    assert _inside(ctl) == [True, False, False]
    assert all(ctl.machine.main_pid(unit) for unit in ("runtime", "kubelet", "tool"))


def test_progress_on_a_terminal(machine: Maker) -> None:
    ctl = Node(machine)
    _services(ctl)
    done = ctl.on_terminal("wrap", "runtime", "kubelet", "--now")
    assert done.returncode == 0
    assert "\x1b[3A" in done.stdout
    last = done.stdout.split("\x1b[3A")[-1].splitlines()
    plain = [re.sub(r"\x1b\[[0-9;]*[mK]", "", line).split() for line in last]
    assert plain == [[f"{unit}.service", "active", state] for unit, state in
                     (("kubens", "(exited)"), ("runtime", "(running)"), ("kubelet", "(running)"))]  # fmt: skip


def test_without_root(machine: Maker) -> None:
    ctl = Node(machine)
    _services(ctl)
    done = ctl.ctl("wrap", "runtime", front=NOBODY)
    assert (done.returncode, done.stderr) == (1, "kubensctl: /etc/kubens cannot be written to; try as root\n")
    assert ctl.ctl("wrap", "runtime", "--dry-run", front=NOBODY).returncode == 0
    assert not (ctl.machine.tree / FILE[1:]).exists()


def _drop_ins(ctl: Node, unit: str) -> list[str]:
    paths = ctl.machine.show(unit, "DropInPaths")["DropInPaths"].split()
    return [path.rpartition("/")[2] for path in paths]
