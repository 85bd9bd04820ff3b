"""Direct entry by programs of their own: enter() is for good, and where a process is small, so are its children."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

rooted = pytest.mark.needs("root", "namespaces")

PROGRAM = """if True:
    import os, sys
    if sys.argv[1] == "libc" and hasattr(os, "setns"):
        del os.setns
    from kubens.nsenter import NSEnter, NSEnterError, ThreadsExist
    world, here = sys.argv[2], lambda kind: os.stat("/proc/thread-self/ns/" + kind).st_ino
    number = lambda pin: os.stat(f"{world}/{pin}").st_ino
"""


@rooted
def test_enter(world: Path, python: Callable[..., str], setns: str) -> None:
    program = """
    expected = number("mnt"), number("net"), number("uts")
    descriptors = len(os.listdir("/proc/self/fd"))
    NSEnter.for_paths({"mnt": world + "/mnt", "net": world + "/net", "uts": world + "/uts"}).enter()
    assert (here("mnt"), here("net"), here("uts")) == expected
    assert len(os.listdir("/proc/self/fd")) == descriptors
    with open(world + "/inside/name") as file:
        print(file.read(), os.getcwd())
    """
    assert python(PROGRAM + program, setns, world) == "mnt\n /\n"


@rooted
def test_a_thousand_calls_in_a_row(world: Path, python: Callable[..., str], setns: str) -> None:
    """In a small process, of which a child is made in a moment."""
    program = """
    before, descriptors = here("mnt"), len(os.listdir("/proc/self/fd"))
    inside = lambda: here("mnt")
    assert {NSEnter.for_pin(world + "/mnt").call(inside) for _ in range(1000)} == {number("mnt")}
    assert (here("mnt"), len(os.listdir("/proc/self/fd"))) == (before, descriptors)
    with open("/proc/thread-self/children") as children:
        print(children.read())
    """
    assert python(PROGRAM + program, setns, world) == "\n"


@rooted
def test_a_thousand_entries_in_a_row(world: Path, python: Callable[..., str], setns: str) -> None:
    program = """
    descriptors = len(os.listdir("/proc/self/fd"))
    for turn in range(1000):
        pin = ("net", "net2")[turn % 2]
        NSEnter.for_pin(f"{world}/{pin}", "net").enter()
        assert here("net") == number(pin)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    print("done")
    """
    assert python(PROGRAM + program, setns, world) == "done\n"


@rooted
def test_enter_all_or_nothing(world: Path, python: Callable[..., str], setns: str) -> None:
    """The mount namespace comes last and needs a capability more than the others."""
    program = """
    import ctypes
    before = {kind: here(kind) for kind in ("uts", "net", "mnt")}
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None)
    assert libc.capget(header, data) == 0
    for word in (0, 1, 2):
        data[word] &= ~(1 << 18)
    assert libc.capset(header, data) == 0
    target = NSEnter.for_paths({"mnt": world + "/mnt", "net": world + "/net", "uts": world + "/uts"})
    try:
        target.enter()
    except NSEnterError as error:
        print(type(error).__name__, error.kind, error.missing)
    assert {kind: here(kind) for kind in before} == before
    NSEnter.for_paths({"net": world + "/net", "uts": world + "/uts"}).enter()
    assert (here("net"), here("uts")) == (number("net"), number("uts"))
    """
    assert python(PROGRAM + program, setns, world) == "MissingCapability mnt ('CAP_SYS_CHROOT',)\n"


@rooted
def test_enter_is_refused_with_threads(world: Path, python: Callable[..., str], setns: str) -> None:
    program = """
    import errno, threading, _thread, time
    for start in (lambda work: threading.Thread(target=work).start(), lambda work: _thread.start_new_thread(work, ())):
        go = threading.Event()
        start(go.wait)
        before = {kind: here(kind) for kind in ("mnt", "net")}
        for kind in before:
            try:
                NSEnter.for_pin(f"{world}/{kind}", kind).enter()
            except ThreadsExist as error:
                print(error.threads, error.errno == errno.EINVAL)
        assert {kind: here(kind) for kind in before} == before
        go.set()
        time.sleep(0.1)
    for _ in range(100):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
        NSEnter.for_pin(world + "/net", "net").enter()
    assert here("net") == number("net")
    """
    assert python(PROGRAM + program, setns, world) == "2 True\n" * 4


@rooted
def test_children_are_in_the_pid_namespace(process: int, python: Callable[..., str], setns: str) -> None:
    program = """
    import subprocess
    NSEnter.for_pid(int(sys.argv[3]), ["pid"]).enter()
    print(int(subprocess.run(["sh", "-c", "echo $$"], capture_output=True).stdout) < 20)
    """
    assert python(PROGRAM + program, setns, "", process) == "True\n"
