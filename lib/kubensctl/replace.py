"""A file that is the old or the new one, whatever interrupts its replacement."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from kubens.files import Root
from kubensctl.failure import Failure


@contextlib.contextmanager
def locked(root: Root, file: str, read_only: bool) -> Iterator[None]:
    """Two kubensctl at once must not each write what the other did not know."""
    if read_only:
        yield
        return
    directory = os.path.dirname(root.path + file)
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Failure(f"{directory}: {error.strerror}") from None
    if not os.access(directory, os.W_OK):
        raise Failure(f"{directory} cannot be written to; try as root")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace(path: str, text: str) -> None:
    """Put a file in place; interrupted at any time, it is the old or the new one. The caller holds the lock."""
    directory, name = os.path.split(path)
    # Hidden, so the generator does not read it; always the same, so that an interrupted run leaves one at most.
    draft = f"{directory}/.{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
