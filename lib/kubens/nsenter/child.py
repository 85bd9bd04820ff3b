"""Functions that run in a fresh child of this process, which has entered namespaces."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading

from kubens.nsenter.errors import ChildFailed, NamespaceGone
from kubens.nsenter.namespaces import enter_all, find_setns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import NoReturn, TypeVar

    from typing_extensions import ParamSpec

    from kubens.nsenter.namespaces import Namespace

    Mask = Iterable[int]
    Result = TypeVar("Result")
    Parameters = ParamSpec("Parameters")

_HEADER = 8  # bytes in front of an answer, which say how long it is


class Inside:
    """Calls functions inside namespaces that are held open: every call enters the same ones."""

    def __init__(self, namespaces: list[Namespace]) -> None:
        self._namespaces = namespaces

    def __call__(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Fork, enter and call: returns what the function returns, raises what it raises.

        Both come back through pickle; nothing else of what the function changes in its memory does.
        ChildFailed where there is no answer.
        """
        return call_in_child(self._namespaces, lambda: function(*args, **kwargs))


class ChildTraceback(Exception):
    """The cause of an exception that comes from a child: where it was raised there."""

    def __str__(self) -> str:
        return f"raised in the child, most recent call last:\n{self.args[0]}"


def call_in_child(namespaces: list[Namespace], function: Callable[[], Result]) -> Result:
    """What the function returns or raises in a fresh child that has entered the namespaces."""
    import pickle

    child = _Child(namespaces, function, pickle)
    # Handlers may raise, and nothing that they raise may leave the child to nobody. So signals wait until it is
    # known, and again from its end on; a handler that is due runs within pthread_sigmask() and raises there.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, child.signals)
        child.start(mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        answer = child.read()
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, child.signals)
        finally:
            fate = child.end()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if answer is None:
        raise ChildFailed(errno.ECHILD, f"the child {fate} before it could answer")
    result: Result
    error, trace, result = pickle.loads(answer)
    if error is not None:
        raise error from ChildTraceback(trace)
    return result


class _Child:
    """The child of one call, as its parent sees it, and what it does itself.

    Whatever it needs is imported, loaded and flushed before the fork: in the child of a process with threads,
    anything that takes a lock may wait for ever.
    """

    def __init__(self, namespaces: list[Namespace], function: Callable[[], object], pickle: ModuleType) -> None:
        self._namespaces = namespaces
        self._function = function
        self._pickle = pickle
        self._setns = find_setns()
        self.signals = signal.valid_signals()
        # Only the children of a process are in the pid namespace that it has entered, so there will be two.
        self._has_child = any(namespace.kind == "pid" for namespace in namespaces)
        self._pid = 0
        self._reader = -1
        self._is_done = False

    def start(self, mask: Mask) -> None:
        """Called with all signals blocked; mask is what they were before."""
        _flush()
        with _forks:
            self._reader, writer = os.pipe()
            try:
                self._pid = os.fork()
                if self._pid == 0:
                    self._run(writer, mask)
            finally:
                os.close(writer)
        if self._has_child:
            _lead_a_group(self._pid)

    def read(self) -> bytes | None:
        """The answer, None where the child ends without one."""
        header = _read(self._reader, _HEADER)
        answer = header and _read(self._reader, int.from_bytes(header, "big"))
        self._is_done = True
        return answer

    def end(self) -> str:
        """Kill it unless it is done, and tell how it ended."""
        if self._reader != -1:
            os.close(self._reader)
        if not self._pid:
            return "was not made"
        if not self._is_done:
            self._kill()
        try:
            status = os.waitpid(self._pid, 0)[1]
        except ChildProcessError:
            return "ended"  # this process ignores SIGCHLD, or reaps whatever it finds
        if os.WIFSIGNALED(status):
            return f"was killed by signal {os.WTERMSIG(status)}"
        return f"ended with status {os.WEXITSTATUS(status)}"

    def _kill(self) -> None:
        try:
            (os.killpg if self._has_child else os.kill)(self._pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended, and somebody else has reaped it

    def _run(self, writer: int, mask: Mask) -> NoReturn:
        """The child's whole life. Nothing that is raised may leave it, for that would run the parent's code twice."""
        status = 1
        try:
            os.close(self._reader)
            answer = self._answer(mask)
            signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
            _write(writer, len(answer).to_bytes(_HEADER, "big") + answer)
            status = 0
        finally:
            try:
                signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
            finally:
                os._exit(status)

    def _answer(self, mask: Mask) -> bytes:
        try:
            signal.set_wakeup_fd(-1)  # an event loop of the parent would take the child's signals for its own
            self._enter()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            result = self._function()
            _flush()
            answer: bytes = self._pickle.dumps((None, "", result))
            return answer
        except BaseException as error:
            return self._pickled(error, _frames(error))

    def _enter(self) -> None:
        enter_all(self._namespaces, self._setns)
        for namespace in self._namespaces:
            namespace.close()
        if self._has_child:
            self._go_on_in_a_child()

    def _go_on_in_a_child(self) -> None:
        _lead_a_group(0)
        try:
            pid = os.fork()
        except OSError as error:
            if error.errno != errno.ENOMEM:
                raise
            # pid_namespaces(7): so fails a fork into a namespace whose init is no more.
            raise NamespaceGone(errno.ESRCH, "the pid namespace has no process 1 any more", kind="pid") from None
        if pid:
            status = os.waitpid(pid, 0)[1]
            os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))

    def _pickled(self, error: BaseException, trace: str) -> bytes:
        try:
            answer: bytes = self._pickle.dumps((error, trace, None))
            self._pickle.loads(answer)  # an exception with a constructor of its own may come apart only there
        except Exception:
            failed = ChildFailed(errno.EPROTO, f"raised what cannot be carried over: {error!r}")
            answer = self._pickle.dumps((failed, trace, None))
        return answer


# One at a time. The child of another thread would inherit this one's pipe, and nobody would see this child end.
_forks = threading.Lock()


def _renew_lock() -> None:
    global _forks
    _forks = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def _lead_a_group(pid: int) -> None:
    """So that both children can be killed as one. Parent and child each call it, whoever comes first."""
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass  # it has ended, or is the leader of a session


def _frames(error: BaseException) -> str:
    """The traceback without its source lines: the module of that name imports, and reads the target's files."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}')
        trace = trace.tb_next
    return "\n".join(lines)


def _flush() -> None:
    """What is in the buffers at a fork would be written twice, what is there at os._exit() never."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass  # there is none, or it is closed


def _read(fd: int, length: int) -> bytes | None:
    found = bytearray()
    while len(found) < length:
        some = os.read(fd, min(length - len(found), 1 << 20))
        if not some:
            return None
        found += some
    return bytes(found)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
