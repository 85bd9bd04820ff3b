"""Commands as subprocess knows them, run in the namespaces of a target."""

from __future__ import annotations

import os
import signal
import subprocess
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from typing import IO, Any

    from kubens.nsenter.namespaces import Namespaces

    Executor = Callable[..., subprocess.Popen[bytes]]
else:
    Executor = object

_PATIENCE = 0.05  # seconds between two looks at the event that cancels


class Cancelled(subprocess.SubprocessError):
    """The event of command_context() was set, so the command was killed."""


class Command:
    """A command to be run once: set what it needs, then run(), output(), combined_output(), or start() and wait().

    `stdin`, `stdout`, `stderr`, `env` and `input` are those of subprocess.run(). `cwd` is a directory of the
    target, as everything else that the command sees; where a mount namespace is entered, it is `/` unless set.
    """

    def __init__(
        self,
        words: Sequence[str],
        namespaces: Namespaces,
        executor: Executor,
        *,
        timeout: float | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        self.stdin: int | IO[Any] | None = None
        self.stdout: int | IO[Any] | None = None
        self.stderr: int | IO[Any] | None = None
        self.input: bytes | None = None
        self.env: Mapping[str, str] | None = None
        self.cwd: str | os.PathLike[str] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._words = list(words)
        self._namespaces = namespaces
        self._executor = executor
        self._timeout = timeout
        self._cancel = cancel
        self._deadline: float | None = None

    @property
    def args(self) -> list[str]:
        """What is executed, nsenter(1) included. ValueError for a cwd that cannot be."""
        options = self._namespaces.options()
        if not options:
            return list(self._words)
        return ["nsenter", *options, "--", *self._in_directory()]

    def start(self) -> subprocess.Popen[bytes]:
        """Start it and return the process, with pipes where subprocess.PIPE was asked for.

        NamespaceGone when the target was a process that has ended. OSError as from Popen: nsenter is missing.
        """
        if self.process is not None:
            raise RuntimeError("a command runs once")
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled("cancelled before the start")
        self._namespaces.check()
        if self.input is None:
            self.process = self._execute(self.stdin)
        else:
            # Not through a pipe: until Python 3.14, communicate() forgets what is unwritten when it is called again.
            with _memory(self.input) as file:
                self.process = self._execute(file)
        if self._timeout is not None:
            self._deadline = time.monotonic() + self._timeout
        return self.process

    def _execute(self, stdin: int | IO[Any] | None) -> subprocess.Popen[bytes]:
        return self._executor(
            self.args,
            stdin=stdin,
            stdout=self.stdout,
            stderr=self.stderr,
            env=self.env,
            cwd=None if "mnt" in self._namespaces.paths else self.cwd,
            # The command's environment is not to say which nsenter is run.
            executable=_find("nsenter") if self._namespaces.paths else None,
            start_new_session=self._forks(),
        )

    def run(self, *, check: bool = False) -> subprocess.CompletedProcess[bytes]:
        """As subprocess.run(): wait for the end, and with check=True raise CalledProcessError for a failure.

        nsenter(1) itself ends with status 1 when it cannot enter, and with 127 when the target has no such
        command. TimeoutExpired, Cancelled: the command was killed.
        """
        process = self.start()
        with process:
            try:
                stdout, stderr = self._communicate(process)
            except BaseException:
                self.kill()
                raise
        done = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
        if check:
            done.check_returncode()
        return done

    def output(self) -> bytes:
        """What it writes to standard output. As run(check=True) otherwise."""
        if self.stdout is not None:
            raise ValueError("stdout is set already")
        self.stdout = subprocess.PIPE
        found: bytes = self.run(check=True).stdout
        return found

    def combined_output(self) -> bytes:
        """What it writes to standard output and standard error, as it comes. As run(check=True) otherwise."""
        if self.stderr is not None:
            raise ValueError("stderr is set already")
        self.stderr = subprocess.STDOUT
        return self.output()

    def wait(self) -> int:
        """Wait for the end of what was started, and return its status. Raises as run() does."""
        process = self._started()
        while True:
            try:
                return process.wait(self._patience())
            except subprocess.TimeoutExpired:
                try:
                    self._give_up()
                except subprocess.SubprocessError:
                    self.kill()
                    process.wait()
                    raise

    def kill(self) -> None:
        """SIGKILL; nothing when it has ended already."""
        process = self._started()
        if process.poll() is not None:
            return
        if self._forks():
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise RuntimeError("the command was not started")
        return self.process

    def _forks(self) -> bool:
        """Whether nsenter stays and forks. Then both are to be killed, so they get a session of their own."""
        return "pid" in self._namespaces.paths

    def _in_directory(self) -> list[str]:
        """nsenter's own --wdns is no older than util-linux 2.38."""
        if self.cwd is None or "mnt" not in self._namespaces.paths:
            return self._words
        directory = os.fspath(self.cwd)
        if not directory.startswith("/"):
            raise ValueError(f"cwd is a directory of the target and has to be absolute: {directory!r}")
        if "=" in self._words[0]:
            raise ValueError(f"with a cwd, env(1) would take the command for a variable: {self._words[0]!r}")
        return ["env", "-C", directory, "--", *self._words]

    def _communicate(self, process: subprocess.Popen[bytes]) -> tuple[bytes | None, bytes | None]:
        while True:
            try:
                return process.communicate(timeout=self._patience())
            except subprocess.TimeoutExpired as expired:
                self._give_up(expired.output, expired.stderr)

    def _patience(self) -> float | None:
        """Seconds until the next look at the clock and the event."""
        limits = [] if self._cancel is None else [_PATIENCE]
        if self._deadline is not None:
            limits.append(max(0.0, self._deadline - time.monotonic()))
        return min(limits, default=None)

    def _give_up(self, output: bytes | None = None, stderr: bytes | None = None) -> None:
        """Raise if it is time to."""
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled(f"cancelled: {self.args}")
        if self._timeout is not None and self._deadline is not None and time.monotonic() >= self._deadline:
            raise subprocess.TimeoutExpired(self.args, self._timeout, output, stderr)


def _memory(data: bytes) -> IO[bytes]:
    file = os.fdopen(os.memfd_create("input"), "w+b")
    file.write(data)
    file.seek(0)
    return file


def _find(program: str) -> str | None:
    """By this process's PATH; None leaves the error to Popen."""
    for directory in os.get_exec_path():
        path = os.path.join(directory, program)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None
