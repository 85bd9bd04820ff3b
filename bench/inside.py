"""What a node pays and what it saves: run by bench.py in a machine whose kubens.service is active. Writes JSON.

The services are those that bench.py declared, their names are below.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure

GENERATOR = Path("/usr/lib/systemd/system-generators/kubens-generator")
CONFIGURATION = Path("/etc/kubens/services.conf")
ASIDE = Path("/root/aside")

MOUNTS, REMOUNTS = 500, 300
REMOUNT = """
for number in $(seq 0 "$2"); do
    mount -o "remount,size=$((8 + number % 2))k" "/var/lib/$1/mounts/$number"
done
"""


def main() -> None:
    scale = float(sys.argv[1])
    results = {
        "reload": reloads(round(40 * scale)),
        "start": starts(round(100 * scale)),
        "command": commands(round(300 * scale)),
        "pid1": loads(max(round(5 * scale), 1)),
    }
    json.dump(results, sys.stdout)


def reloads(rounds: int) -> list[dict[str, Any]]:
    """daemon-reload without a generator of ours, and with different configurations."""
    declared = CONFIGURATION.read_text()
    rows = []
    for title, configuration in (
        ("2 Wrap, 1 Env", declared),
        ("100 Wrap", "[MountNamespace]\n" + "".join(f"Wrap=many-{n}.service\n" for n in range(100))),
    ):
        CONFIGURATION.write_text(configuration)
        rows.append(row(title, reload_with, reload_without, rounds))
    CONFIGURATION.write_text(declared)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    return [reference("without kubens", rows), *rows]


def reload_with() -> float:
    return measure.seconds(("/usr/bin/systemctl", "daemon-reload"))


def reload_without() -> float:
    GENERATOR.rename(ASIDE)
    try:
        return measure.seconds(("/usr/bin/systemctl", "daemon-reload"))
    finally:
        ASIDE.rename(GENERATOR)


def starts(rounds: int) -> list[dict[str, Any]]:
    """`systemctl start` of services that run /usr/bin/true and are over."""

    def start(unit: str) -> Callable[[], float]:
        return lambda: measure.seconds(("/usr/bin/systemctl", "start", unit))

    titles = {"wrapped": "wrapped", "by-nsenter": "nsenter in its ExecStart=", "by-kubensenter": "Env, kubensenter"}
    rows = [row(title, start(unit), start("plain"), rounds) for unit, title in titles.items()]
    return [reference("not declared", rows), *rows]


def commands(rounds: int) -> list[dict[str, Any]]:
    """What people put in front of a command."""
    pin = "/run/kubens/mnt"

    def run(*command: str, **variables: str) -> Callable[[], float]:
        return lambda: measure.seconds((*command, "/usr/bin/true"), **variables)

    nsenter = run("/usr/bin/nsenter", f"--mount={pin}")
    kubensenter = ("/usr/bin/kubensenter", "--quiet", "--")
    rows = [
        row("kubensenter", run(*kubensenter), nsenter, rounds),
        row("kubensenter, told by $KUBENSMNT", run(*kubensenter, KUBENSMNT=pin), nsenter, rounds),
        row("nothing", run(), nsenter, rounds),
    ]
    return [reference("nsenter --mount=", rows), *rows]


def loads(rounds: int) -> list[dict[str, Any]]:
    """PID 1's CPU time, and the memory it comes to need, while a service mounts and remounts."""
    grown: dict[str, int] = {}

    def load(service: str) -> Callable[[], float]:
        def once() -> float:
            settle()
            memory, start = memory_in_kib(), cpu_seconds()
            subprocess.run(["systemctl", "start", service], check=True)
            in_its_namespace(service, REMOUNT, str(REMOUNTS - 1))
            settle()
            taken = cpu_seconds() - start
            grown.setdefault(service, memory_in_kib() - memory)
            in_its_namespace(service, 'umount "/var/lib/$1/mounts/"*')
            subprocess.run(["systemctl", "stop", service], check=True)
            return taken

        return once

    # The wrapped one first: memory that PID 1 has once been given, it keeps.
    inside, outside, ratio = measure.paired(load("mounts-inside"), load("mounts-outside"), rounds)
    return [
        {"title": "not declared", "seconds": outside, "ratio": 1.0, "memory": grown["mounts-outside"]},
        {"title": "wrapped", "seconds": inside, "ratio": ratio, "memory": grown["mounts-inside"]},
    ]


def in_its_namespace(service: str, script: str, *parameters: str) -> None:
    show = ["systemctl", "show", "--property=MainPID", "--value", service]
    pid = subprocess.run(show, check=True, capture_output=True, encoding="utf-8").stdout.strip()
    enter = ["nsenter", f"--target={pid}", "--mount", "sh", "-euc", script, "sh", service]
    subprocess.run([*enter, *parameters], check=True)


def settle() -> None:
    """Wait until PID 1 rests: after some looks at changed mounts it takes the next a second later."""
    last = -1.0
    while (now := cpu_seconds()) != last:
        last = now
        time.sleep(1.2)


def cpu_seconds() -> float:
    return int(Path("/proc/1/schedstat").read_text().split()[0]) / 1e9


def memory_in_kib() -> int:
    status = Path("/proc/1/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))


def row(title: str, one: Callable[[], float], other: Callable[[], float], rounds: int) -> dict[str, Any]:
    taken, reference_taken, ratio = measure.paired(one, other, max(rounds, 3))
    return {"title": title, "seconds": taken, "reference": reference_taken, "ratio": ratio}


def reference(title: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The row that the others are compared with, of which each of them has a measurement of its own."""
    return {"title": title, "seconds": rows[0]["reference"], "ratio": 1.0}


if __name__ == "__main__":
    main()
