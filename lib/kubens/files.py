"""Reading the machine's files, below a root directory that tests and tools may set."""

from __future__ import annotations

# posix is what os is made of on Linux, built into the interpreter; importing os costs a boot a millisecond.
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any, TypeVar

    _Found = TypeVar("_Found")

# No unit file is larger than this; one that is, is a mistake that must not cost the boot.
SIZE_MAX = 4 * 1024 * 1024
_LINKS_MAX = 40  # as the kernel's (path_resolution(7))

_FORMAT, _REGULAR, _DIRECTORY, _LINK, _CHARACTER = 0o170000, 0o100000, 0o040000, 0o120000, 0o020000
_NOT_THERE, _NO_DEVICE, _DENIED, _NOT_A_DIRECTORY, _LOOP = 2, 6, 13, 20, 40  # ENOENT, ENXIO (a socket), EACCES, …
_AGAIN, _IS_A_DIRECTORY, _INVALID = 11, 21, 22  # EAGAIN (a fifo that somebody writes to), EISDIR, EINVAL
_MISSING = (_NOT_THERE, _NOT_A_DIRECTORY)
# Nearly every unit and configuration file is shorter.
_SHORT = 4096
_READ = posix.O_RDONLY | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC


def why(error: OSError) -> str:
    """What it comes to, for people, and the next step."""
    return f"{error.strerror or error}; mend that"


