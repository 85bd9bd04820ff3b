"""Namespaces by path, opened all together and then entered. See namespaces(7) and setns(2)."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
import time
from contextlib import ExitStack, contextmanager

from kubens.nsenter.errors import (
    MissingCapability,
    NamespaceGone,
    NotANamespace,
    NSEnterError,
    ThreadsExist,
    WrongKind,
)

TYPE_CHECKING = False  # typing itself would cost as much time as all of this package
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Literal

    Kind = Literal["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]
    SetNS = Callable[[int, int], None]
else:
    Kind = str

# The CLONE_NEW* flag of each kind, as the kernel names them in /proc/PID/ns. They are entered in this order.
FLAGS: dict[Kind, int] = {
    "user": 0x10000000,
    "cgroup": 0x02000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
    "net": 0x40000000,
    "pid": 0x20000000,
    "time": 0x00000080,
    "mnt": 0x00020000,
}
_NS_GET_NSTYPE = 0xB703  # ioctl_ns(2), since Linux 4.11

_CAPABILITIES = {"CAP_DAC_READ_SEARCH": 2, "CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21}

# What opening a thing that is there says of it when it cannot be a namespace: a socket, a device without a driver.
_NOT_TO_BE_OPENED = (errno.ENXIO, errno.ENODEV)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESRCH)
_FORBIDDEN = (errno.EPERM, errno.EACCES)


class Namespace:
    """An open namespace. What is opened stays what it is, whatever happens to its path."""

    __slots__ = ("_fd", "kind", "path")

    def __init__(self, kind: Kind, path: str) -> None:
        self.kind = kind
        self.path = path
        self._fd = _open(kind, path)

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def enter(self, setns: SetNS) -> None:
        """Take this thread inside; for pid, the children that it will have."""
        if self._fd == -1:
            raise NSEnterError(errno.EBADF, "is no longer held open", self.path, self.kind)
        try:
            setns(self._fd, FLAGS[self.kind])
        except OSError as error:
            raise _refusal(error, self.kind, self.path) from None


class Namespaces:
    """Where the namespaces of a target are, at most one of each kind, in the order of entry.

    Without the user namespace where that is this process's own: the kernel refuses to enter it again.
    """

    def __init__(self, paths: Mapping[Kind, str]) -> None:
        _check_kinds(paths)
        self.paths = {kind: os.fspath(paths[kind]) for kind in FLAGS if kind in paths}
        if "user" in paths and _is_own_user_namespace(self.paths["user"]):
            del self.paths["user"]

    def check(self) -> None:
        """Raise NamespaceGone where the paths no longer mean what they meant when this object was made."""

    def options(self) -> list[str]:
        """nsenter(1)'s. In the = form, for a path that is a word of its own is taken for the command."""
        return [f"--{'mount' if kind == 'mnt' else kind}={path}" for kind, path in self.paths.items()]

    @contextmanager
    def open(self) -> Iterator[list[Namespace]]:
        """Every namespace, or an NSEnterError and none of them."""
        with ExitStack() as stack:
            opened = [stack.enter_context(Namespace(kind, path)) for kind, path in self.paths.items()]
            self.check()
            yield opened


class ProcessNamespaces(Namespaces):
    """Those of a process, as long as it lives: a later process with its number is not it."""

    def __init__(self, pid: int, kinds: Iterable[Kind]) -> None:
        super().__init__({kind: f"/proc/{pid}/ns/{kind}" for kind in kinds})
        self._pid = pid
        self._started = self._start_time()

    def check(self) -> None:
        if self._start_time() != self._started:
            raise self._gone(errno.ESRCH)

    def _start_time(self) -> bytes:
        """In clock ticks since boot: field 22 of proc_pid_stat(5)."""
        try:
            with open(f"/proc/{self._pid}/stat", "rb") as file:
                # The second field is the command in parentheses, which may hold blanks and parentheses.
                return file.read().rpartition(b")")[2].split()[19]
        except OSError as error:
            raise self._gone(error.errno or errno.ESRCH) from None

    def _gone(self, number: int) -> NamespaceGone:
        return NamespaceGone(number, "the process has ended", f"/proc/{self._pid}")


def find_setns() -> SetNS:
    """os.setns where there is one (Python 3.12), the C library's otherwise.

    To be called before a fork: in the child of a process with threads, nothing may be imported or loaded.
    """
    found: SetNS | None = getattr(os, "setns", None)
    return found or find_libc_setns()


def find_libc_setns() -> SetNS:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)

    def setns(fd: int, flags: int) -> None:
        if library.setns(ctypes.c_int(fd), ctypes.c_int(flags)) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return setns


