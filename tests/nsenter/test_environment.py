"""$KUBENSMNT, as kubensmnt honours it for Go: joined before anything else, with a status to be looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kubens.nsenter import JoinStatus, NSEnterError, join_from_environment

rooted = pytest.mark.needs("root", "namespaces")

PROGRAM = """if True:
    import os, sys
    if sys.argv[1] == "libc" and hasattr(os, "setns"):
        del os.setns
    before = os.stat("/proc/self/ns/mnt").st_ino
    descriptors = len(os.listdir("/proc/self/fd"))
    from kubens.nsenter import join_from_environment
    status = join_from_environment()
    after = os.stat("/proc/self/ns/mnt").st_ino
    where = "outside" if after == before else after
    assert len(os.listdir("/proc/self/fd")) == descriptors
    print(status.state, type(status.error).__name__, where, os.getcwd(), status.path, sep="|")
"""


@rooted
def test_joined(world: Path, python: Callable[..., str], setns: str) -> None:
    number = os.stat(world / "mnt").st_ino
    printed = python(PROGRAM, setns, KUBENSMNT=f"{world}/mnt")
    assert printed == f"joined|NoneType|{number}|/|{world}/mnt\n"


@rooted
@pytest.mark.parametrize(
    ("name", "error"),
    [("absent", "NamespaceGone"), ("plain", "NotANamespace"), ("directory", "NotANamespace"), ("net", "WrongKind")],
)
def test_error(world: Path, python: Callable[..., str], setns: str, name: str, error: str) -> None:
    printed = python(PROGRAM, setns, KUBENSMNT=f"{world}/{name}")
    assert printed == f"error|{error}|outside|{os.getcwd()}|{world}/{name}\n"


def test_empty(python: Callable[..., str]) -> None:
    """As kubensmnt: it is set, so somebody wants something, and there is nothing by this name."""
    assert python(PROGRAM, "libc", KUBENSMNT="") == f"error|NamespaceGone|outside|{os.getcwd()}|\n"


def test_not_requested(python: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBENSMNT", raising=False)
    assert python(PROGRAM, "libc") == f"not requested|NoneType|outside|{os.getcwd()}|None\n"
    status = join_from_environment()
    assert (status.state, status.path, status.error, str(status)) == ("not requested", None, None, "not requested")


@rooted
def test_threads(world: Path, python: Callable[..., str]) -> None:
    program = PROGRAM.replace("    before =", "    import threading; threading.Timer(1, int).start()\n    before =", 1)
    assert python(program, "libc", KUBENSMNT=f"{world}/mnt").startswith("error|ThreadsExist|outside|")


@rooted
def test_again(world: Path, python: Callable[..., str]) -> None:
    """The pin is a plain file seen from inside; a second call, and one in a fork, is none the worse for it."""
    program = """if True:
        import os, sys
        from kubens.nsenter import join_from_environment
        print(*[join_from_environment().state for _ in range(3)], os.path.ismount(os.environ["KUBENSMNT"]))
        sys.stdout.flush()
        if os.fork() == 0:
            print(join_from_environment())
        else:
            os.wait()
            os.environ["KUBENSMNT"] = sys.argv[1]
            print(type(join_from_environment().error).__name__)
    """
    printed = python(program, f"{world}/other", KUBENSMNT=f"{world}/mnt")
    assert printed == f"joined joined joined False\njoined: {world}/mnt\nNotANamespace\n"


@rooted
def test_ordinary_user(world: Path, python: Callable[..., str]) -> None:
    program = PROGRAM.replace(
        "    status =", "    join_from_environment\n    os.setresuid(65534, 65534, 65534)\n    status =", 1
    ).replace("    before =", "    import ctypes\n    before =", 1)
    assert python(program, "os", KUBENSMNT=f"{world}/mnt").startswith("error|MissingCapability|outside|")


def test_status_for_people() -> None:
    error = NSEnterError(1, "a reason", "/pin")
    assert str(JoinStatus("error", "/pin", error)) == "error: /pin: a reason"
    assert str(JoinStatus("joined", "/pin")) == "joined: /pin"
    assert repr(JoinStatus("joined", "/pin")) == "JoinStatus('joined', '/pin', None)"
