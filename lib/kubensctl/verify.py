"""What `systemd-analyze verify` says of the units as they would be, and does not say of them as they are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

from kubens import lookup, names
from kubens.finding import WARNING, Finding
from kubensctl.planning import GENERATED, Planned

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
        own = [path for tree in planned.plan.trees for path in tree.files
               if "/" not in path and names.kind(path) != names.TEMPLATE]  # fmt: skip
        own += [unit for network in planned.networks if planned.is_planned(network) for unit in network.units]
        known = set(_verify(program, present, "")) if present else set()
        said = [line for line in _verify(program, [*own, *present], output) if line not in known]
    return [_finding(line.replace(output, GENERATED)) for line in dict.fromkeys(said)]


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
        return Finding(WARNING, place[1], int(place[2]), "", f"systemd-analyze verify: {place[3]}")
    unit, colon, reason = line.partition(": ")
    if colon and names.kind(unit):
        return Finding(WARNING, "", 0, unit, f"systemd-analyze verify: {reason}")
    return Finding(WARNING, "", 0, "", f"systemd-analyze verify: {line}")
