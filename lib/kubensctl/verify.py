"""What `systemd-analyze verify` says of the units as they would be, and does not say of them as they are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

from kubens import inventory, lookup, names
from kubens.finding import ERROR, WARNING, Finding
from kubens.lookup import Lookup
from kubens.units import Units
from kubensctl.planning import GENERATED, Planned, search_path

# What a boot starts.
_BOOT = "default.target"
# systemd's words for a cycle: first in three lines and more, since 258 in one; and for what it does about it.
_CYCLE = re.compile(r"Found ordering cycle|Found dependency on")
_BREAKS = re.compile(r"to break ordering cycle|break cycle starting|order(ing)? is cyclic")
# On a node with hundreds of units, one that hangs must not hang us.
_TIMEOUT = 60


def findings(planned: Planned, present: Sequence[str]) -> list[Finding]:
    """present: the units that the plan is about and that are there already."""
    program = shutil.which("systemd-analyze")
    if program is None or not planned.plan.trees or planned.switched_off:
        return []
    with tempfile.TemporaryDirectory(prefix="kubensctl-") as output:
        if planned.write(output):
            return []
        # A template says nothing until it has an instance.
        present = [unit for unit in dict.fromkeys(present) if names.kind(unit) != names.TEMPLATE]
        own = [name for tree in planned.plan.trees for name in tree.units if names.kind(name) != names.TEMPLATE]
        own += [unit for network in planned.networks if planned.is_planned(network) for unit in network.makers]
        known = set(_verify(program, [_BOOT, *present], ""))
        said = _verify(program, [_BOOT, *own, *present], output)
    cycles, others = _part(said)
    # Of members that are early the plan has spoken.
    ours = [cycle for cycle in cycles if not cycle.isdisjoint(own) and cycle.isdisjoint(planned.inventory.early)]
    found = [_cycle(planned, cycle, own, present) for cycle in ours]
    others = [line.replace(output, GENERATED) for line in dict.fromkeys(others) if line not in known]
    return [*found, *map(_finding, others)]


def _part(lines: list[str]) -> tuple[list[set[str]], list[str]]:
    """The ordering cycles that systemd finds, as the units in each, and the other lines.

    For one that it finds twice, from either end, it has different words.
    """
    cycles: list[set[str]] = []
    others = []
    for line in lines:
        if _CYCLE.search(line):
            if "Found ordering" in line or not cycles:
                cycles.append(set())
            cycles[-1].update(re.findall(r"(\S+)/start", line))
        elif not _BREAKS.search(line):
            others.append(line)
    return [cycle for number, cycle in enumerate(cycles) if cycle not in cycles[:number]], others


def _cycle(planned: Planned, cycle: set[str], own: Sequence[str], present: Sequence[str]) -> Finding:
    """Told of the unit by which our order becomes a circle, where it says so."""
    units = Units(Lookup(planned.root, search_path()), frozenset(("After", "Before")))
    others = sorted(cycle.difference(own, present, inventory.EARLY)) or sorted(cycle.intersection(present))
    unit = units.load(others[0]) if others else None
    reason = (
        f"is in an ordering cycle of {', '.join(sorted(cycle))}: systemd would leave one of them out, at each boot "
        "another; order it otherwise"
    )
    for key in ("After", "Before"):
        for setting in unit.unit.get(key, ()) if unit else ():
            if not cycle.isdisjoint(setting.value.split()):
                return Finding(ERROR, setting.file, setting.line, others[0], f"{key}={setting.value} {reason}")
    return Finding(ERROR, unit.path if unit else "", 0, others[0] if others else "", reason)


def _verify(program: str, unit_names: list[str], output: str) -> list[str]:
    """The lines that verify writes, with the generator's output where systemd would have it: before /usr/local/lib."""
    place = lookup.SEARCH_PATH.index("/usr/local/lib/systemd/system")
    path = [*lookup.SEARCH_PATH[:place], output, *lookup.SEARCH_PATH[place:]]
    environment = {
        **os.environ, "SYSTEMD_UNIT_PATH": ":".join(filter(None, path)), "SYSTEMD_LOG_LEVEL": "warning",
        "SYSTEMD_LOG_TARGET": "console", "SYSTEMD_LOG_COLOR": "0", "SYSTEMD_LOG_LOCATION": "0", "LC_ALL": "C",
    }  # fmt: skip
    try:
        done = subprocess.run(
            [program, "verify", "--man=no", *unit_names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in done.stdout.splitlines() if line]


def _finding(line: str) -> Finding:
    """FILE:LINE: REASON, UNIT: REASON or just a reason."""
    place = re.match(r"(/[^:]+):(\d+): (.*)", line)
    if place:
        return Finding(WARNING, place[1], int(place[2]), "", f"systemd-analyze verify: {place[3]}; mend that")
    unit, colon, reason = line.partition(": ")
    if colon and names.kind(unit):
        return Finding(WARNING, "", 0, unit, f"systemd-analyze verify: {reason}; mend that")
    return Finding(WARNING, "", 0, "", f"systemd-analyze verify: {line}; mend that")
