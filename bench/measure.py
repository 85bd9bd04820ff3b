"""Measuring commands beside each other: everything here is a ratio of two runs that followed one another.

A machine is never as quiet as one would like. What disturbs one run disturbs its neighbour about as much, so the
median of such ratios says more than the ratio of two means.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable

Command = tuple[str, ...]


def seconds(command: Command, **variables: str) -> float:
    """How long a command takes from its start to its end, with these environment variables added.

    What it writes is dropped. Raises CalledProcessError.
    """
    environment = {**os.environ, **variables}
    start = time.perf_counter()
    pid = os.posix_spawn(command[0], command, environment, file_actions=_QUIET)
    status = os.waitpid(pid, 0)[1]
    elapsed = time.perf_counter() - start
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), command)
    return elapsed


_QUIET = [(os.POSIX_SPAWN_OPEN, descriptor, "/dev/null", os.O_RDWR, 0) for descriptor in (1, 2)]


def paired(one: Callable[[], float], other: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """Medians over the rounds, each of which runs both: what one took, what the other took, and one by the other."""
    ones, others, ratios = [], [], []
    for number in range(rounds):
        # Whoever runs second finds warm caches; so they take turns.
        if number % 2:
            second, first = other(), one()
        else:
            first, second = one(), other()
        ones.append(first)
        others.append(second)
        ratios.append(first / second)
    return statistics.median(ones), statistics.median(others), statistics.median(ratios)


def instructions(command: Command) -> int | None:
    """What a command and its children execute outside of the kernel: the same number at every run, whatever the load.

    None where valgrind is missing.
    """
    if not shutil.which("valgrind"):
        return None
    valgrind = ["valgrind", "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=/dev/null"]
    run = subprocess.run([*valgrind, *command], check=True, capture_output=True, encoding="utf-8")
    return sum(int(count) for count in re.findall(r"Collected : (\d+)", run.stderr))


def peak_memory(command: Command) -> int | None:
    """The largest resident set of a command and its children, in KiB; None where time(1) is missing.

    Not getrusage(2) from here: a child inherits the peak of the process that it was made from.
    """
    if not os.path.exists("/usr/bin/time"):
        return None
    run = subprocess.run(["/usr/bin/time", "-f", "%M", *command], check=True, capture_output=True, encoding="utf-8")
    return int(run.stderr.splitlines()[-1])
