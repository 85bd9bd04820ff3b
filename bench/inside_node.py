"""What the mounts of pods cost the rest of a node: run by node_cost.py in a machine. Writes JSON.

The pods are those of pods.service, which does not run yet.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import measure
from inside import cpu_seconds, memory_in_kib, settle

REPLACED = Path("/run/replaced")


def main() -> None:
    rounds = int(sys.argv[1])
    settle()
    before = cpu_seconds()
    subprocess.run(["systemctl", "start", "pods"], check=True)
    settle()
    started = cpu_seconds()
    show = ["systemctl", "show", "--property=MainPID", "--value", "pods"]
    os.kill(int(subprocess.run(show, check=True, capture_output=True).stdout), signal.SIGUSR1)
    while not REPLACED.exists():
        time.sleep(0.1)
    settle()
    churned = cpu_seconds()
    results: dict[str, Any] = {
        "start": started - before,
        "churn": churned - started,
        "memory": memory_in_kib(),
        "units": units(),
        "mounts": len(Path("/proc/1/mountinfo").read_text().splitlines()),
    }
    for name, command in {
        "reload": ("/usr/bin/systemctl", "daemon-reload"),
        "findmnt": ("/usr/bin/findmnt",),
        "list": ("/usr/bin/systemctl", "list-units", "--no-pager"),
        "service": ("/usr/bin/systemctl", "start", "unrelated"),
    }.items():
        results[name] = statistics.median(measure.seconds(command) for _ in range(rounds))
    json.dump(results, sys.stdout)


def units() -> int:
    """How many mount units PID 1 has."""
    command = ["systemctl", "list-units", "--all", "--type=mount", "--no-legend", "--plain", "--no-pager"]
    return len(subprocess.run(command, check=True, capture_output=True).stdout.splitlines())


if __name__ == "__main__":
    main()