class Root:
    """The file system below `path`; "" or "/" is the machine's own.

    Every path given and returned is as the machine sees it ("/etc/..."). With a root, links are followed inside it.
    """

    def __init__(self, path: str = "") -> None:
        self.path = path.rstrip("/")
        self._parents: dict[str, str] = {}

    def read(self, path: str, size_max: int = SIZE_MAX) -> str | None:
        """A file's text, undecodable bytes as surrogates; None where there is none; "" for /dev/null.

        Raises OSError, whose strerror is for people: no permission, not a regular file, larger than size_max, circular
        links, I/O errors.
        """
        try:
            descriptor = self._open(path, _READ) if self.path else posix.open(path, _READ)
        except OSError as error:
            if error.errno in _MISSING:
                return None
            raise OSError(error.errno, _reason(error)) from None
        try:
            try:
                data = posix.read(descriptor, _SHORT)
            except OSError as error:
                if error.errno not in (_AGAIN, _IS_A_DIRECTORY):
                    raise
                data = b""  # only a regular file would have given something
            if not 0 < len(data) < _SHORT:
                data += _read_rest(descriptor, size_max, len(data))
        finally:
            posix.close(descriptor)
        return data.decode("utf-8", "surrogateescape")

    def entries(self, path: str) -> dict[str, bool]:
        """The names in a directory, in no order, and whether each is a link; none where there is no directory.

        Raises OSError.
        """
        return self._list(path, _entries) or {}

    def names(self, path: str) -> list[str]:
        """As entries(), where nothing but the names is asked for: at half the price."""
        return self._list(path, posix.listdir) or []

    def _list(self, path: str, reader: Callable[[Any], _Found]) -> _Found | None:
        """What a reader finds in a directory, None where there is none."""
        try:
            if not self.path:
                return reader(path)
            descriptor = self._open(path, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        except OSError as error:
            if error.errno in _MISSING:
                return None
            raise
        try:
            return reader(descriptor)
        finally:
            posix.close(descriptor)

    def files(self, path: str, suffix: str) -> list[str]:
        """The names in a directory that end in suffix, hidden ones left out; in byte order. Raises OSError."""
        found = []
        for name in self.names(path):
            if name.endswith(suffix) and name[0] != ".":
                found.append(name)
        return in_byte_order(found)

    def link(self, path: str) -> str | None:
        """What a link says, None where it is none."""
        try:
            return posix.readlink(self._parent_resolved(path))
        except OSError:
            return None

    def is_executable(self, path: str) -> bool:
        found = self._stat(path)
        return found is not None and found.st_mode & _FORMAT == _REGULAR and found.st_mode & 0o111 != 0

    def is_file(self, path: str) -> bool:
        found = self._stat(path)
        return found is not None and found.st_mode & _FORMAT == _REGULAR

    def exists(self, path: str) -> bool:
        return self._stat(path) is not None if self.path else posix.access(path, posix.F_OK)

    def is_null(self, path: str) -> bool:
        """Whether systemd takes the file for a mask: empty, or the null device."""
        found = self._stat(path)
        return found is not None and (
            found.st_mode & _FORMAT == _CHARACTER or (found.st_mode & _FORMAT == _REGULAR and found.st_size == 0)
        )

    def follow(self, path: str) -> str:
        """The path with every link on the way resolved inside the root. Raises OSError (ELOOP)."""
        done = ""
        left = path.split("/")[::-1]
        links = 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            try:
                target = posix.readlink(f"{self.path}{done}/{part}")
            except OSError:
                done = f"{done}/{part}"
                continue
            links += 1
            if links > _LINKS_MAX:
                raise OSError(_LOOP, posix.strerror(_LOOP))
            if target.startswith("/"):
                done = ""
            left += target.split("/")[::-1]
        return done or "/"

    def _parent_resolved(self, path: str) -> str:
        """Where the kernel finds a path whose last part may be a link. Raises OSError (ELOOP)."""
        if not self.path:
            return path
        parent, _, name = path.rpartition("/")
        resolved = self._parents.get(parent)
        if resolved is None:
            resolved = self._parents[parent] = self.follow(parent)
        return f"{self.path}{resolved}/{name}"

    def _stat(self, path: str) -> posix.stat_result | None:
        """stat(2) of what the path leads to; None where it leads nowhere."""
        try:
            if not self.path:
                return posix.stat(path)
            found = posix.stat(self._parent_resolved(path), follow_symlinks=False)
            if found.st_mode & _FORMAT == _LINK:
                resolved = self.follow(path)
                return posix.stat(resolved if resolved == "/dev/null" else self.path + resolved)
        except OSError:
            return None
        return found

    def _open(self, path: str, flags: int) -> int:
        try:
            return posix.open(self._parent_resolved(path), flags | posix.O_NOFOLLOW)
        except OSError as error:
            # A link; with O_DIRECTORY the kernel calls it no directory.
            if error.errno not in (_LOOP, _NOT_A_DIRECTORY):
                raise
        resolved = self.follow(path)
        # A tree of files has no devices; the null device, which masks, is the same everywhere.
        return posix.open(resolved if resolved == "/dev/null" else self.path + resolved, flags | posix.O_NOFOLLOW)


def _reason(error: OSError) -> str:
    if error.errno == _NO_DEVICE:
        return "not a regular file"
    if error.errno == _DENIED and not posix.geteuid():
        # Root may read all files, but for what a security module says.
        return "Permission denied, and that to root: is it SELinux? Then see kubensctl selinux"
    return error.strerror or "cannot be read"


def _entries(directory: Any) -> dict[str, bool]:
    with posix.scandir(directory) as found:
        return {entry.name: entry.is_symlink() for entry in found}


def _read_rest(descriptor: int, size_max: int, done: int) -> bytes:
    """What is left where the first bytes were none, or not all: only now does it matter what it is.

    To ask of each file would cost more than to read it.
    """
    found = posix.fstat(descriptor)
    form = found.st_mode & _FORMAT
    if form == _CHARACTER and found.st_rdev == 0x103:  # null(4), device 1:3: a mask
        return b""
    if form != _REGULAR:
        raise OSError(_INVALID, "is a directory" if form == _DIRECTORY else "not a regular file")
    chunks: list[bytes] = []
    # The size is no promise, and /proc says 0 for that of everything.
    while max(done, found.st_size) <= size_max:
        data = posix.read(descriptor, 65536)
        if not data:
            return b"".join(chunks)
        chunks.append(data)
        done += len(data)
    raise OSError(_INVALID, f"larger than {size_max // 1024} KiB")


def byte_order(name: str) -> bytes:
    """The sort key of names on disk."""
    return name.encode("utf-8", "surrogateescape")


def in_byte_order(names: Collection[str]) -> list[str]:
    """Names on disk in their order, which is that of characters where there are no others than those of ASCII."""
    found = sorted(names)
    return found if "".join(found).isascii() else sorted(found, key=byte_order)
