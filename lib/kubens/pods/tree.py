"""A pod's directory on disk: looked into and written without following links out of it.

App images are made by strangers: a link in one must not lead a writer that is root to the host's files.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress

from kubens.pods.errors import PodError
from kubens.pods.escape import join
from kubens.pods.ondisk import Directory, File, Link, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LINKS_MAX = 40
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def beneath(tree: str, path: str) -> str:
    """The path, seen from tree, that path has when its links are followed; what is missing counts as no link.

    PodError where a link is absolute or leads above the tree, as with RESOLVE_BENEATH of openat2(2).
    """
    todo = path.split("/")[::-1]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                raise PodError(f"{path} leaves {tree} through a link; write the path that is meant")
            done.pop()
            continue
        try:
            target = os.readlink("/".join((tree, *done, part)))
        except OSError:
            done.append(part)
            continue
        links += 1
        if target.startswith("/") or links > _LINKS_MAX:
            link = "/" + "/".join((*done, part))
            raise PodError(f"{path} passes the link {link} to {target}; write the path that is meant")
        todo += target.split("/")[::-1]
    return "/" + "/".join(done)


def write(tree: str, plan: Plan) -> None:
    """Make it so. Files and links are replaced, each at once, so it can be repeated.

    PodError for a link or a file where a directory must be; OSError, with the whole path, for the rest.
    """
    for directory in plan.directories:
        _write_directory(tree, directory)
    for file in plan.files:
        _write_file(tree, file)
    for link in plan.links:
        _write_link(tree, link)


def _write_directory(tree: str, directory: Directory) -> None:
    with _opened(tree, directory.path, directory.make_mode) as descriptor:
        status = os.fstat(descriptor)
        # Only the superuser gives files away; one's own directory needs no giving.
        if directory.owner is not None and directory.owner != (status.st_uid, status.st_gid):
            os.fchown(descriptor, *directory.owner)
        if directory.mode is not None:
            os.fchmod(descriptor, directory.mode)


def _write_file(tree: str, file: File) -> None:
    parent, _, name = file.path.rpartition("/")
    with _opened(tree, parent) as directory, _temporary(directory) as temporary:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o600, dir_fd=directory), "wb") as stream:
            stream.write(file.data)
            os.fchmod(stream.fileno(), 0o644)
            if file.owner is not None:
                os.fchown(stream.fileno(), *file.owner)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


def _write_link(tree: str, link: Link) -> None:
    parent, _, name = link.path.rpartition("/")
    with _opened(tree, parent) as directory, _temporary(directory) as temporary:
        os.symlink(link.target, temporary, dir_fd=directory)
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)


@contextmanager
def _temporary(directory: int) -> Iterator[str]:
    """A name for what is to be renamed; nothing of that name is left."""
    name = f".kubens-{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)
    try:
        yield name
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)


@contextmanager
def _opened(tree: str, path: str, make_mode: int | None = None) -> Iterator[int]:
    """A descriptor of the directory at path in tree. make_mode: make what is missing, with that mode."""
    descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        reached = tree
        for part in join("/", path)[1:].split("/"):
            reached = join(reached, part)
            child = _open_child(descriptor, part, reached, make_mode)
            os.close(descriptor)
            descriptor = child
        yield descriptor
    finally:
        os.close(descriptor)


def _open_child(parent: int, name: str, path: str, make_mode: int | None) -> int:
    if make_mode is not None:
        with suppress(FileExistsError):
            os.mkdir(name, make_mode, dir_fd=parent)
            os.chmod(name, make_mode, dir_fd=parent)  # whatever the umask
    try:
        return os.open(name, _OPEN, dir_fd=parent)
    except NotADirectoryError:
        raise PodError(f"{path} is a link or a file where a directory must be; remove it") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
