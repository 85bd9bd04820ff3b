"""NSEnter: the target that commands and functions run in."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import contextmanager

from kubens.nsenter.child import Inside, call_in_child
from kubens.nsenter.command import Command
from kubens.nsenter.errors import MissingCommand, NSEnterError
from kubens.nsenter.namespaces import Namespaces, ProcessNamespaces, enter_all, find_setns, refuse_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Callable, TypeVar

    from typing_extensions import ParamSpec

    from kubens.files import Root
    from kubens.nsenter.command import Executor
    from kubens.nsenter.namespaces import Kind

    Result = TypeVar("Result")
    Parameters = ParamSpec("Parameters")

DEFAULT_HOST_ROOTFS = "/rootfs"

_HOST_COMMANDS = (
    "mount",
    "findmnt",
    "umount",
    "systemd-run",
    "stat",
    "touch",
    "mkdir",
    "sh",
    "chmod",
    "realpath",
)
_OPTIONAL = "systemd-run"
_HOST_DIRECTORIES = ("/", "/bin", "/usr/sbin", "/usr/bin")
_NETNS_DIRECTORY = "/run/netns"  # ip-netns(8)

# realpath(1) tells its errors in words only. These are the C locale's.
_REALPATH_ERRORS = {
    "No such file or directory": errno.ENOENT,
    "Not a directory": errno.ENOTDIR,
    "Too many levels of symbolic links": errno.ELOOP,
    "Permission denied": errno.EACCES,
    "File name too long": errno.ENAMETOOLONG,
}

# Prints the first of its arguments that a shell would run. 127 and 126 are the shell's own words for the rest.
_FIRST_EXECUTABLE = """
status=127
for path do
    if [ -f "$path" ]; then
        if [ -x "$path" ]; then printf %s "$path"; exit 0; fi
        status=126
    fi
