"""`make bench-node`: what the mounts of pods cost, on the host and inside. node_cost.py [--quick] [DOCUMENT PLOT.svg]

Each figure is of a machine of its own. The table goes between two marks in DOCUMENT, or else to the terminal alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import kubens_machine
import node_plot
from machine import CHECKOUT, Machine

BENCH = CHECKOUT / "bench"
# Of `make check-node`: whole nodes, and the oldest and the newest systemd of those.
TREES = CHECKOUT / os.environ.get("KUBENS_NODES", "build/nodes")
RELEASES = ("bookworm", "sid")
PODS, QUICK_PODS = (10, 100, 400), (10,)
PER_SECOND = 20
CHURN = 200
SERVICE = "Type=notify\nTimeoutStartSec=300\nExecStart=/usr/bin/python3 -B /root/bench/pod_mounts.py {} {} {}\n"
UNRELATED = "Type=oneshot\nExecStart=/usr/bin/true\n"
MARKS = re.compile(r"(<!-- made by make bench-node -->\n).*?(<!-- until here -->)", re.DOTALL)
# Of each measurement its title, its unit, and what it is to be multiplied by.
FIGURES = {
    "start": ("PID 1's CPU, while the pods start", "ms", 1e3),
    "churn": (f"PID 1's CPU, while {CHURN} pods are replaced", "ms", 1e3),
    "memory": ("PID 1's memory", "MiB", 1 / 1024),
    "units": ("mount units", "", 1),
    "reload": ("`systemctl daemon-reload`", "ms", 1e3),
    "findmnt": ("`findmnt`", "ms", 1e3),
    "list": ("`systemctl list-units`", "ms", 1e3),
    "service": ("`systemctl start` of an unrelated service", "ms", 1e3),
}
Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the mounts of pods cost a node.")
    parser.add_argument("--quick", action="store_true", help="10 pods alone")
    parser.add_argument("files", nargs="*", type=Path, help="a document with marks for the table, and a plot (SVG)")
    arguments = parser.parse_args()
    pods, rounds = (QUICK_PODS, 3) if arguments.quick else (PODS, 9)
    results = []
    for lower in (str(TREES / release) for release in RELEASES):
        for count in pods:
            for wrapped in (False, True):
                result = measure(lower, count, rounds, wrapped)
                results.append(result)
                print(describe(result), file=sys.stderr, flush=True)
    print(table(results))
    if arguments.files:
        document, plot = arguments.files
        text = document.read_text(encoding="utf-8")
        made = MARKS.sub(lambda match: f"{match[1]}{conditions()}\n\n{table(results)}\n{match[2]}", text)
        document.write_text(made, encoding="utf-8")
        plot.write_text(node_plot.draw(results), encoding="utf-8")


def measure(lower: str, pods: int, rounds: int, wrapped: bool) -> Result:
    with Machine(lower) as node:
        kubens_machine.install(node)
        if wrapped:
            kubens_machine.configure(node, "[MountNamespace]\nWrap=pods.service\n")
        kubens_machine.service(node, "pods.service", SERVICE.format(pods, PER_SECOND, CHURN))
        kubens_machine.service(node, "unrelated.service", UNRELATED)
        node.install(BENCH, "/root/bench")
        node.boot()
        version = node.run("systemctl", "--version").stdout.split()[1]
        run = node.run("/usr/bin/python3", "-B", "/root/bench/inside_node.py", str(rounds), timeout=600)
    return {"systemd": version, "pods": pods, "wrapped": wrapped, **json.loads(run.stdout)}


def conditions() -> str:
    cpu = subprocess.run(["lscpu"], check=True, capture_output=True, encoding="utf-8").stdout
    model = next((line.partition(":")[2].strip() for line in cpu.splitlines() if line.startswith("Model name")), "")
    return f"Linux {platform.release()}, {model}; host → wrapped."


def describe(result: Result) -> str:
    place = "wrapped" if result["wrapped"] else "host"
    figures = ", ".join(f"{name} {value(result, name)}" for name in FIGURES)
    return f"systemd {result['systemd']}, {result['pods']} pods, {place}: {figures}"


def table(results: list[Result]) -> str:
    """In Markdown: one row a measurement, one column a release and number of pods, in each host → wrapped."""
    columns = list(dict.fromkeys((result["systemd"], result["pods"]) for result in results))
    by = {(result["systemd"], result["pods"], result["wrapped"]): result for result in results}
    lines = [
        "| | " + " | ".join(f"systemd {version}, {pods} pods" for version, pods in columns) + " |",
        "| --- |" + " --: |" * len(columns),
    ]
    for name, (title, unit, _) in FIGURES.items():
        cells = [f"{value(by[(*column, False)], name)} → {value(by[(*column, True)], name)}" for column in columns]
        lines.append(f"| {title}{f', {unit}' if unit else ''} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def value(result: Result, name: str) -> str:
    scaled = result[name] * FIGURES[name][2]
    return f"{scaled:.0f}" if scaled >= 100 or name == "units" else f"{scaled:.1f}"


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("Measuring takes root: it mounts, and boots machines.")
    main()
