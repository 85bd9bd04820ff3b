"""Whether the generator has a shell in front of it: while something lives, and only then. And that it is compiled."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kubens_machine import configure, install, service, whereabouts
from machine import Machine

Maker = Callable[..., Machine]

LINK = "/run/systemd/system-generators/kubens-generator"
RECORDED = "/usr/lib/systemd/system-generators/.kubens-recorded"
PYTHON = "/usr/bin/python3"
CONFIGURATION = "[MountNamespace]\nWrap=a\n[NetworkNamespace]\nName=blue\nTypes=lo\nServices=b\n"
SLEEP = "ExecStart=/bin/sleep 1000"


def _node(node: Machine) -> Machine:
    """With a member of a mount namespace and one of a network namespace; not booted yet."""
    install(node)
    configure(node, CONFIGURATION)
    for name in ("a", "b"):
        service(node, f"{name}.service", SLEEP)
    return node


def test_there_is_a_shell_while_something_lives(machine: Maker, lower: str) -> None:
    node = _node(machine(lower))
    node.boot()
    node.systemctl("start", "a")
    assert node.run("readlink", LINK).stdout == f"{RECORDED}\n"
    # Of several, each keeps it.
    node.systemctl("start", "b")
    node.systemctl("stop", "kubens")
    assert node.run("readlink", LINK).stdout == f"{RECORDED}\n"
    assert _has_a_shell(node) and _is_made(node, "kubens.service")
    node.systemctl("stop", "b", "netns-lo@blue")
    node.wait_until(lambda: _gone(node))
    assert not _has_a_shell(node) and _is_made(node, "kubens.service")
    node.systemctl("start", "a", "b")
    assert whereabouts(node, "a") == ["inside"]
    assert node.systemctl("is-system-running").stdout == "running\n"
    # A stop and a start at the same time.
    for _ in range(3):
        node.run("sh", "-c", "systemctl stop kubens & systemctl restart b; wait; systemctl start a")
        assert node.run("readlink", LINK).stdout == f"{RECORDED}\n"
    # Whoever is the last.
    node.systemctl("stop", "b", "netns-lo@blue")
    node.wait_until(lambda: node.show("netns_name@blue", "ActiveState") == {"ActiveState": "inactive"})
    assert not _gone(node)
    node.systemctl("stop", "kubens")
    assert _gone(node)


@pytest.mark.parametrize("directory", ["/etc", "/usr/local/lib"])
def test_what_goes_before_the_generator_still_does(machine: Maker, each_lower: str, directory: str) -> None:
    """A mask, or another generator in its place; though systemd goes by /run first."""
    node = _node(machine(each_lower))
    node.boot()
    node.systemctl("start", "a")
    assert _is_made(node, "kubens.service")
    own = f"{directory}/systemd/system-generators/kubens-generator"
    node.link(own, "/dev/null")
    node.daemon_reload()
    assert not _is_made(node, "kubens.service")
    node.run("rm", own)
    node.write(own, "#!/bin/sh\n: >$1/own\nexec /usr/lib/systemd/system-generators/kubens-generator \"$@\"\n", 0o755)
    node.daemon_reload()
    assert _is_made(node, "own") and _is_made(node, "kubens.service")


def _has_a_shell(node: Machine) -> bool:
    """Whether it has one at a reload."""
    node.run("sed", "-i", "s|^python=|: >$1/shell; &|", RECORDED)
    node.daemon_reload()
    return _is_made(node, "shell")


def _is_made(node: Machine, name: str) -> bool:
    return (node.tree / "run/systemd/generator" / name).exists()


def _gone(node: Machine) -> bool:
    return node.run("ls", "-d", "/run/systemd/system-generators", "/run/kubens-generator", check=False).stdout == ""


def test_without_the_source_all_of_it_is_compiled(machine: Maker, lower: str) -> None:
    """For each interpreter: what is not in the bundle would be looked for in vain."""
    node = _node(machine(lower))
    node.write("/etc/kubens/pods/bad.json", "{")
    node.boot()
    node.run("sh", "/usr/lib/kubens/compile-start")
    listed = "cd /run/systemd/generator; find . -type f | sort | xargs cat"
    whole = node.run("sh", "-c", listed).stdout
    node.run("mv", "/usr/lib/kubens/kubens", "/usr/lib/kubens/away")
    node.daemon_reload()
    assert node.run("sh", "-c", listed).stdout == whole
    node.run("mv", "/usr/lib/kubens/away", "/usr/lib/kubens/kubens")


def test_a_boot_without_an_interpreter_is_to_be_seen(machine: Maker, lower: str) -> None:
    node = _node(machine(lower))
    configure(node, "[MountNamespace]\nWrap=a\n")
    node.boot()
    node.run("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/kubens-problems.service")
    assert node.show("kubens-problems", "ActiveState", "ConditionResult") == {
        "ActiveState": "inactive", "ConditionResult": "no"
    }  # fmt: skip
    # Nor where it ran, and found nothing to make.
    configure(node, "[Unknown]\nWrap=a\n")
    node.reboot()
    assert node.systemctl("is-system-running").stdout == "running\n"
    configure(node, "[MountNamespace]\nWrap=a\n")
    node.write(PYTHON, "half of")
    node.reboot()
    node.systemctl("start", "a")
    assert whereabouts(node, "a") == ["host"]
    assert "kubens-problems.service" in node.systemctl("--failed").stdout
    assert "The generator did not run" in node.systemctl("status", "kubens-problems", check=False).stdout
    # Where nothing is configured, nothing is missing; nor where all is off.
    configure(node, "#[MountNamespace]\n#Wrap=a\n")
    node.reboot()
    assert node.systemctl("is-system-running").stdout == "running\n"
    configure(node, "[MountNamespace]\n  Wrap = a\n")
    node.reboot("kubens=0")
    assert node.systemctl("is-system-running").stdout == "running\n"
    node.write("/etc/kubens/pods/shop.json", "{}")
    configure(node, "")
    node.reboot()
    assert "kubens-problems.service" in node.systemctl("--failed").stdout