done
exit "$status"
"""


class NSEnter:
    """The mount namespace of a host whose root file system is mounted at `host_rootfs`.

    That is what a privileged container sees of its host. The other targets: for_pin(), for_pid(), for_netns() and
    for_paths().

    executor is what starts processes, called as subprocess.Popen is. MissingCommand when the host lacks one of the
    commands that the methods and their users rely on; systemd-run alone may be missing.
    """

    def __init__(
        self,
        host_rootfs: str | os.PathLike[str] = DEFAULT_HOST_ROOTFS,
        executor: Executor = subprocess.Popen,
    ) -> None:
        rootfs = _clean(os.fspath(host_rootfs))
        self._set(Namespaces({"mnt": _below(rootfs, "/proc/1/ns/mnt")}), rootfs, executor, _host_commands(rootfs))

    @classmethod
    def for_paths(cls, paths: Mapping[Kind, str], executor: Executor = subprocess.Popen) -> NSEnter:
        """Namespaces of several kinds, each at its path: `{"mnt": "/run/kubens/mnt", "net": "/run/netns/blue"}`."""
        if not paths:
            raise ValueError("no namespace to enter")
        # Without a mount namespace, the file system is the one of this process.
        return cls._of(Namespaces(paths), None if "mnt" in paths else "/", executor)

    @classmethod
    def for_pin(
        cls,
        path: str | os.PathLike[str],
        kind: Kind = "mnt",
        executor: Executor = subprocess.Popen,
    ) -> NSEnter:
        """The namespace that is pinned to a file."""
        return cls.for_paths({kind: os.fspath(path)}, executor)

    @classmethod
    def for_pid(cls, pid: int, kinds: Iterable[Kind] = ("mnt",), executor: Executor = subprocess.Popen) -> NSEnter:
        """Namespaces of a process. NamespaceGone, now or later, once it has ended."""
        if pid < 1:
            raise ValueError(f"not a process number: {pid!r}")
        kinds = list(kinds)
        if not kinds:
            raise ValueError("no namespace to enter")
        namespaces = ProcessNamespaces(pid, kinds)
        rootfs = f"/proc/{pid}/root" if "mnt" in namespaces.paths else "/"
        return cls._of(namespaces, rootfs, executor)

    @classmethod
    def for_netns(cls, name: str, executor: Executor = subprocess.Popen) -> NSEnter:
        """The network namespace that `ip netns` knows by this name."""
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise ValueError(f"not a name of a network namespace: {name!r}")
        return cls.for_paths({"net": f"{_NETNS_DIRECTORY}/{name}"}, executor)

    @classmethod
    def _of(cls, namespaces: Namespaces, rootfs: str | None, executor: Executor) -> NSEnter:
        target = NSEnter.__new__(cls)
        target._set(namespaces, rootfs, executor, None)
        return target

    def _set(
        self, namespaces: Namespaces, rootfs: str | None, executor: Executor, commands: Mapping[str, str] | None
    ) -> None:
        self._namespaces = namespaces
        self._rootfs = rootfs
        self._executor = executor
        self._commands = commands

    # Commands

    def exec(self, cmd: str, args: Sequence[str]) -> Command:
        """A command in the target, not started yet. It is one of the host's (abs_host_path) or found by PATH."""
        return Command([self.abs_host_path(cmd), *args], self._namespaces, self._executor)

    def command(self, cmd: str, *args: str) -> Command:
        return self.exec(cmd, args)

    def command_context(self, cancel_or_timeout: threading.Event | float, cmd: str, *args: str) -> Command:
        """A command that is killed while it is waited for: so many seconds after its start, or when the event is set.

        What waits for it raises subprocess.TimeoutExpired or Cancelled then.
        """
        words = [self.abs_host_path(cmd), *args]
        if isinstance(cancel_or_timeout, (int, float)):
            return Command(words, self._namespaces, self._executor, timeout=cancel_or_timeout)
        return Command(words, self._namespaces, self._executor, cancel=cancel_or_timeout)

    def abs_host_path(self, command: str) -> str:
        """Where the host has one of the commands that were looked for; any other is returned as it is."""
        return (self._commands or {}).get(command, command)

    def supports_systemd(self) -> str | None:
        """Where the target has systemd-run, or None."""
        if self._commands is not None:
            return self._commands.get(_OPTIONAL)
        try:
            return self.look_path(_OPTIONAL)
        except MissingCommand:
            return None

    def look_path(self, file: str) -> str:
        """The path of the program that the target would run for this name, by the PATH of this process.

        PATH is read as the shell reads it: a name with a slash is no matter for it, an empty entry is the working
        directory, and directories and files that are not executable are passed over. MissingCommand: with ENOENT
        where there is none, with EACCES where all that there are may not be executed.
        """
        done = self._captured("sh", "-c", _FIRST_EXECUTABLE, "sh", *self._candidates(file))
        if done.returncode == 0:
            return os.fsdecode(done.stdout)
        if done.returncode == 126:
            raise MissingCommand(errno.EACCES, "is there, but may not be executed", file)
        self._explain(done, "sh")
        raise MissingCommand(errno.ENOENT, "the target has no such command", file)

    # Paths

    def eval_symlinks(self, pathname: str, must_exist: bool = True) -> str:
        """The path in the target without any symbolic links, as realpath(1) tells it.

        must_exist (-e): NSEnterError with realpath's errno unless all of it exists. Otherwise (-m) what does not
        exist is taken as it is, and so is a link that leads to itself. A relative path begins at the target's root
        where a mount namespace is entered.
        """
        done = self._captured("realpath", "-e" if must_exist else "-m", "--", pathname)
        if done.returncode == 0:
            return os.fsdecode(done.stdout[:-1])  # realpath's own newline; those before it are the path's
        self._explain(done, "realpath")
        words = os.fsdecode(done.stderr).rstrip("\n").rpartition(": ")[2]
        raise NSEnterError(_REALPATH_ERRORS.get(words, errno.EIO), words or "realpath failed", pathname)

    def kubelet_path(self, pathname: str) -> str:
        """Where this process finds what the target calls `pathname`; links in it are to be resolved there first.

        NSEnterError (ENOTSUP) for a mount namespace that is known by its pin alone.
        """
        if self._rootfs is None:
            raise NSEnterError(errno.ENOTSUP, "a pin does not give access to the files of its namespace", pathname)
        return _below(self._rootfs, pathname)

    # Direct entry, without nsenter(1)

    def call(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Run a function inside, in a fresh child: returns what it returns, raises what it raises. See Inside."""
        with self.inside() as inside:
            return inside(function, *args, **kwargs)

    @contextmanager
    def inside(self) -> Iterator[Inside]:
        """Hold the namespaces open, for several calls into the same ones: `with target.inside() as call:`."""
        with self._namespaces.open() as namespaces:
            yield Inside(namespaces)

    def enter(self) -> None:
        """Take this process inside, all the way or (with an NSEnterError) not at all. There is no way back.

        ThreadsExist unless it is single-threaded. The working directory becomes `/` when a mount namespace is
        entered; of a pid namespace, only the children to come will be in it.
        """
        refuse_threads()
        with self._namespaces.open() as namespaces:
            if len(namespaces) > 1:
                # One alone is entered or not. Of several, a later one may fail: let that happen to a child.
                call_in_child(namespaces, lambda: None)
            enter_all(namespaces, find_setns())

    # What is behind

    def _captured(self, cmd: str, *args: str) -> subprocess.CompletedProcess[bytes]:
        command = self.exec(cmd, args)
        command.env = {**os.environ, "LC_ALL": "C"}
        command.stdin = subprocess.DEVNULL
        command.stdout = command.stderr = subprocess.PIPE
        return command.run()

    def _candidates(self, file: str) -> list[str]:
        here = "/" if "mnt" in self._namespaces.paths else os.getcwd()
        if "/" in file:
            return [os.path.join(here, file)]
        return [os.path.join(here, directory, file) for directory in _search_path()] if file else []

    def _explain(self, done: subprocess.CompletedProcess[bytes], cmd: str) -> None:
        """Raise what kept a command from running, if it did not run."""
        if not done.stderr.startswith(b"nsenter:"):
            return
        self.call(lambda: None)
        if done.returncode in (126, 127):
            raise MissingCommand(errno.ENOENT, "the target has no such command", cmd)
        raise NSEnterError(errno.EIO, os.fsdecode(done.stderr.strip()), cmd)


Nsenter = NSEnter


class FakeNSEnter(NSEnter):
    """The same interface without nsenter and without root, for the tests of those who use it.

    Everything runs where the test runs, with the commands of this machine; `rootfs` is what kubelet_path() takes
    for the host's root.
    """

    def __init__(self, rootfs: str | os.PathLike[str], executor: Executor = subprocess.Popen) -> None:
        self._set(Namespaces({}), _clean(os.fspath(rootfs)), executor, _host_commands("/"))

    @classmethod
    def _of(cls, _namespaces: Namespaces, rootfs: str | None, executor: Executor) -> NSEnter:
        """The other constructors fake their targets too."""
        return super()._of(Namespaces({}), rootfs or "/", executor)


def _host_commands(rootfs: str) -> dict[str, str]:
    from kubens.files import Root  # only here, for the sake of those who import this module and have no host

    root = Root(rootfs)
    found = {}
    for command in _HOST_COMMANDS:
        path = _host_path(root, command)
        if path is not None:
            found[command] = path
        elif command != _OPTIONAL:
            directories = ", ".join(_HOST_DIRECTORIES)
            raise MissingCommand(errno.ENOENT, f"the host at {rootfs} has none in {directories}", command)
    return found


def _host_path(root: Root, command: str) -> str | None:
    for directory in _HOST_DIRECTORIES:
        path = os.path.join(directory, command)
        if root.is_executable(path):
            return path
    return None


def _search_path() -> list[str]:
    # Not os.get_exec_path(), which takes an empty PATH for none.
    return os.environ.get("PATH", os.defpath).split(":")


def _clean(path: str) -> str:
    return os.path.normpath(path) if path else "/"


def _below(rootfs: str, pathname: str) -> str:
    """What `pathname` is called from outside of the root; nothing in it leads out of it."""
    inside = os.path.normpath("/" + pathname.lstrip("/"))
    return inside if rootfs == "/" else rootfs.rstrip("/") + inside
