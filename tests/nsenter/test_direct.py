"""Direct entry: functions in a fresh child."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kubens.nsenter import (
    ChildFailed,
    FakeNSEnter,
    Inside,
    Kind,
    MissingCapability,
    NamespaceGone,
    NSEnter,
    NSEnterError,
    child,
)
from kubens.nsenter.namespaces import find_setns

from .helpers import as_nobody, here

outside = FakeNSEnter("/")
ALL_KINDS: tuple[Kind, ...] = ("mnt", "net", "uts", "ipc", "cgroup", "pid")
rooted = pytest.mark.needs("root", "namespaces")


# What comes back


def test_result() -> None:
    assert outside.call(os.getppid) == os.getpid()
    assert outside.call(dict, [("a", 1)], b=2) == {"a": 1, "b": 2}
    assert outside.call(lambda: None) is None
    big = os.urandom(3_000_000)
    assert outside.call(lambda: big) == big


class Picky(Exception):
    """Pickles well, and cannot be made again from what was pickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize("error", [KeyError("x"), SystemExit(3), KeyboardInterrupt(), OSError(errno.EIO, "x", "/y")])
def test_exception(error: BaseException) -> None:
    def function() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        outside.call(function)
    assert caught.value.args == error.args
    assert "in function" in str(caught.value.__cause__)


def test_exception_that_cannot_be_carried() -> None:
    class Local(Exception):
        pass

    def local() -> None:
        raise Local("here")

    def picky() -> None:
        raise Picky(1, 2)

    for function, text in ((local, "Local"), (picky, "1 and 2")):
        with pytest.raises(ChildFailed, match=text) as caught:
            outside.call(function)
        assert f"in {function.__name__}" in str(caught.value.__cause__)


def test_result_that_cannot_be_carried() -> None:
    with pytest.raises(Exception, match=r"pickle|local object"):
        outside.call(lambda: lambda: 1)
    assert outside.call(lambda: 1) == 1


