"""Every reason for which a namespace cannot be entered is told apart from the others."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kubens.nsenter import (
    ChildFailed,
    FakeNSEnter,
    Kind,
    MissingCapability,
    MissingCommand,
    NamespaceGone,
    NotANamespace,
    NSEnter,
    NSEnterError,
    ThreadsExist,
    WrongKind,
)

from .helpers import as_nobody, here

rooted = pytest.mark.needs("root", "namespaces")
EVERY = (
    ChildFailed,
    MissingCapability,
    MissingCommand,
    NamespaceGone,
    NotANamespace,
    ThreadsExist,
    WrongKind,
)


def refusal(path: object, kind: Kind = "mnt") -> NSEnterError:
    """Why the namespace at a path cannot be entered; the same in each of the ways."""
    target = NSEnter.for_pin(str(path), kind)
    with pytest.raises(NSEnterError) as caught:
        target.call(here)
    with pytest.raises(type(caught.value)) as opened:
        target.inside().__enter__()
    assert str(opened.value) == str(caught.value)
    assert (caught.value.path, caught.value.kind) == (str(path), kind)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("absent", errno.ENOENT),
        ("absent/mnt", errno.ENOENT),
        ("plain/mnt", errno.ENOTDIR),
        ("dangling", errno.ENOENT),
        ("/proc/4194305/ns/mnt", errno.ENOENT),  # above the largest process number that there can be
    ],
)
def test_gone(tmp_path: Path, path: str, number: int) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    error = refusal(tmp_path / path)
    assert isinstance(error, NamespaceGone)
    assert error.errno == number


@pytest.mark.usefixtures("no_leaks")
@pytest.mark.parametrize("name", ["plain", "directory", "fifo", "socket", "/dev/null", "/dev/tty", "link"])
def test_not_a_namespace(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").write_text("mnt:[4026531841]")
    (tmp_path / "link").symlink_to("plain")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    error = refusal(tmp_path / name)
    assert isinstance(error, NotANamespace)
    assert error.errno in (errno.EINVAL, errno.ENXIO)


def test_devices_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of the question may mean something else to one."""
    asked = []

    def ioctl(fd: int, request: int) -> int:
        asked.append(request)
        return 0

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    refusal("/dev/null")
    assert not asked
    refusal("/etc/passwd")
    assert asked