def enter_all(namespaces: list[Namespace], setns: SetNS) -> None:
    """Enter every one, or raise an NSEnterError with some of them entered.

    A user namespace takes the privileges of the one outside and gives those of its own. So it comes last, unless
    the others cannot be entered without it.
    """
    user = [namespace for namespace in namespaces if namespace.kind == "user"]
    left = []
    for namespace in namespaces:
        if namespace in user:
            continue
        try:
            namespace.enter(setns)
        except MissingCapability:
            if not user:
                raise
            left.append(namespace)
    for namespace in user + left:
        namespace.enter(setns)


def refuse_threads() -> None:
    """Raise ThreadsExist unless this thread is the only one of its process."""
    # A thread that was joined may take a moment to leave the kernel's list.
    deadline = time.monotonic() + 0.5
    while (threads := _count_threads()) > 1:
        if threading.active_count() > 1 or time.monotonic() > deadline:
            reason = (
                f"this process has {threads} threads, and one of them alone would be inside: "
                "enter before the first thread is started, or use call()"
            )
            error = ThreadsExist(errno.EINVAL, reason)
            error.threads = threads
            raise error
        time.sleep(0.0002)


def _count_threads() -> int:
    """The kernel's count, for it knows the threads of C libraries too."""
    return os.stat("/proc/self/task").st_nlink - 2


def _check_kinds(kinds: Iterable[str]) -> None:
    for kind in kinds:
        if kind not in FLAGS:
            raise ValueError(f"{kind!r} is no kind of namespace: one of {', '.join(sorted(FLAGS))}")


def _is_own_user_namespace(path: str) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.stat("/proc/self/ns/user"))
    except OSError:
        return False


def _open(kind: Kind, path: str) -> int:
    try:
        # Whatever it is, opening it must neither wait (a FIFO) nor become this session's terminal.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise _unopened(error, kind, path) from None
    try:
        _check_kind(fd, kind, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check_kind(fd: int, kind: Kind, path: str) -> None:
    flag = _flag(fd)
    if flag is None:
        raise NotANamespace(errno.EINVAL, "no namespace is pinned there", path, kind)
    if flag != FLAGS[kind]:
        found = next((other for other, number in FLAGS.items() if number == flag), None)
        error = WrongKind(errno.EINVAL, f"is a namespace of the kind {found or hex(flag)}, not {kind}", path, kind)
        error.found = found
        raise error


def _flag(fd: int) -> int | None:
    # Never an ioctl to a device, where the number may mean something else.
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return None
    try:
        return fcntl.ioctl(fd, _NS_GET_NSTYPE)
    except OSError:
        return None


def _unopened(error: OSError, kind: Kind, path: str) -> NSEnterError:
    number = error.errno or errno.EIO
    if number in _GONE:
        return NamespaceGone(number, "the namespace is gone", path, kind)
    if number in _NOT_TO_BE_OPENED:
        return NotANamespace(number, "no namespace is pinned there", path, kind)
    if number in _FORBIDDEN:
        wanted = "CAP_SYS_PTRACE" if path.startswith("/proc/") else "CAP_DAC_READ_SEARCH"
        return _forbidden(number, "opening it", (wanted,), kind, path)
    return NSEnterError(number, error.strerror or "cannot be opened", path, kind)


def _refusal(error: OSError, kind: Kind, path: str) -> NSEnterError:
    number = error.errno or errno.EINVAL
    if number in _FORBIDDEN:
        wanted = ("CAP_SYS_ADMIN", "CAP_SYS_CHROOT") if kind == "mnt" else ("CAP_SYS_ADMIN",)
        return _forbidden(number, "entering it", wanted, kind, path)
    return NSEnterError(number, f"cannot be entered: {error.strerror}", path, kind)


def _forbidden(number: int, doing: str, wanted: tuple[str, ...], kind: Kind, path: str) -> MissingCapability:
    missing = _missing(wanted)
    if missing:
        reason = f"{doing} takes {' and '.join(wanted)}; this process lacks {' and '.join(missing)}"
    else:
        reason = (
            f"{doing} is forbidden, though no capability is missing: "
            "it belongs to another user namespace, or a security policy is in the way"
        )
    error = MissingCapability(number, reason, path, kind)
    error.missing = missing
    return error


def _missing(wanted: tuple[str, ...]) -> tuple[str, ...]:
    try:
        with open("/proc/thread-self/status", "rb") as file:
            lines = dict(line.split(b":", 1) for line in file)
    except OSError:
        return ()  # another mount namespace may have the /proc of another pid namespace, or none
    effective = int(lines[b"CapEff"], 16)
    return tuple(name for name in wanted if not effective >> _CAPABILITIES[name] & 1)
