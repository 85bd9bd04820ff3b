"""kubens.nsenter in short, for an interpreter that has neither pytest nor anything else.

`python smoke.py LIB MNT NET`, as root: the directory that kubens is in, and a pin of each kind.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

sys.path.insert(0, sys.argv[1])
import kubens.nsenter
from kubens.nsenter import FakeNSEnter, NSEnter, ThreadsExist, WrongKind, join_from_environment

MNT, NET = sys.argv[2:]


def number(path: str) -> int:
    return os.stat(path).st_ino


def raises(error: type[BaseException], function: Callable[[], object]) -> bool:
    try:
        function()
    except error:
        return True
    return False


def check_targets() -> None:
    both = NSEnter.for_paths({"mnt": MNT, "net": NET})
    assert both.call(lambda: [number("/proc/self/ns/mnt"), number("/proc/self/ns/net")]) == [number(MNT), number(NET)]
    assert both.command("readlink", "/proc/self/ns/net").output().decode() == f"net:[{number(NET)}]\n"
    assert NSEnter.for_pin(NET, "net").call(socket.if_nameindex)[0] == (1, "lo")
    assert raises(WrongKind, lambda: NSEnter.for_pin(NET, "mnt").call(int))
    assert raises(ZeroDivisionError, lambda: both.call(divmod, 1, 0))
    with both.inside() as call:
        assert call(os.getppid) == os.getpid()
    assert FakeNSEnter("/").eval_symlinks("/proc/self/cwd/.", must_exist=True)
    command = both.command_context(0.1, "sleep", "60")
    assert raises(subprocess.TimeoutExpired, command.run)


def check_entry() -> None:
    """This process goes inside for good."""
    go = threading.Event()
    thread = threading.Thread(target=go.wait)
    thread.start()
    assert raises(ThreadsExist, NSEnter.for_pin(NET, "net").enter)
    go.set()
    thread.join()
    expected = number(NET), number(MNT)
    NSEnter.for_pin(NET, "net").enter()
    os.environ["KUBENSMNT"] = MNT
    assert join_from_environment().state == "joined"
    assert (number("/proc/self/ns/net"), number("/proc/self/ns/mnt")) == expected


check_targets()
if hasattr(os, "setns"):
    kept = os.setns
    del os.setns
    check_targets()
    os.setns = kept
descriptors = os.listdir("/proc/self/fd")
check_targets()
assert os.listdir("/proc/self/fd") == descriptors
assert all(hasattr(kubens.nsenter, name) for name in kubens.nsenter.__all__)
check_entry()
print("inside", sys.version.split()[0])
