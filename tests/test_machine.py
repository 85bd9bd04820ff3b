"""The harness of the tests that boot: a machine is a real one, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from machine import CHECKOUT, CommandError, Machine, MachineError
from machine import machine as booted

Maker = Callable[..., Machine]

BOOT_AND_WAIT = """
import machine, signal
node = machine.Machine()
node.boot()
print(node.name, flush=True)
signal.pause()
"""
SLEEPER = "[Service]\nExecStart=/usr/bin/sleep 1000\n"


@pytest.fixture
def node(machine: Maker) -> Machine:
    """A machine that runs."""
    made = machine()
    made.boot()
    return made


def _left_overs(name: str) -> list[str]:
    """Mounts and control groups on this computer that bear the name of a machine."""
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line]
    # Unlike rglob(), walk() does not mind that groups go meanwhile.
    groups = [place for place, below, _ in os.walk("/sys/fs/cgroup") if name in below]
    return mounts + groups


def test_boots_to_running(machine: Maker, lower: str) -> None:
    node = machine(lower)
    node.boot()
    assert node.run("cat", "/proc/1/comm").stdout == "systemd\n"
    assert node.systemctl("is-system-running").stdout == "running\n"
    assert node.systemctl("is-active", "multi-user.target").stdout == "active\n"


def test_run(node: Machine) -> None:
    assert node.run("cat", input="a\udcffb").stdout == "a\udcffb"
    assert node.run("sh", "-c", "echo $GREETING", env={"GREETING": "hello"}).stdout == "hello\n"
    assert node.run("false", check=False).returncode == 1
    with pytest.raises(CommandError, match="no such luck"):
        node.run("sh", "-c", "echo no such luck >&2; exit 3")


def test_run_ends_with_its_time(node: Machine) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        node.run("sh", "-c", "sleep 1000; true", timeout=0.2)
    assert "sleep" not in node.run("ps", "-A", "-o", "comm").stdout


def test_units(machine: Maker) -> None:
    node = machine()
    node.write("/etc/systemd/system/sleeper.service", SLEEPER)
    node.boot()
    assert node.main_pid("sleeper.service") == 0
    node.systemctl("start", "sleeper.service")
    pid = node.main_pid("sleeper.service")
    assert node.read(f"/proc/{pid}/comm") == "sleep\n"
    state = node.show("sleeper.service", "ActiveState", "SubState")
    assert state == {"ActiveState": "active", "SubState": "running"}
    namespace = node.run("readlink", "/proc/1/ns/mnt").stdout.strip()
    assert node.mount_namespace(pid) == node.mount_namespace(1) == namespace
    assert "Started" in node.journal("sleeper.service")

    node.write("/run/systemd/system/sleeper.service.d/type.conf", "[Service]\nType=oneshot\n")
    node.daemon_reload()
    assert node.show("sleeper.service", "Type") == {"Type": "oneshot"}


def test_mounts(node: Machine) -> None:
    node.run("mkdir", "/srv/a b")
    node.run("mount", "-t", "tmpfs", "none", "/srv/a b")
    assert "/srv/a b" in node.mounts()


def test_a_mount_namespace_can_be_pinned(node: Machine) -> None:
    """It is what kubens does, and fails for namespaces that were made on another processor."""
    for name in "abcdef":
        node.write(f"/run/pins/{name}", "")
    node.run("mount", "--bind", "--make-private", "/run/pins", "/run/pins")
    for name in "abcdef":
        node.run("unshare", f"--mount=/run/pins/{name}", "true")


def test_write_follows_links_within_the_machine(machine: Maker, tmp_path: Path) -> None:
    node = machine()
    node.link("/srv/escape", str(tmp_path))
    node.write("/srv/escape/file", "in the machine")
    assert not list(tmp_path.iterdir())
    assert node.read(f"{tmp_path}/file") == "in the machine"
    node.link("/srv/up", "../../../../../../..")
    assert node.read(f"/srv/up/{tmp_path}/file") == "in the machine"


def test_circular_links(machine: Maker) -> None:
    node = machine()
    node.link("/srv/circle", "circle")
    with pytest.raises(OSError, match="symbolic links"):
        node.read("/srv/circle")
    node.write("/srv/circle", "replaced")
    assert node.read("/srv/circle") == "replaced"


def test_write_replaces(machine: Maker) -> None:
    node = machine()
    node.write("/srv/file", "first")
    node.link("/srv/link", "file")
    node.write("/srv/link", b"\xff", 0o755)
    assert node.read("/srv/file") == "first"
    assert node.read("/srv/link") == "\udcff"
    assert (node.tree / "srv/link").stat().st_mode & 0o777 == 0o755


def test_install(machine: Maker, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho installed\n")
    program.chmod(0o755)
    node = machine()
    (tmp_path / "share").mkdir()
    (tmp_path / "link").symlink_to("program")
    node.install(program, "/usr/local/sbin/program")
    node.install(tmp_path, "/usr/local/bin")
    node.install(tmp_path, "/usr")
    node.boot()
    assert node.run("program").stdout == "installed\n"
    assert node.run("/usr/local/bin/program").stdout == "installed\n"
    assert node.run("readlink", "/usr/local/bin/link").stdout == "program\n"
    assert node.run("ls", "-d", "/usr/local/bin/share").stdout == "/usr/local/bin/share\n"


def test_reboot_keeps_etc_and_not_run(node: Machine) -> None:
    node.write("/etc/kept", "")
    node.write("/run/lost", "")
    before = node.read("/proc/sys/kernel/random/boot_id")
    node.reboot()
    assert node.read("/proc/sys/kernel/random/boot_id") != before
    assert node.run("ls", "/etc/kept").stdout == "/etc/kept\n"
    assert node.run("ls", "/run/lost", check=False).returncode


@pytest.mark.parametrize("stop", ["poweroff", "kill"])
def test_stopped_machine(node: Machine, stop: str) -> None:
    node.write("/etc/kept", "still here")
    getattr(node, stop)()
    with pytest.raises(MachineError, match="does not run"):
        node.run("true")
    assert node.read("/etc/kept") == "still here"
    node.boot()
    assert node.systemctl("is-system-running").stdout == "running\n"


def test_kernel_command_line(machine: Maker) -> None:
    node = machine()
    node.boot("kubens=0")
    assert "\0kubens=0\0" in node.read("/proc/1/cmdline")


def test_kmsg(machine: Maker) -> None:
    node = machine(kmsg=True)
    node.boot()
    for word in "first", "second":
        node.run("sh", "-c", f"echo '<3>{word}' >/dev/kmsg")
    node.reboot()
    node.run("sh", "-c", "echo '<3>third' >/dev/kmsg")
    lines = [line for line in node.kmsg().splitlines() if line.startswith("<3>")]
    assert lines == ["<3>first", "<3>second", "<3>third"]


def test_this_computer_is_not_to_be_seen(machine: Maker) -> None:
    node = machine()
    assert not (node.tree / str(CHECKOUT)[1:]).exists()
    assert not (node.tree / "etc/fstab").exists()
    assert node.read("/etc/machine-id") != Path("/etc/machine-id").read_text()
    assert (node.tree / "usr/bin/systemctl").exists()
    assert (node.tree / "etc").stat().st_mode == Path("/etc").stat().st_mode


def test_machines_do_not_meet(machine: Maker) -> None:
    nodes = [machine(), machine()]
    for number, node in enumerate(nodes):
        node.write("/etc/systemd/system/sleeper.service", SLEEPER)
        node.write("/etc/number", str(number))
        node.boot()
        node.systemctl("start", "sleeper.service")
    nodes[0].systemctl("kill", "--signal=KILL", "sleeper.service")
    assert nodes[1].main_pid("sleeper.service")
    assert [node.read("/etc/number") for node in nodes] == ["0", "1"]
    nodes[0].close()
    assert nodes[1].systemctl("is-active", "sleeper.service").stdout == "active\n"


def test_no_boot_says_why(machine: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("machine.BOOT_TIMEOUT", 2)
    node = machine(arguments=["--no-such-option"])
    with pytest.raises(MachineError, match="no-such-option"):
        node.boot()
    hanging = machine()
    hanging.write("/etc/systemd/system/hang.service", "[Service]\nType=oneshot\nExecStart=sleep 1000\n")
    hanging.link("/etc/systemd/system/multi-user.target.wants/hang.service", "../hang.service")
    with pytest.raises(MachineError, match="starting"):
        hanging.boot()


@pytest.mark.needs("root", "namespaces", "nspawn")
def test_close_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with booted(kmsg=True, files={"/etc/number": "1"}) as node:
        assert node.read("/etc/number") == "1"
        node.run("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")
        processes = _processes_of(node.name)
        assert len(processes) > 3
        assert _left_overs(node.name)
        assert all(_is_alive(pid) for pid in processes)
    assert not _left_overs(node.name)
    assert not [pid for pid in processes if _is_alive(pid)]
    assert not list(tmp_path.iterdir())
    node.close()


@pytest.mark.needs("root", "namespaces", "nspawn")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_tests_leave_nothing(how: signal.Signals) -> None:
    tests = subprocess.Popen(
        [sys.executable, "-c", BOOT_AND_WAIT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=CHECKOUT / "tests",
        text=True,
        start_new_session=True,
    )
    assert tests.stdout
    name = tests.stdout.readline().strip()
    assert name
    processes = _processes_of(name)
    assert len(processes) > 3
    os.killpg(tests.pid, how)
    tests.communicate()
    deadline = time.monotonic() + 10
    while _left_overs(name) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _left_overs(name)
    assert not [pid for pid in processes if _is_alive(pid)]


def _processes_of(name: str) -> list[int]:
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cgroup") if name in _text(path)]


def _text(path: Path) -> str:
    """What is in a file of /proc, nothing if its process has just ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _is_alive(pid: int) -> bool:
    """A zombie is not; whoever adopted it may take a while to notice."""
    return _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2][:2] not in ("", " Z")