def test_loop_is_neither(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    error = refusal(tmp_path / "loop")
    assert type(error) is NSEnterError
    assert error.errno == errno.ELOOP


@rooted
@pytest.mark.usefixtures("setns", "no_leaks")
def test_wrong_kind(world: Path) -> None:
    pins: tuple[Kind, ...] = ("mnt", "net", "uts", "ipc")
    for pin in pins:
        for kind in pins:
            if pin == kind:
                assert NSEnter.for_pin(world / pin, kind).call(here, kind)
                continue
            error = refusal(world / pin, kind)
            assert isinstance(error, WrongKind)
            assert (error.found, error.errno) == (pin, errno.EINVAL)


def test_own_namespaces_have_their_kinds() -> None:
    for name in ("cgroup", "pid", "user", "time"):
        path = f"/proc/self/ns/{name}"
        if os.path.exists(path):
            error = refusal(path, "net")
            assert isinstance(error, WrongKind)
            assert error.found == name


@rooted
@pytest.mark.usefixtures("setns")
def test_ordinary_user(world: Path) -> None:
    needed: dict[Kind, tuple[str, ...]] = {"mnt": ("CAP_SYS_ADMIN", "CAP_SYS_CHROOT"), "net": ("CAP_SYS_ADMIN",)}
    for kind, missing in needed.items():
        error = as_nobody(partial(refusal_of_call, world / kind, kind))
        assert isinstance(error, MissingCapability)
        assert (error.errno, error.missing, error.kind) == (errno.EPERM, missing, kind)
        assert error.path == f"{world}/{kind}"
        assert "CAP_SYS_ADMIN" in str(error)


def refusal_of_call(path: Path, kind: Kind) -> NSEnterError:
    with pytest.raises(NSEnterError) as caught:
        NSEnter.for_pin(path, kind).call(here)
    return caught.value


@rooted
def test_ordinary_user_sees_the_other_reasons(world: Path) -> None:
    """A capability is not what a file lacks that is no namespace."""
    reasons: list[tuple[str, Kind, type[NSEnterError]]] = [
        ("plain", "mnt", NotANamespace),
        ("absent", "mnt", NamespaceGone),
        ("net", "mnt", WrongKind),
    ]
    for name, kind, reason in reasons:
        assert type(as_nobody(partial(refusal_of_call, world / name, kind))) is reason


@rooted
def test_ordinary_user_and_files(world: Path, tmp_path: Path) -> None:
    """What an ordinary user may not even open: a pin in a closed directory, and another user's process."""
    (world / "closed").mkdir(mode=0o700)
    error = as_nobody(lambda: refusal_of_call(world / "closed/mnt", "mnt"))
    assert isinstance(error, MissingCapability)
    assert (error.errno, error.missing) == (errno.EACCES, ("CAP_DAC_READ_SEARCH",))
    me = os.getpid()
    error = as_nobody(lambda: refusal_of_call(Path(f"/proc/{me}/ns/net"), "net"))
    assert isinstance(error, MissingCapability)
    assert error.missing == ("CAP_SYS_PTRACE",)


@rooted
def test_ordinary_user_and_commands(world: Path) -> None:
    def run() -> tuple[int, bytes]:
        command = NSEnter.for_pin(world / "mnt").command("true")
        command.stderr = subprocess.PIPE
        done = command.run()
        return done.returncode, done.stderr

    status, message = as_nobody(run)
    assert status == 1
    assert b"Operation not permitted" in message


@rooted
def test_several_at_once_fail_together(world: Path) -> None:
    before = [here(kind) for kind in ("net", "mnt", "uts")]
    for broken, reason in (("plain", NotANamespace), ("absent", NamespaceGone), ("net", WrongKind)):
        target = NSEnter.for_paths({"net": f"{world}/net", "uts": f"{world}/uts", "mnt": f"{world}/{broken}"})
        with pytest.raises(reason):
            target.call(here)
        with pytest.raises(reason):
            FakeNSEnter("/").call(target.enter)
    assert [here(kind) for kind in ("net", "mnt", "uts")] == before


def test_namespace_of_another_user_namespace() -> None:
    """Nothing is missing here, and it is forbidden all the same."""
    program = """if True:
        import os
        from kubens.nsenter import NSEnter, MissingCapability
        try:
            NSEnter.for_pid(os.getppid(), ["uts"]).call(int)
        except MissingCapability as error:
            print(error.missing, error)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "lib")}
    command = ["unshare", "--user", "--map-root-user", "--fork", sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "() " in done.stdout, done.stderr


@pytest.mark.parametrize(
    "make",
    [
        lambda: NSEnter.for_pin("/x", "mount"),  # type: ignore[arg-type]
        lambda: NSEnter.for_paths({"nett": "/x"}),  # type: ignore[dict-item]
        lambda: NSEnter.for_paths({}),
        lambda: NSEnter.for_pid(1, []),
        lambda: NSEnter.for_pid(1, "net"),  # type: ignore[arg-type]
        lambda: NSEnter.for_pid(0),
        lambda: NSEnter.for_pid(-1),
        lambda: NSEnter.for_netns(""),
        lambda: NSEnter.for_netns(".."),
        lambda: NSEnter.for_netns("../x"),
        lambda: NSEnter.for_netns("a\0b"),
    ],
)
def test_what_can_never_be_right(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"kind|no namespace|number|name"):
        make()


def test_process_that_never_was() -> None:
    with pytest.raises(NamespaceGone) as caught:
        NSEnter.for_pid(4194305)
    assert (caught.value.errno, caught.value.path) == (errno.ENOENT, "/proc/4194305")


def test_names_that_are_right() -> None:
    assert NSEnter.for_netns("a-b.c d").command("x").args == ["nsenter", "--net=/run/netns/a-b.c d", "--", "x"]
    assert NSEnter.for_pin("/a", "mnt").command("x").args == ["nsenter", "--mount=/a", "--", "x"]


@pytest.mark.parametrize("error", EVERY)
def test_hierarchy(error: type[NSEnterError]) -> None:
    assert issubclass(error, NSEnterError)
    assert issubclass(error, OSError)
    one = error(errno.EPERM, "a reason", "/a/path", "net")
    assert (one.errno, one.strerror, one.path, one.kind) == (errno.EPERM, "a reason", "/a/path", "net")
    assert str(one) == "/a/path: a reason"
    assert (str(error(errno.EPERM, "a reason")), error(1, "").path, error(1, "").kind) == ("a reason", "", None)


def test_errors_travel() -> None:
    error = MissingCapability(errno.EPERM, "a reason", "/a/path", "mnt")
    error.missing = ("CAP_SYS_ADMIN",)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.__dict__, str(copy)) == (MissingCapability, error.__dict__, str(error))

    def function() -> None:
        raise error

    with pytest.raises(MissingCapability) as caught:
        FakeNSEnter("/").call(function)
    assert (caught.value.missing, caught.value.path, caught.value.kind) == (("CAP_SYS_ADMIN",), "/a/path", "mnt")


@rooted
def test_kubelet_path_needs_a_root(world: Path) -> None:
    with pytest.raises(NSEnterError) as caught:
        NSEnter.for_pin(world / "mnt").kubelet_path("/x")
    assert caught.value.errno == errno.ENOTSUP
    assert NSEnter.for_pin(world / "net", "net").kubelet_path("/x") == "/x"


@rooted
def test_systemd_of_a_pin(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = NSEnter.for_pin(world / "mnt")
    monkeypatch.setenv("PATH", f"{world}/directory")
    with pytest.raises(FileNotFoundError):
        inside.supports_systemd()  # no nsenter
    monkeypatch.setenv("PATH", f"{world}/tools")
    (world / "tools").mkdir()
    for tool in ("nsenter", "sh"):
        (world / "tools" / tool).symlink_to(FakeNSEnter("/").look_path(f"/usr/bin/{tool}"))
    assert inside.supports_systemd() is None
    (world / "tools/systemd-run").symlink_to("/bin/sh")
    assert inside.supports_systemd() == f"{world}/tools/systemd-run"
