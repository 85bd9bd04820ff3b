"""The host as a container sees it: what the Go package k8s.io/utils/nsenter promises, and where it stops short."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubens.nsenter import (
    DEFAULT_HOST_ROOTFS,
    FakeNSEnter,
    MissingCapability,
    MissingCommand,
    NamespaceGone,
    NSEnter,
    Nsenter,
    NSEnterError,
)

from .helpers import as_nobody, here

COMMANDS = ["mount", "findmnt", "umount", "systemd-run", "stat", "touch", "mkdir", "sh", "chmod", "realpath"]


def make_host(rootfs: Path, directory: str = "bin", but: str = "") -> Path:
    for command in COMMANDS:
        if command != but:
            install(rootfs / directory / command)
    return rootfs


def install(path: Path, mode: int = 0o755) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(mode)


# Finding the host's commands


def test_alias_and_default() -> None:
    assert Nsenter is NSEnter
    assert DEFAULT_HOST_ROOTFS == "/rootfs"


@pytest.mark.parametrize("directory", ["", "bin", "usr/sbin", "usr/bin"])
def test_commands_are_found(tmp_path: Path, directory: str) -> None:
    host = NSEnter(make_host(tmp_path, directory))
    assert host.abs_host_path("mount") == os.path.join("/", directory, "mount")
    assert host.supports_systemd() == os.path.join("/", directory, "systemd-run")
    assert host.abs_host_path("systemctl") == "systemctl"
    assert host.abs_host_path("/sbin/mount") == "/sbin/mount"


def test_order_of_directories(tmp_path: Path) -> None:
    make_host(tmp_path, "usr/bin")
    order = [("usr/sbin/mount", "/usr/sbin/mount"), ("bin/mount", "/bin/mount"), ("mount", "/mount")]
    for path, expected in order:
        install(tmp_path / path)
        assert NSEnter(tmp_path).abs_host_path("mount") == expected
        assert NSEnter(tmp_path).abs_host_path("stat") == "/usr/bin/stat"


def test_what_cannot_be_executed_is_passed_over(tmp_path: Path) -> None:
    make_host(tmp_path, "usr/bin")
    (tmp_path / "mount").mkdir()
    install(tmp_path / "bin/mount", mode=0o644)
    assert NSEnter(tmp_path).abs_host_path("mount") == "/usr/bin/mount"


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "systemd-run"])
def test_missing_command_is_named(tmp_path: Path, command: str) -> None:
    with pytest.raises(MissingCommand, match=f"^{command}: .*{tmp_path}") as caught:
        NSEnter(make_host(tmp_path, but=command))
    assert (caught.value.errno, caught.value.path) == (errno.ENOENT, command)


def test_systemd_run_is_optional(tmp_path: Path) -> None:
    assert NSEnter(make_host(tmp_path, but="systemd-run")).supports_systemd() is None


def test_links_are_the_hosts(tmp_path: Path) -> None:
    """An absolute link leads into the host, not to what this container has at that path."""
    make_host(tmp_path / "good", "usr/bin")
    install(tmp_path / "good/busybox")
    (tmp_path / "good/bin").symlink_to("/usr/bin")
    (tmp_path / "good/usr/bin/mount").unlink()
    (tmp_path / "good/usr/bin/mount").symlink_to("/busybox")
    assert NSEnter(tmp_path / "good").abs_host_path("mount") == "/bin/mount"

    make_host(tmp_path / "bad", but="sh")
    (tmp_path / "bad/bin/sh").symlink_to("/usr/bin/env")
    with pytest.raises(MissingCommand, match="sh: the host"):
        NSEnter(tmp_path / "bad")


def test_rootfs_may_be_a_link(tmp_path: Path) -> None:
    make_host(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    assert NSEnter(tmp_path / "link").abs_host_path("mount") == "/bin/mount"


# Commands


@pytest.mark.parametrize(
    ("rootfs", "option"),
    [("", "--mount={}/proc/1/ns/mnt"), ("/", "--mount={}/proc/1/ns/mnt"), ("/../{}", "--mount={}/proc/1/ns/mnt")],
)
def test_what_is_executed(tmp_path: Path, rootfs: str, option: str) -> None:
    make_host(tmp_path)
    host = NSEnter(str(tmp_path) + rootfs.format(tmp_path.name))
    expected = ["nsenter", option.format(tmp_path), "--"]
    assert host.exec("mount", ["-t", "tmpfs"]).args == [*expected, "/bin/mount", "-t", "tmpfs"]
    assert host.command("mount", "-t", "tmpfs").args == [*expected, "/bin/mount", "-t", "tmpfs"]
    assert host.command_context(1, "other", "--", "-x").args == [*expected, "other", "--", "-x"]


def test_executor_starts_the_processes(tmp_path: Path) -> None:
    calls = []

    def executor(args: list[str], **options: Any) -> subprocess.Popen[bytes]:
        calls.append(args)
        options["executable"] = None
        return subprocess.Popen(args[3:], **options)

    host = NSEnter(make_host(tmp_path), executor)
    assert host.command("echo", "hello", "world").output() == b"hello world\n"
    assert calls == [["nsenter", f"--mount={tmp_path}/proc/1/ns/mnt", "--", "echo", "hello", "world"]]


@pytest.mark.needs("root", "namespaces")
def test_commands_run_on_the_host(world: Path) -> None:
    host = NSEnter(world / "rootfs")
    assert host.command("cat", f"{world}/inside/name").output() == b"mnt\n"
    assert host.exec("sh", ["-c", "echo $0"]).output() == b"/bin/sh\n"
    assert host.command("pwd").output() == b"/\n"
    assert host.command("false").run().returncode == 1
    with pytest.raises(subprocess.CalledProcessError):
        host.command("false").run(check=True)


def test_kubelet_path(tmp_path: Path) -> None:
    table = [
        ("/some/path", "/some/path"),
        ("//some/path", "/some/path"),
        ("///some//path/", "/some/path"),
        ("some/path", "/some/path"),
        ("/", "/"),
        ("", "/"),
        ("/a/../b/./c", "/b/c"),
        ("/../../etc/shadow", "/etc/shadow"),
        ("../etc", "/etc"),
    ]
    make_host(tmp_path)
    for rootfs in (f"{tmp_path}", f"{tmp_path}/", f"{tmp_path}//"):
        for pathname, expected in table:
            found = NSEnter(rootfs).kubelet_path(pathname)
            assert found == (f"{tmp_path}{expected}" if expected != "/" else f"{tmp_path}/")


# Symbolic links


def lay_out(directory: Path) -> None:
    """Absolute links and relative ones, with a tail that exists and with none."""
    (directory / "existing/path").mkdir(parents=True)
    (directory / "existing/file").touch()
    (directory / "link").symlink_to(directory / "existing/file")
    (directory / "relative").symlink_to("existing/file")
    (directory / "dangling").symlink_to(directory / "missing")
    (directory / "dirlink").symlink_to(directory / "existing")
    (directory / "chain").symlink_to("dirlink")
    (directory / "loop").symlink_to("loop")
    (directory / "ping").symlink_to("pong")
    (directory / "pong").symlink_to("ping")
    for name in ("new\nline\n", " blank ", "-e", "ü", os.fsdecode(b"\xff")):
        (directory / name).touch()


# path, what -e gives (or the error), what -m gives
LINKS: list[tuple[str, str | int, str]] = [
    ("existing/file", "existing/file", "existing/file"),
    ("existing/path", "existing/path", "existing/path"),
    ("existing/path/", "existing/path", "existing/path"),
    ("existing/./path/../file", "existing/file", "existing/file"),
    ("missing", errno.ENOENT, "missing"),
    ("existing/path/missing", errno.ENOENT, "existing/path/missing"),
    ("missing/even/more", errno.ENOENT, "missing/even/more"),
    ("link", "existing/file", "existing/file"),
    ("relative", "existing/file", "existing/file"),
    ("dangling", errno.ENOENT, "missing"),
    ("dangling/file", errno.ENOENT, "missing/file"),
    ("dirlink", "existing", "existing"),
    ("dirlink/file", "existing/file", "existing/file"),
    ("dirlink/missing/tail", errno.ENOENT, "existing/missing/tail"),
    ("chain/path", "existing/path", "existing/path"),
    ("dirlink/../link", "existing/file", "existing/file"),
    ("existing/file/tail", errno.ENOTDIR, "existing/file/tail"),
    ("loop", errno.ELOOP, "loop"),
    ("loop/foo", errno.ELOOP, "loop/foo"),
    ("ping/foo", errno.ELOOP, "ping/foo"),
    ("new\nline\n", "new\nline\n", "new\nline\n"),
    (" blank ", " blank ", " blank "),
    ("-e", "-e", "-e"),
    ("ü", "ü", "ü"),
    (os.fsdecode(b"\xff"), os.fsdecode(b"\xff"), os.fsdecode(b"\xff")),
]


def check_links(target: NSEnter, directory: Path) -> None:
    for path, existing, missing in LINKS:
        pathname = f"{directory}/{path}"
        assert target.eval_symlinks(pathname, must_exist=False) == f"{directory}/{missing}", path
        if isinstance(existing, str):
            assert target.eval_symlinks(pathname, must_exist=True) == f"{directory}/{existing}", path
            continue
        with pytest.raises(NSEnterError) as caught:
            target.eval_symlinks(pathname, must_exist=True)
        assert (caught.value.errno, caught.value.path) == (existing, pathname), path


def test_links_without_a_namespace(tmp_path: Path) -> None:
    lay_out(tmp_path)
    check_links(FakeNSEnter("/"), tmp_path)


@pytest.mark.needs("root", "namespaces")
def test_links_on_the_host(world: Path) -> None:
    directory = world / "inside/dir"
    NSEnter.for_pin(world / "mnt").call(lay_out, directory)
    assert not directory.exists()
    check_links(NSEnter(world / "rootfs"), directory)
    assert NSEnter(world / "rootfs").eval_symlinks("usr") == "/usr"


def test_path_that_looks_like_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert FakeNSEnter("/").eval_symlinks("-e") == f"{tmp_path}/-e"


def test_empty_path() -> None:
    for must_exist in (True, False):
        with pytest.raises(NSEnterError) as caught:
            FakeNSEnter("/").eval_symlinks("", must_exist)
        assert caught.value.errno == errno.ENOENT


@pytest.mark.needs("root", "namespaces")
def test_why_links_could_not_be_followed(world: Path) -> None:
    """What keeps nsenter from entering is not mistaken for realpath's error."""
    with pytest.raises(NamespaceGone) as gone:
        NSEnter.for_pin(world / "absent").eval_symlinks("/usr")
    assert gone.value.path == f"{world}/absent"
    with pytest.raises(NamespaceGone):
        NSEnter.for_pin(world / "absent").look_path("sh")
    with pytest.raises(MissingCapability):
        as_nobody(lambda: NSEnter(world / "rootfs").eval_symlinks("/usr"))
    assert NSEnter.for_pin(world / "mnt").eval_symlinks("/usr") == "/usr"


