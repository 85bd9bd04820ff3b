"""Command: what subprocess users expect, with and without nsenter in front."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kubens.nsenter import Cancelled, FakeNSEnter, NamespaceGone, NSEnter

fake = FakeNSEnter("/")


def test_run() -> None:
    command = fake.command("sh", "-c", "echo out; echo err >&2; exit 7")
    command.stdout = command.stderr = subprocess.PIPE
    done = command.run()
    assert (done.args, done.returncode) == (command.args, 7)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_run_inherits(capfd: pytest.CaptureFixture[str]) -> None:
    assert fake.command("sh", "-c", "echo out; echo err >&2").run(check=True).stdout is None
    assert capfd.readouterr() == ("out\n", "err\n")


def test_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert fake.command("sh", "-c", "echo out; echo err >&2").output() == b"out\n"
    assert capfd.readouterr().err == "err\n"
    assert fake.command("sh", "-c", "echo out; echo err >&2").combined_output() == b"out\nerr\n"


@pytest.mark.parametrize("method", ["output", "combined_output"])
def test_output_of_a_failure(method: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        getattr(fake.command("sh", "-c", "echo out; exit 3"), method)()
    assert (caught.value.returncode, caught.value.output) == (3, b"out\n")


def test_killed_by_a_signal() -> None:
    assert fake.command("sh", "-c", "kill -TERM $$").run().returncode == -signal.SIGTERM


def test_stdin_input_environment_and_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from a file")
    command = fake.command("cat")
    with (tmp_path / "file").open() as command.stdin:
        assert command.output() == b"from a file"
    command = fake.command("cat")
    command.input = bytes(300_000)
    assert command.output() == bytes(300_000)
    command = fake.command("cat")
    command.input = b""
    assert command.output() == b""
    command = fake.command("sh", "-c", 'echo "$A-$HOME"; pwd')
    command.env = {"A": "1"}
    command.cwd = tmp_path
    assert command.output() == f"1-\n{tmp_path}\n".encode()


def test_start_and_wait() -> None:
    command = fake.command("cat")
    command.stdin = command.stdout = subprocess.PIPE
    process = command.start()
    assert command.process is process
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(b"hello")
        process.stdin.close()
        assert process.stdout.read() == b"hello"
        assert command.wait() == 0
    command.kill()


def test_kill() -> None:
    command = fake.command("sleep", "60")
    command.start()
    command.kill()
    assert command.wait() == -signal.SIGKILL
    command.kill()


def test_misuse_is_refused() -> None:
    command = fake.command("true")
    for method in (command.wait, command.kill):
        with pytest.raises(RuntimeError, match="not started"):
            method()
    command.run()
    with pytest.raises(RuntimeError, match="once"):
        command.run()
    command = fake.command("true")
    command.stdout = subprocess.DEVNULL
    with pytest.raises(ValueError, match="stdout"):
        command.output()
    command = fake.command("true")
    command.stderr = subprocess.DEVNULL
    with pytest.raises(ValueError, match="stderr"):
        command.combined_output()


def test_missing_program() -> None:
    with pytest.raises(FileNotFoundError):
        fake.command("no-such-program").run()


# Timeouts and cancelling


def ways() -> list[str]:
    return ["run", "output", "wait"]


def finish(command_way: str, script: str, limit: threading.Event | float) -> tuple[float, BaseException | None]:
    """How long it took, and what was raised."""
    command = fake.command_context(limit, "sh", "-c", script)
    began = time.monotonic()
    try:
        if command_way == "wait":
            command.start()
        getattr(command, command_way)()
    except subprocess.SubprocessError as error:
        assert command.process is None or command.process.returncode == -signal.SIGKILL
        return time.monotonic() - began, error
    return time.monotonic() - began, None


@pytest.mark.parametrize("way", ways())
def test_timeout(way: str) -> None:
    took, error = finish(way, "echo partial; exec sleep 60", 0.3)
    assert isinstance(error, subprocess.TimeoutExpired)
    assert error.timeout == 0.3
    assert 0.3 <= took < 10
    if way == "output":
        assert error.output == b"partial\n"
    assert finish(way, "exit 0", 60)[1] is None


@pytest.mark.parametrize("way", ways())
def test_cancel(way: str) -> None:
    event = threading.Event()
    timer = threading.Timer(0.3, event.set)
    timer.start()
    took, error = finish(way, "exec sleep 60", event)
    timer.join()
    assert isinstance(error, Cancelled)
    assert 0.2 <= took < 10
    assert finish(way, "sleep 0.2", threading.Event())[1] is None


def test_cancelled_before_the_start() -> None:
    event = threading.Event()
    event.set()
    command = fake.command_context(event, "true")
    with pytest.raises(Cancelled):
        command.run()
    assert command.process is None


def test_input_survives_the_waiting() -> None:
    """communicate() is called many times then, and takes the input once."""
    command = fake.command_context(threading.Event(), "sh", "-c", "sleep 0.3; cat")
    command.input = b"x" * 500_000
    assert command.output() == b"x" * 500_000


def test_timeout_does_not_wait_for_grandchildren() -> None:
    command = fake.command_context(0.3, "sh", "-c", "sleep 20 & echo $!; wait")
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        command.output()
    assert time.monotonic() - began < 10
    assert caught.value.output is not None
    os.kill(int(caught.value.output), signal.SIGKILL)


def test_signals_end_the_waiting() -> None:
    """What a handler raises goes through, and the command is killed."""

    def handler(*_: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    command = fake.command("sleep", "60")
    try:
        with pytest.raises(InterruptedError):
            command.run()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert command.process is not None
    assert command.process.returncode == -signal.SIGKILL


@pytest.mark.usefixtures("no_leaks")
def test_nothing_is_leaked() -> None:
    for _ in range(20):
        fake.command("true").combined_output()
        with pytest.raises(subprocess.CalledProcessError):
            fake.command("false").output()
    with pytest.raises(subprocess.TimeoutExpired):
        fake.command_context(0.1, "sleep", "60").output()


# With nsenter


@pytest.mark.needs("root", "namespaces")
def test_directory_is_the_targets(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inside = NSEnter.for_pin(world / "mnt")
    assert inside.command("pwd").output() == b"/\n"
    command = inside.command("sh", "-c", "pwd; cat ../name", "sh", "x=y")
    command.cwd = world / "inside/dir"
    assert command.args[3:7] == ["env", "-C", f"{world}/inside/dir", "--"]
    assert command.output() == f"{world}/inside/dir\nmnt\n".encode()
    # Where no mount namespace is entered, it is this process's.
    for cwd in (None, world / "directory", "."):
        command = NSEnter.for_pin(world / "net", "net").command("pwd", "-P")
        command.cwd = cwd
        assert command.output() == f"{world}/directory\n".encode() if cwd == world / "directory" else tmp_path


@pytest.mark.parametrize(("words", "cwd"), [(["true"], "relative"), (["a=b"], "/usr"), (["true"], "")])
def test_impossible_directory(words: list[str], cwd: str) -> None:
    command = NSEnter.for_pin("/pin").command(*words)
    command.cwd = cwd
    with pytest.raises(ValueError, match=r"absolute|variable"):
        command.run()
    assert command.process is None


@pytest.mark.needs("root", "namespaces")
def test_environment_is_the_commands_alone(world: Path, tmp_path: Path) -> None:
    """Its PATH says what is run inside, and not which nsenter that takes."""
    (tmp_path / "nsenter").write_text("#!/bin/sh\necho wrong")
    (tmp_path / "nsenter").chmod(0o755)
    command = NSEnter.for_pin(world / "mnt").command("kubens-tool")
    command.env = {"PATH": f"{tmp_path}:{world}/inside/bin:/bin"}
    assert command.output() == b"from mnt\n"


@pytest.mark.needs("root", "namespaces")
def test_words_are_not_options(world: Path) -> None:
    """Nothing that is given is taken by nsenter for itself."""
    inside = NSEnter.for_pin(world / "mnt")
    words = ["--help", "-V", "", "tmpfs", "--", "a b", "$HOME", "*"]
    assert inside.command("printf", "%s|", *words).output() == "".join(f"{word}|" for word in words).encode()
    done = inside.command("--version")
    done.stderr = subprocess.PIPE
    assert done.run().returncode == 127


@pytest.mark.needs("root", "namespaces")
def test_status_and_streams_pass_through(world: Path) -> None:
    command = NSEnter.for_pin(world / "mnt").command("sh", "-c", "cat; echo err >&2; exit 9")
    command.input = b"in\n"
    command.stdout, command.stderr = subprocess.PIPE, subprocess.STDOUT
    done = command.run()
    assert (done.returncode, done.stdout) == (9, b"in\nerr\n")


@pytest.mark.needs("root", "namespaces")
def test_commands_in_each_kind(world: Path) -> None:
    for kind in ("mnt", "net", "uts", "ipc"):
        inside = NSEnter.for_paths({kind: f"{world}/{kind}"}).command("readlink", f"/proc/self/ns/{kind}")
        number = os.stat(world / kind).st_ino
        assert inside.output() == f"{kind}:[{number}]\n".encode()


@pytest.mark.needs("root", "namespaces")
def test_commands_in_several_namespaces(world: Path, process: int) -> None:
    both = NSEnter.for_paths({"mnt": f"{world}/mnt", "net": f"{world}/net", "uts": f"{world}/uts"})
    assert both.command("sh", "-c", f"cat {world}/inside/name; hostname").output() == b"mnt\ninside\n"
    of_process = NSEnter.for_pid(process, ["mnt", "uts", "net", "ipc", "cgroup", "pid"])
    assert (
        of_process.command("sh", "-c", "cat /mnt/name; hostname; readlink /proc/1/exe")
        .output()
        .startswith(b"process\nprocess\n/")
    )


@pytest.mark.needs("root", "namespaces")
def test_killing_inside_a_pid_namespace(process: int) -> None:
    """nsenter stays outside there, and would leave the command to itself."""
    command = NSEnter.for_pid(process, ["pid", "mnt"]).command("sh", "-c", "echo $$; exec sleep 61")
    command.stdout = subprocess.PIPE
    with command.start() as nsenter:
        assert nsenter.stdout is not None
        assert int(nsenter.stdout.readline()) > 1
        command.kill()
        assert command.wait() == -signal.SIGKILL
        assert nsenter.stdout.read() == b""  # nobody holds the pipe any more
    assert NSEnter.for_pid(process, ["pid", "mnt"]).command("kill", "-0", "1").run().returncode == 0


@pytest.mark.needs("root", "namespaces")
def test_process_that_has_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        target = NSEnter.for_pid(sleeper.pid)
        early = target.command("true")
        sleeper.kill()
    for use in (early.run, target.command("true").run, target.inside().__enter__):
        with pytest.raises(NamespaceGone) as caught:
            use()
        assert caught.value.path.startswith(f"/proc/{sleeper.pid}")


@pytest.mark.needs("root", "namespaces")
def test_another_process_of_the_same_number(monkeypatch: pytest.MonkeyPatch) -> None:
    target = NSEnter.for_pid(os.getpid())
    assert target.command("true").run().returncode == 0
    monkeypatch.setattr(target._namespaces, "_started", b"1")
    uses: list[Callable[[], object]] = [target.command("true").run, lambda: target.call(os.getpid)]
    for use in uses:
        with pytest.raises(NamespaceGone):
            use()
