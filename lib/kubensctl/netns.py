"""`kubensctl netns`: network namespaces by name, and commands in one of them or in all of a service's."""

from __future__ import annotations

import argparse
import errno
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from kubens import names, netns, netns_units
from kubens.files import Root
from kubens.nsenter import Kind, NSEnter, NSEnterError
from kubensctl import manager, namespaces, planning, processes, terminal
from kubensctl.failure import Failure
from kubensctl.members import INSIDE
from kubensctl.networks import Network
from kubensctl.terminal import GREEN, GREY, PLAIN, RED, YELLOW, Painted
from kubensctl.verbs import Verbs

DIRECTORY = "/run/netns"
# Every kind that a service may have of its own.
_KINDS: tuple[Kind, ...] = ("user", "cgroup", "ipc", "uts", "net", "pid", "mnt", "time")


def declare(verbs: Verbs) -> None:
    group = verbs.group("netns", "list network namespaces, save the rules of one, and run commands inside")
    group.add("list", "list the network namespaces, whoever made them", "  kubensctl netns list", run_list)
    save = group.add(
        "save", "save the live nftables rules of a namespace, to be loaded at its next start",
        "  kubensctl netns save blue", run_save,
    )  # fmt: skip
    save.add_argument("name", metavar="NAME", help="the network namespace")
    inside = group.add(
        "exec", "run a command in a network namespace, or in all namespaces of a service",
        """\
  kubensctl netns exec blue ip address
  kubensctl netns exec transmission.service

A namespace is entered as ip netns exec does it, with the files of /etc/netns/NAME in /etc.
Exit status: that of the command.""",
        run_exec,
    )  # fmt: skip
    inside.add_argument("name", metavar="NAME", help="a network namespace, or a service that runs")
    inside.add_argument(
        "command", metavar="COMMAND", nargs=argparse.REMAINDER, help="the command with its arguments; a shell if none"
    )


def run_list(arguments: argparse.Namespace) -> int:
    bus = manager.connect()
    found = namespaces.named(planning.make(Root()), bus, None)
    rows = [_row(network) for network in found if isinstance(network, Network)]
    known = {row[0][0] for row in rows}
    rows += [_foreign(name) for name in _pinned() if name not in known]
    out = terminal.standard_output()
    if not rows:
        out.line("There is no network namespace. To begin: man kubens-netns")
        return 0
    if not processes.all_can_be_seen():
        terminal.standard_error().line("kubensctl: only root can see which namespace each process is in")
    out.table([[(title, GREY) for title in ("NAME", "STATE", "TYPES", "UNITS INSIDE")], *rows])
    return 0


def _row(network: Network) -> list[Painted]:
    inside = [member.unit for member in network.members if member.state == INSIDE]
    state = ("active", GREEN) if network.active else ("inactive", RED if network.notes else PLAIN)
    if network.active and not network.is_well:
        state = ("degraded", YELLOW)
    types = " ".join(network.types) or "-"
    return [(network.name, PLAIN), state, (types, PLAIN), _units([*inside, *(network.others or ())])]


def _foreign(name: str) -> list[Painted]:
    inode = processes.pinned(f"{DIRECTORY}/{name}")
    state = "not by kubens" if inode else "no namespace here"
    units = processes.units_inside("net", inode) if inode else []
    return [(terminal.printable(name), PLAIN), (state, GREY), ("-", PLAIN), _units(units)]


def _units(units: Sequence[str]) -> Painted:
    return (" ".join(units) or ("-" if processes.all_can_be_seen() else "?")), PLAIN


def _pinned() -> list[str]:
    try:
        return sorted(os.listdir(DIRECTORY))
    except OSError:
        return []


def run_save(arguments: argparse.Namespace) -> int:
    name = arguments.name
    problem = netns.bad_name(name)
    if problem:
        raise Failure(f"{name} {problem}")
    if not processes.pinned(f"{DIRECTORY}/{name}"):
        raise Failure(f"no network namespace {name} lives: kubensctl netns list")
    _require_root()
    done = subprocess.run(
        [netns_units.RUNNER, "save", name],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
    )
    # Its messages are made for the journal, with their priority in front.
    sys.stderr.write(re.sub(r"^<\d>", "", done.stderr, flags=re.MULTILINE))
    return 1 if done.returncode else 0


def run_exec(arguments: argparse.Namespace) -> int:
    name, command = arguments.name, _command(arguments.command)
    _require_root()
    if not names.kind(name) and processes.pinned(f"{DIRECTORY}/{name}"):
        # Not setns alone: names are to be resolved as they are by the services that have joined.
        _execute(["ip", "netns", "exec", name, *command])
    unit = name if names.kind(name) else name + ".service"
    if not names.kind(unit):
        raise Failure(f"{name} is neither a network namespace nor a unit: kubensctl netns list")
    pid = processes.main_process(manager.connect().states([unit])[unit])
    if not pid:
        what = "" if names.kind(name) else f"no network namespace {name} lives, and "
        raise Failure(f"{what}{unit} has no process whose namespaces could be entered")
    kinds = [kind for kind in _KINDS if _differs(pid, kind)]
    if not kinds:
        _execute(command)  # all that it has is shared with us
    try:
        _execute(NSEnter.for_pid(pid, kinds).command(command[0], *command[1:]).args)
    except NSEnterError as error:
        raise Failure(f"{unit}: {error}") from None


def _require_root() -> None:
    if not processes.all_can_be_seen():
        raise Failure("only root can enter namespaces of others")


def _command(words: list[str]) -> list[str]:
    """argparse leaves the -- in that may stand in front."""
    words = words[1:] if words[:1] == ["--"] else words
    return words or [os.environ.get("SHELL") or "/bin/sh"]


def _differs(pid: int, kind: str) -> bool:
    """Whether a process is in another namespace of this kind than we."""
    return processes.namespace_of(pid, kind) not in (0, processes.namespace_of(os.getpid(), kind))


def _execute(command: Sequence[str]) -> NoReturn:
    """Become the command. Raises Failure where it cannot be executed."""
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        reason = "not found" if error.errno == errno.ENOENT else error.strerror
        raise Failure(f"{command[0]}: {reason}") from None