# Looking for programs


@pytest.mark.needs("root", "namespaces")
def test_look_path_looks_inside(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{world}/inside/bin:{os.environ['PATH']}")
    for target in (NSEnter(world / "rootfs"), NSEnter.for_pin(world / "mnt")):
        assert target.look_path("kubens-tool") == f"{world}/inside/bin/kubens-tool"
        assert target.command(target.look_path("kubens-tool")).output() == b"from mnt\n"
        assert target.command("kubens-tool").output() == b"from mnt\n"
    for outside in (FakeNSEnter("/"), NSEnter.for_pin(world / "net", "net")):
        with pytest.raises(MissingCommand):
            outside.look_path("kubens-tool")


def programs(directory: Path) -> None:
    install(directory / "one/both")
    install(directory / "two/both")
    install(directory / "two/second")
    install(directory / "one/closed", mode=0o644)
    install(directory / "two/closed")
    install(directory / "one/data", mode=0o644)
    (directory / "one/folder").mkdir()
    install(directory / "two/folder")
    (directory / "one/dangling").symlink_to("nowhere")
    install(directory / "two/dangling")
    install(directory / "two/in two words")
    install(directory / "two/*")
    install(directory / "work")


@pytest.mark.parametrize(
    ("file", "path", "expected"),
    [
        ("both", "{}/one:{}/two", "one/both"),
        ("both", "{}/two:{}/one", "two/both"),
        ("second", "{}/one:{}/two", "two/second"),
        ("second", "{}/one:/nowhere:{}/two/", "two/second"),
        ("closed", "{}/one:{}/two", "two/closed"),
        ("folder", "{}/one:{}/two", "two/folder"),
        ("dangling", "{}/one:{}/two", "two/dangling"),
        ("in two words", "{}/one:{}/two", "two/in two words"),
        ("*", "{}/one:{}/two", "two/*"),
        ("{}/two/both", "/nowhere", "two/both"),
        ("work", "/nowhere:", "work"),
        ("work", ":/nowhere", "work"),
        ("work", "/nowhere::/nowhere", "work"),
        ("work", "", "work"),
        ("work", ".", "./work"),
        ("both", "one", "one/both"),
        ("./work", "/nowhere", "./work"),
        ("one/both", "/nowhere", "one/both"),
        ("data", "{}/one:{}/two", errno.EACCES),
        ("{}/one/data", "/nowhere", errno.EACCES),
        ("missing", "{}/one:{}/two", errno.ENOENT),
        ("both", "/nowhere", errno.ENOENT),
        ("work", "{}/one", errno.ENOENT),
        ("one", "{}", errno.ENOENT),
        ("-x", "{}/one", errno.ENOENT),
        ("", "{}/one", errno.ENOENT),
    ],
)
def test_rules_of_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, path: str, expected: str | int
) -> None:
    programs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path.format(tmp_path, tmp_path))
    target = FakeNSEnter("/")
    if isinstance(expected, str):
        assert target.look_path(file.format(tmp_path)) == f"{tmp_path}/{expected}"
        return
    with pytest.raises(MissingCommand) as caught:
        target.look_path(file.format(tmp_path))
    assert caught.value.errno == expected


def test_search_without_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    assert FakeNSEnter("/").look_path("sh") in ("/bin/sh", "/usr/bin/sh")


# The fake


def test_fake(tmp_path: Path, python: Callable[..., str]) -> None:
    fake = FakeNSEnter(tmp_path)
    assert isinstance(fake, NSEnter)
    assert fake.command("echo", "hello", "world").args == ["echo", "hello", "world"]
    assert fake.command("echo", "hello", "world").output() == b"hello world\n"
    assert fake.command("false").run().returncode == 1
    assert fake.kubelet_path("/some/path") == f"{tmp_path}/some/path"
    assert fake.abs_host_path("sh") in ("/bin/sh", "/usr/bin/sh")
    assert fake.look_path("sh") in ("/bin/sh", "/usr/bin/sh")
    assert fake.call(os.getpid) != os.getpid()
    for other in (FakeNSEnter.for_pin("/no/pin"), FakeNSEnter.for_netns("none"), FakeNSEnter.for_pid(os.getpid())):
        assert other.command("echo", "hello").args == ["echo", "hello"]
        assert other.call(here) == here()
    assert list(tmp_path.iterdir()) == []
    assert python("import kubens.nsenter as n; print(n.FakeNSEnter('/').enter())") == "None\n"
