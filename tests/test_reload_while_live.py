"""What is live stays defined: reloads while a namespace lives, each followed by a stop and a reload."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kubens_machine import configure, install, service, whereabouts
from machine import Machine

Maker = Callable[..., Machine]
PYTHON, LIBRARY = "/usr/bin/python3", "/usr/lib/kubens"


def _live(node: Machine) -> Machine:
    """A machine with a living namespace and two members in it."""
    install(node)
    configure(node, "[MountNamespace]\nWrap=a b\n")
    for name in ("a", "b", "c"):
        service(node, f"{name}.service", "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep 1000")
    node.boot()
    node.systemctl("start", "a", "b")
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
    return node


def _stop_and_reload(node: Machine, *units: str) -> None:
    """The way out: the configuration as it is now holds; `units` are then started."""
    node.systemctl("stop", "kubens")
    node.daemon_reload()
    node.systemctl("reset-failed")
    node.systemctl("start", *units)


def test_a_removed_member_is_one_until_the_stop(machine: Maker) -> None:
    node = _live(machine())
    configure(node, "[MountNamespace]\nWrap=a\n")
    node.daemon_reload()
    node.systemctl("restart", "b")
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
    node.systemctl("restart", "kubens")
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
    _stop_and_reload(node, "a", "b")
    assert whereabouts(node, "a", "b") == ["inside", "host"]


def test_a_namespace_without_a_section_lives_until_the_stop(machine: Maker, lower: str) -> None:
    node = _live(machine(lower))
    node.run("rm", "/etc/kubens/services.conf")
    node.daemon_reload()
    node.systemctl("restart", "b")
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
    node.daemon_reload()
    node.systemctl("restart", "a", "b")
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
    _stop_and_reload(node, "a", "b")
    assert whereabouts(node, "a", "b") == ["host", "host"]
    assert node.show("kubens", "LoadState") == {"LoadState": "not-found"}
    assert not [path for path in node.mounts() if path.startswith("/run/kubens")]


def test_a_broken_configuration_changes_nothing_that_lives(machine: Maker) -> None:
    node = _live(machine())
    for content in ("[MountNamespace\n", "\0\0\0", "[MountNamespace]\nName=../kubens\n"):
        configure(node, content)
        node.daemon_reload()
        node.systemctl("restart", "a", "b")
        assert whereabouts(node, "a", "b") == ["inside", "inside"], content
    configure(node, "[MountNamespace]\nWrap=a b c\n")
    node.daemon_reload()
    node.systemctl("start", "c")
    assert whereabouts(node, "a", "b", "c") == ["inside", "inside", "inside"]


def test_a_member_made_unwrappable_never_runs_outside(machine: Maker, lower: str) -> None:
    node = _live(machine(lower, kmsg=True))
    pid = node.main_pid("b")
    node.write("/etc/systemd/system/b.service.d/tmp.conf", "[Service]\nPrivateTmp=yes\n")
    node.daemon_reload()
    assert node.main_pid("b") == pid
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
    assert "/etc/systemd/system/b.service.d/tmp.conf:2: b.service: PrivateTmp=yes" in node.kmsg()

    assert node.systemctl("restart", "b", check=False).returncode
    assert node.systemctl("start", "b", check=False).returncode
    node.systemctl("restart", "a")
    assert whereabouts(node, "a", "b") == ["inside", "failed"]
    assert "/etc/systemd/system/b.service.d/tmp.conf:2: b.service: PrivateTmp=yes" in node.journal("b")
    assert "systemctl stop kubens.service" in node.systemctl("status", "b", check=False).stdout

    node.run("rm", "/etc/systemd/system/b.service.d/tmp.conf")
    node.daemon_reload()
    node.systemctl("start", "b")
    assert whereabouts(node, "a", "b") == ["inside", "inside"]


def test_after_the_stop_an_unwrappable_member_keeps_all_outside(machine: Maker) -> None:
    node = _live(machine())
    node.write("/etc/systemd/system/b.service.d/tmp.conf", "[Service]\nPrivateTmp=yes\n")
    node.daemon_reload()
    _stop_and_reload(node, "a", "b")
    assert whereabouts(node, "a", "b") == ["host", "elsewhere"]  # b has a mount namespace of its own
    assert node.show("b", "PrivateTmp") == {"PrivateTmp": "yes"}


def test_a_new_member_that_cannot_be_one_runs_as_it_did(machine: Maker) -> None:
    node = _live(machine())
    service(node, "c.service", "ExecStart=/bin/sleep 1000\nPrivateTmp=yes")
    configure(node, "[MountNamespace]\nWrap=a b c\n")
    for _ in range(2):
        node.daemon_reload()
        node.systemctl("restart", "a", "c")
        assert whereabouts(node, "a", "b", "c") == ["inside", "inside", "elsewhere"]


def test_a_second_namespace_comes_to_a_living_one(machine: Maker) -> None:
    node = _live(machine())
    configure(node, "[MountNamespace]\nName=blue\nWrap=c\n", "blue.conf")
    node.daemon_reload()
    node.systemctl("start", "c")
    node.systemctl("restart", "a")
    assert whereabouts(node, "a", "b", "c") == ["inside", "inside", "elsewhere"]
    assert whereabouts(node, "a", "b", "c", name="blue") == ["elsewhere", "elsewhere", "inside"]
    node.systemctl("stop", "kubens")
    assert whereabouts(node, "a", "b", "c", name="blue") == ["inactive", "inactive", "inside"]
    node.daemon_reload()
    node.systemctl("restart", "c")
    assert whereabouts(node, "c", name="blue") == ["inside"]


@pytest.mark.parametrize("file", ["blue.conf", "zebra.conf"])
def test_a_member_changes_its_namespace_at_the_stop(machine: Maker, file: str) -> None:
    """Whichever section the generator reads first."""
    node = _live(machine())
    configure(node, "[MountNamespace]\nWrap=a\n")
    configure(node, "[MountNamespace]\nName=blue\nWrap=b c\n", file)
    node.daemon_reload()
    node.systemctl("restart", "a", "b")
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
    _stop_and_reload(node, "a", "b", "c")
    assert whereabouts(node, "a", "b", "c", name="blue") == ["elsewhere", "inside", "inside"]


def test_a_masked_namespace_lives_until_the_stop(machine: Maker, lower: str) -> None:
    node = _live(machine(lower))
    node.systemctl("mask", "kubens")
    node.systemctl("restart", "b")
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
    _stop_and_reload(node, "a", "b")
    assert whereabouts(node, "a", "b") == ["host", "host"]
    assert not [path for path in node.mounts() if path.startswith("/run/kubens")]
    node.systemctl("unmask", "kubens")
    node.systemctl("restart", "a", "b")
    assert whereabouts(node, "a", "b") == ["inside", "inside"]


def test_what_never_lived_is_not_kept(machine: Maker) -> None:
    node = _live(machine())
    node.systemctl("stop", "kubens")
    node.write("/etc/systemd/system/kubens.service.d/condition.conf", "[Unit]\nConditionPathExists=/etc/nothing\n")
    node.daemon_reload()
    node.systemctl("start", "kubens")
    assert whereabouts(node, "kubens") == ["inactive"]
    configure(node, "")
    _stop_and_reload(node, "a")
    assert whereabouts(node, "a") == ["host"]


# The interpreter cannot run: each of these does to a node what a half-done upgrade may do.


def _nothing_there(node: Machine) -> None:
    node.run("rm", PYTHON)


def _not_executable(node: Machine) -> None:
    node.write(PYTHON, "half of")


def _always_fails(node: Machine) -> None:
    node.write(PYTHON, "#!/bin/sh\nexit 1\n", 0o755)


def _does_nothing(node: Machine) -> None:
    node.write(PYTHON, "#!/bin/sh\n", 0o755)


def _no_library(node: Machine) -> None:
    node.run("mv", LIBRARY, f"{LIBRARY}.away")


BROKEN = (_nothing_there, _not_executable, _always_fails, _does_nothing, _no_library)


def _mend(node: Machine) -> None:
    node.run("cp", "-Pf", f"{PYTHON}.good", PYTHON)
    node.run("sh", "-c", f"! test -e {LIBRARY}.away || mv {LIBRARY}.away {LIBRARY}")


def test_without_an_interpreter_members_stay_inside(machine: Maker, lower: str) -> None:
    node = _live(machine(lower, kmsg=True))
    node.run("cp", "-P", PYTHON, f"{PYTHON}.good")
    configure(node, "[MountNamespace]\nWrap=a b c\n")
    node.daemon_reload()
    node.systemctl("start", "c")
    for number, harm in enumerate(BROKEN, 1):
        harm(node)
        node.daemon_reload()
        node.systemctl("restart", "b", "c")
        assert whereabouts(node, "a", "b", "c") == ["inside", "inside", "inside"], harm.__name__
        assert node.kmsg().count("python3 did not run") == number
        _mend(node)

    _not_executable(node)
    node.daemon_reload()
    node.systemctl("restart", "kubens")
    assert whereabouts(node, "a", "b", "c") == ["inside", "inside", "inside"]
    _stop_and_reload(node, "a", "b", "c")
    assert whereabouts(node, "a", "b", "c") == ["host", "host", "host"]
    assert not [path for path in node.mounts() if path.startswith("/run/kubens")]
    _mend(node)
    node.daemon_reload()
    node.systemctl("restart", "a", "b", "c")
    assert whereabouts(node, "a", "b", "c") == ["inside", "inside", "inside"]


def test_without_an_interpreter_the_last_good_units_are_used(machine: Maker) -> None:
    node = _live(machine())
    node.write("/etc/systemd/system/b.service.d/zzzz.conf", "[Service]\nEnvironment=LATE=yes\n")
    node.daemon_reload()
    node.systemctl("restart", "b")
    node.run("rm", "/etc/systemd/system/b.service.d/zzzz.conf")
    service(node, "b.service", "ExecStart=/bin/sleep 2000")
    node.daemon_reload()
    node.systemctl("restart", "b")
    _not_executable(node)
    node.daemon_reload()
    node.systemctl("restart", "b")
    assert node.read(f"/proc/{node.main_pid('b')}/cmdline").split("\0")[1] == "2000"
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
