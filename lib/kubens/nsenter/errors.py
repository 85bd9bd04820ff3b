"""What can go wrong on the way into a namespace."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.nsenter.namespaces import Kind


class NSEnterError(OSError):
    """`errno`, `strerror` (the reason, for people), `path` and `kind` say what failed.

    path is that of the namespace, the command or the file meant, "" where there is none; kind is None where the
    error is not about one namespace. The subclasses travel through pickle, for a child has to hand them back.
    """

    kind: Kind | None

    def __init__(self, errno: int, reason: str, path: str = "", kind: Kind | None = None) -> None:
        super().__init__(errno, reason, path)
        self.kind = kind

    @property
    def path(self) -> str:
        return str(self.filename)

    def __str__(self) -> str:
        return f"{self.path}: {self.strerror}" if self.path else str(self.strerror)


class NamespaceGone(NSEnterError):
    """Nothing is at the path, or the process has ended."""


class NotANamespace(NSEnterError):
    """There is a file, but no namespace is pinned to it."""


class WrongKind(NSEnterError):
    """A namespace of the kind `found` (None: one that this module does not know) is there instead of `kind`."""

    found: Kind | None = None


class MissingCapability(NSEnterError):
    """The kernel forbids it. `missing` names the capabilities that would be needed and are not effective here.

    With none missing, the namespace belongs to another user namespace or a security policy forbids it.
    """

    missing: tuple[str, ...] = ()


class ThreadsExist(NSEnterError):
    """The process has `threads` threads; one of them alone would be inside."""

    threads: int = 0


class MissingCommand(NSEnterError):
    """The target has no such command (ENOENT), or none that may be executed (EACCES)."""


class ChildFailed(NSEnterError):
    """The child ended without an answer, or with an exception that cannot be carried over (the reason tells it)."""