def test_child_without_an_answer() -> None:
    for function, text in (
        (lambda: os._exit(5), "ended with status 5"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed by signal 9"),
    ):
        with pytest.raises(ChildFailed, match=text) as caught:
            outside.call(function)
        assert caught.value.errno == errno.ECHILD


def test_what_is_written_is_written_once(python: Callable[..., str]) -> None:
    program = """if True:
        import atexit, sys
        from kubens.nsenter import FakeNSEnter
        sys.stdout = open(1, "w", buffering=10000, closefd=False)
        atexit.register(print, "exit")
        print("before")
        FakeNSEnter("/").call(print, "inside")
        print("after")
    """
    assert python(program) == "before\ninside\nafter\nexit\n"


def test_without_standard_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert outside.call(lambda: 1) == 1


# Inside


@rooted
@pytest.mark.usefixtures("setns", "no_leaks")
def test_call_in_each_kind(world: Path) -> None:
    for kind in ("mnt", "net", "uts", "ipc"):
        before = here(kind)
        number = os.stat(world / kind).st_ino
        assert NSEnter.for_paths({kind: f"{world}/{kind}"}).call(here, kind) == f"{kind}:[{number}]"
        assert here(kind) == before
    assert NSEnter.for_pin(world / "mnt").call((world / "inside/name").read_text) == "mnt\n"
    assert NSEnter.for_pin(world / "net", "net").call(socket.if_nameindex)[0] == (1, "lo")
    assert NSEnter.for_pin(world / "uts", "uts").call(socket.gethostname) == "inside"
    assert NSEnter.for_pin(world / "mnt").call(os.getcwd) == "/"


@rooted
@pytest.mark.usefixtures("setns", "no_leaks")
def test_call_in_the_namespaces_of_a_process(process: int) -> None:
    def look() -> tuple[str, str, int]:
        return Path("/mnt/name").read_text(), socket.gethostname(), os.getpid()

    name, host, number = NSEnter.for_pid(process, ALL_KINDS).call(look)
    assert (name, host) == ("process\n", "process")
    assert 1 < number < 20  # as its pid namespace counts
    assert NSEnter.for_pid(process, ALL_KINDS).kubelet_path("/mnt/name") == f"/proc/{process}/root/mnt/name"
    assert Path(f"/proc/{process}/root/mnt/name").read_text() == "process\n"


@rooted
@pytest.mark.usefixtures("no_leaks")
def test_failures_in_a_pid_namespace(process: int) -> None:
    target = NSEnter.for_pid(process, ["pid"])
    with pytest.raises(ChildFailed, match="status 137"):
        target.call(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(ChildFailed, match="status 3"):
        target.call(os._exit, 3)
    with pytest.raises(ZeroDivisionError):
        target.call(lambda: 1 // 0)
    assert target.call(lambda: 1) == 1


@rooted
@pytest.mark.usefixtures("no_leaks")
def test_pid_namespace_without_its_init(world: Path) -> None:
    with subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sleep", "60"]) as unshare:
        while not (children := Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text()):
            time.sleep(0.01)
        target = NSEnter.for_pid(int(children), ["pid"])
        with target.inside() as call:
            assert call(os.getpid) > 1
            unshare.kill()
            unshare.wait()
            while is_alive(int(children)):
                time.sleep(0.01)
            with pytest.raises(NamespaceGone, match="process 1"):
                call(os.getpid)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@rooted
def test_call_in_a_user_namespace() -> None:
    """With and without privileges outside, alone and with a namespace that belongs to it."""
    command = ["unshare", "--user", "--map-root-user", "--net", "--uts", "sh", "-c", "hostname owned; echo; exec cat"]

    def check() -> None:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            user = os.readlink(f"/proc/{process.pid}/ns/user")
            assert NSEnter.for_pid(process.pid, ["uts", "user"]).call(socket.gethostname) == "owned"
            assert NSEnter.for_pid(process.pid, ["user", "net"]).call(here, "user") == user
            assert NSEnter.for_pid(process.pid, ["user"]).call(os.getuid) == 0
            if os.getuid() != 0:
                with pytest.raises(MissingCapability):
                    NSEnter.for_pid(process.pid, ["uts"]).call(socket.gethostname)

    check()
    as_nobody(check)


@rooted
def test_own_user_namespace_is_no_obstacle(world: Path) -> None:
    """The kernel refuses to enter that again; a target that shares it with us is entered all the same."""
    target = NSEnter.for_pid(os.getpid(), ["user", "uts"])
    assert target.call(socket.gethostname) == socket.gethostname()
    assert target.command("hostname").output().decode().strip() == socket.gethostname()


@rooted
def test_all_are_opened_before_the_first_is_entered(world: Path) -> None:
    """The pin of the network namespace cannot be seen from inside the mount namespace, and the other way round."""
    target = NSEnter.for_paths({"mnt": f"{world}/mnt", "net": f"{world}/net", "uts": f"{world}/uts"})
    for _ in range(2):
        assert target.call(lambda: (os.stat("/proc/thread-self/ns/net").st_ino, socket.gethostname())) == (
            os.stat(world / "net").st_ino,
            "inside",
        )


@rooted
@pytest.mark.usefixtures("no_leaks")
def test_inside_holds_on(world: Path) -> None:
    """The namespaces stay the same ones, even when their pins go."""
    pin = world / "passing"
    pin.touch()
    subprocess.run(["unshare", f"--uts={pin}", "hostname", "passing"], check=True)
    target = NSEnter.for_pin(pin, "uts")
    with target.inside() as call:
        assert isinstance(call, Inside)
        subprocess.run(["umount", "--lazy", str(pin)], check=True)
        pin.unlink()
        assert [call(socket.gethostname) for _ in range(3)] == ["passing"] * 3
        with pytest.raises(ZeroDivisionError):
            call(lambda: 1 // 0)
    with pytest.raises(NSEnterError) as caught:
        call(socket.gethostname)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(NamespaceGone):
        target.call(socket.gethostname)


@rooted
def test_ip_netns() -> None:
    name = f"kubens-test-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        assert NSEnter.for_netns(name).call(socket.if_nameindex)[0] == (1, "lo")
        assert b"lo" in NSEnter.for_netns(name).command("ip", "link").output()
        assert NSEnter.for_netns(name).kubelet_path("/etc/hosts") == "/etc/hosts"
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    with pytest.raises(NamespaceGone) as caught:
        NSEnter.for_netns(name).call(socket.if_nameindex)
    assert (caught.value.path, caught.value.kind) == (f"/run/netns/{name}", "net")


@rooted
def test_descriptors_of_the_child(world: Path) -> None:
    """Inside, none is left but those of this process and the one that the answer takes."""
    target = NSEnter.for_paths({"mnt": f"{world}/mnt", "net": f"{world}/net"})
    inside = target.call(lambda: len(os.listdir("/proc/self/fd")))
    assert inside == len(os.listdir("/proc/self/fd")) + 1


# Threads


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@rooted
@pytest.mark.usefixtures("setns", "no_leaks")
def test_calls_from_many_threads(world: Path) -> None:
    kinds: tuple[Kind, ...] = ("net", "uts", "ipc")
    pins = {kind: NSEnter.for_pin(world / kind, kind) for kind in kinds}
    expected = {kind: f"{kind}:[{os.stat(world / kind).st_ino}]" for kind in pins}
    before = {kind: here(kind) for kind in pins}
    with ThreadPoolExecutor(8) as pool:
        jobs = [(kind, pool.submit(pins[kind].call, here, kind)) for _ in range(40) for kind in pins]
        for kind, job in jobs:
            assert job.result(60) == expected[kind]
    assert {kind: here(kind) for kind in pins} == before


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.usefixtures("no_leaks")
def test_children_do_not_hold_each_others_pipes() -> None:
    """The end of one child is seen while others live on that were made in the same moment."""

    def end_early(seconds: float) -> float:
        began = time.monotonic()
        if seconds:
            outside.call(time.sleep, seconds)
        else:
            with pytest.raises(ChildFailed):
                outside.call(os._exit, 1)
        return time.monotonic() - began

    with ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(end_early, 3.0) for _ in range(4)]
        fast = [pool.submit(end_early, 0.0) for _ in range(24)]
        assert max(job.result() for job in fast) < 2.9
        assert all(job.result() >= 3 for job in slow)


def test_lock_is_not_inherited_locked() -> None:
    """A fork of somebody else, while one of our own was under way."""
    with child._forks:
        pid = os.fork()
        if pid == 0:
            try:
                signal.alarm(20)
                os._exit(outside.call(lambda: 42))
            finally:
                os._exit(1)
        assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 42


def test_calls_within_calls() -> None:
    assert outside.call(lambda: outside.call(lambda: outside.call(os.getpid))) > 0


# Signals


class Alarm(Exception):
    pass


def raise_alarm(*_: object) -> None:
    raise Alarm


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("kinds", [pytest.param(["uts"], marks=rooted), pytest.param(["pid"], marks=rooted), []])
def test_handler_that_raises_ends_the_child(kinds: list[str], request: pytest.FixtureRequest, tmp_path: Path) -> None:
    target: NSEnter = outside
    if kinds:
        target = NSEnter.for_pid(request.getfixturevalue("process"), kinds)  # type: ignore[arg-type]

    def late() -> None:
        time.sleep(1)
        (tmp_path / "survived").touch()

    before = signal.signal(signal.SIGALRM, raise_alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        began = time.monotonic()
        with pytest.raises(Alarm):
            target.call(late)
        assert time.monotonic() - began < 0.9
    finally:
        signal.signal(signal.SIGALRM, before)
    time.sleep(1)
    assert not (tmp_path / "survived").exists()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    if kinds:
        os.kill(request.getfixturevalue("process"), 0)


def test_mask_of_the_child() -> None:
    """The child's is this process's, whatever was blocked for the fork."""
    assert outside.call(signal.pthread_sigmask, signal.SIG_BLOCK, []) == set()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        assert outside.call(signal.pthread_sigmask, signal.SIG_BLOCK, []) == {signal.SIGUSR2}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.usefixtures("no_leaks")
def test_interruptions_without_consequence() -> None:
    """Handlers that return: every wait is taken up again."""
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        assert [outside.call(lambda: len(bytes(100_000))) for _ in range(50)] == [100_000] * 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen


BOMBED = """if True:
    import os, signal, subprocess, sys, time
    from kubens.nsenter import FakeNSEnter

    class Hit(Exception):
        pass

    def handler(*_):
        global hits
        hits += 1
        raise Hit

    def call_under_fire():
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
            target.call(time.sleep, 0.001)
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])

    target, me, hits, done = FakeNSEnter("/"), os.getpid(), 0, 0
    target.call(int)
    descriptors = os.listdir("/proc/self/fd")
    os.setpgid(0, 0)
    signal.signal(signal.SIGUSR1, handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    bomb = 'i=0; while [ $i -lt 200 ]; do kill -USR1 -$0; sleep 0.005; i=$((i+1)); done'
    bomber = subprocess.Popen(["sh", "-c", bomb, str(me)], start_new_session=True)
    while bomber.poll() is None:
        try:
            call_under_fire()
            done += 1
        except Hit:
            pass
    assert os.getpid() == me, "a child got out"
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == {signal.SIGUSR1}
    assert os.listdir("/proc/self/fd") == descriptors
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("clean", hits > 0, done > 0)
"""


def test_nobody_gets_out_of_the_child(python: Callable[..., str]) -> None:
    """Signals at any moment, to parent and child, with a handler that raises."""
    assert python(BOMBED) == "clean True True\n"


def test_ignored_children() -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert outside.call(lambda: 1) == 1
        with pytest.raises(ChildFailed, match="ended"):
            outside.call(os._exit, 1)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_event_loop_hears_nothing_of_the_child() -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        for end in (reader, writer):
            end.setblocking(False)
        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        old = signal.set_wakeup_fd(writer.fileno())
        try:
            outside.call(lambda: signal.raise_signal(signal.SIGUSR1))
            with pytest.raises(BlockingIOError):
                reader.recv(1)
            signal.raise_signal(signal.SIGUSR1)
            assert reader.recv(1) == bytes([signal.SIGUSR1])
        finally:
            signal.set_wakeup_fd(old)
            signal.signal(signal.SIGUSR1, before)


def test_which_way_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "setns", print, raising=False)
    assert find_setns() is print
    monkeypatch.delattr(os, "setns")
    with pytest.raises(OSError) as caught:
        find_setns()(-1, 0)
    assert caught.value.errno == errno.EBADF
