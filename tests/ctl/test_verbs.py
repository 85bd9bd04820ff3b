"""Every verb on every release: piped, on a terminal, without root, with a broken configuration, without D-Bus."""

from __future__ import annotations

import re

import pytest

from ctl import Maker, Node
from kubens_machine import configure, service

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
CONFIGURATION = "[MountNamespace]\nWrap=a\n[NetworkNamespace]\nName=blue\nTypes=lo\nServices=c\n"
OWN = "/etc/kubens/50-kubensctl.conf"
# Each with what its output has to hold.
VERBS = {
    "--version": "kubensctl ",
    "--help": "Is it working?",
    "status": "● kubens - mount namespace",
    "status blue --json": '"kind": "network"',
    "check": "2 namespaces, 4 services: nothing to mend.",
    "plan": "ExecStart=",
    "explain a": "Outcome: wrapped",
    "explain c": "Outcome: joins",
    "wrap --dry-run b": "+Wrap=own.service b.service",
    "env --dry-run b": "+Env=b.service",
    "release --dry-run own": "-Wrap=own",
    "join --dry-run blue b": "+Services=joined.service b.service",
    "leave --dry-run blue joined": "-Services=joined",
    "netns list": "blue  active  lo",
    "selinux": "; SELinux' policy lacks nothing",
}
NOT_WRITABLE = "kubensctl: /etc/kubens cannot be written to; try as root\n"


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", text).replace("\r\n", "\n")


def _node(machine: Maker, lower: str) -> Node:
    ctl = Node(machine, lower)
    configure(ctl.machine, CONFIGURATION)
    ctl.machine.write(OWN, "[MountNamespace]\nWrap=own\n\n[NetworkNamespace]\nName=blue\nServices=joined\n")
    for name in ("a", "b", "c", "own", "joined"):
        service(ctl.machine, f"{name}.service", "ExecStart=/bin/sleep 1000")
    ctl.machine.boot()
    ctl.machine.systemctl("start", "a", "c", "own", "joined")
    return ctl


@pytest.mark.needs("ip")
def test_every_verb(machine: Maker, lower: str) -> None:
    ctl = _node(machine, lower)
    for words, expected in VERBS.items():
        done = ctl.ctl(*words.split())
        assert (done.returncode, done.stderr) == (0, ""), words
        assert expected in done.stdout, words
        assert "\x1b" not in done.stdout, words
        shown = ctl.on_terminal(*words.split())
        assert shown.returncode == 0, words
        # The same words, in lines that fit.
        assert _plain(shown.stdout).split() == done.stdout.split() or words == "--help", words
        if words.endswith("run b") or words.startswith("--"):
            continue  # nothing that somebody else could not see
        plain = ctl.ctl(*words.split(), front=NOBODY)
        assert (plain.returncode, "Traceback" in plain.stderr) == (0, False), (words, plain.stderr)
        only_root = {"status": True, "status blue --json": True, "netns list": True}.get(words, False)
        assert ("only root can see" in plain.stderr) is only_root, (words, plain.stderr)

    # changes by somebody who may not
    for words in ("wrap b", "env b", "release own", "join blue b", "leave blue joined"):
        done = ctl.ctl(*words.split(), front=NOBODY)
        assert (done.returncode, done.stderr) == (1, "kubensctl: /etc/kubens cannot be written to; try as root\n"), (
            words
        )

    # a broken configuration: everything that was said still is, and what is wrong besides
    configure(ctl.machine, "[MountNamespace]\nWrap=a\n[Broken\n", "zz.conf")
    assert ctl.ctl("status").returncode == 3
    assert "The configuration has errors: kubensctl check" in ctl.ctl("status").stdout
    done = ctl.ctl("check")
    assert (done.returncode, "/etc/kubens/zz.conf:3:1: error" in done.stdout) == (1, True)
    done = ctl.ctl("plan")
    assert (done.returncode, "kubensctl: error: /etc/kubens/zz.conf:3: " in done.stderr) == (1, True)
    assert ctl.ctl("explain", "a").returncode == 0
    assert ctl.ctl("wrap", "--dry-run", "b").returncode == 0
    ctl.machine.run("rm", "/etc/kubens/zz.conf")

    # a manager that cannot be asked
    ctl.machine.systemctl("stop", "dbus.socket", "dbus.service")
    for words in ("status", "status --json", "netns list", "netns exec c true"):
        done = ctl.ctl(*words.split())
        assert (done.returncode, done.stdout) == (1, ""), words
        assert re.fullmatch(r"kubensctl: the system bus does not answer, [^\n]*\n", done.stderr), words
    for words in ("check", "plan", "explain a", "wrap --dry-run b", "netns exec blue true"):
        assert ctl.ctl(*words.split()).returncode == 0, words
    before = ctl.machine.read(OWN)
    for words in ("wrap b", "env b", "release own", "join blue b", "leave blue joined"):
        done = ctl.ctl(*words.split())
        assert (done.returncode, "the system bus does not answer" in done.stderr) == (1, True), words
    assert ctl.machine.read(OWN) == before
