"""`make bench`: what the generator costs, what a node pays, and what it saves.

bench.py [--quick] [--peers TREE] [PLOT.png]

Every "×" is the median of ratios of two runs that followed one another; see measure.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import kubens_machine
import plot
from machine import CHECKOUT, Machine

BENCH = CHECKOUT / "bench"
Rows = list[dict[str, Any]]

# The services that inside.py starts, and their [Service] sections.
TRUE = "Type=oneshot\nExecStart={}/usr/bin/true\n"
MOUNTING = "Type=notify\nEnvironment=STANDIN_MOUNTS=500\nExecStart=/usr/bin/{}\n"
SERVICES = {
    "plain": TRUE.format(""),
    "wrapped": TRUE.format(""),
    "by-nsenter": TRUE.format("/usr/bin/nsenter --mount=/run/kubens/mnt "),
    "by-kubensenter": TRUE.format("/usr/bin/kubensenter --quiet -- "),
    "mounts-inside": MOUNTING.format("mounts-inside"),
    "mounts-outside": MOUNTING.format("mounts-outside"),
}
DECLARED = "[MountNamespace]\nWrap=wrapped.service mounts-inside.service\nEnv=by-kubensenter.service\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what kubens costs and what it saves.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs, and no more than 100 services")
    parser.add_argument("--peers", type=Path, help="a tree of Debian 13 with other generators to measure beside")
    parser.add_argument("plot", nargs="?", type=Path, help="where to write a plot of the same run (PNG)")
    arguments = parser.parse_args()
    scale = 0.1 if arguments.quick else 1.0
    print(f"{conditions()}\nMedians of paired runs; × is against the first line of each group.")
    generator = measure_generator("generator.py", str(scale))
    show_generator(generator)
    peers = measure_generator("peers.py", str(scale), str(arguments.peers.resolve())) if arguments.peers else []
    if peers:
        show("Other generators, in Debian 13, against its python3 -I -S -c pass", peers)
    node = measure_node(scale)
    show("systemctl daemon-reload", node["reload"])
    show("systemctl start, of a service that runs /usr/bin/true", node["start"])
    show("In front of /usr/bin/true", node["command"])
    show("PID 1's CPU, and the memory it grows by, for 500 mounts and 300 remounts of a service", node["pid1"])
    if arguments.plot:
        write_plot(arguments.plot, plot.draw(generator, peers, node["pid1"], conditions()))


def conditions() -> str:
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    system = release.get("PRETTY_NAME", "Linux").strip("\"'")
    version = subprocess.run(["systemctl", "--version"], check=True, capture_output=True, encoding="utf-8").stdout
    python = subprocess.run(["/usr/bin/python3", "-V"], check=True, capture_output=True, encoding="utf-8").stdout
    return f"{system}, systemd {version.split()[1]}, {python.strip()}, Linux {platform.release()}"


def measure_generator(program: str, *arguments: str) -> Rows:
    with tempfile.TemporaryDirectory(prefix="kubens-bench-") as scratch:
        # What is mounted there goes with the namespace.
        unshare = ["unshare", "--mount", "--propagation=private", "/usr/bin/python3", "-B", f"{BENCH}/{program}"]
        run = subprocess.run([*unshare, scratch, *arguments], check=True, stdout=subprocess.PIPE)
    rows: Rows = json.loads(run.stdout)
    return rows


def measure_node(scale: float) -> dict[str, Rows]:
    with Machine() as node:
        kubens_machine.install(node)
        kubens_machine.configure(node, DECLARED)
        for name, text in SERVICES.items():
            kubens_machine.service(node, f"{name}.service", text)
        for number in range(100):
            kubens_machine.service(node, f"many-{number}.service", "ExecStart=/usr/bin/true")
        for name in ("mounts-inside", "mounts-outside"):
            node.install(CHECKOUT / "tests/nodes/daemon", f"/usr/bin/{name}")
        node.install(BENCH, "/root/bench")
        node.boot()
        run = node.run("/usr/bin/python3", "-B", "/root/bench/inside.py", str(scale), timeout=1200)
    results: dict[str, Rows] = json.loads(run.stdout)
    return results


def show_generator(rows: Rows) -> None:
    print(f"\n{'The generator, as systemd runs it':48}{'ms':>9}{'×':>8}{'goal':>8}{'instr. ×':>10}{'mem. ×':>8}")
    print(f"  {'python3 -I -S -c pass':46}{rows[0]['bare_seconds'] * 1e3:9.1f}{1:8.2f}{'':8}{1:10.2f}{1:8.2f}")
    for row in rows:
        line = f"  {row['title']:46}{row['seconds'] * 1e3:9.1f}{row['ratio']:8.2f}{ratio(row['limit'], 8)}"
        print(line + ratio(row["instructions_ratio"], 10) + ratio(row["memory_ratio"], 8))
    first, last = (next(row for row in rows if row["services"] == count) for count in (10, rows[-1]["services"]))
    # In units of the interpreter that ran beside it, so that a busy machine does not count.
    each = (last["ratio"] - first["ratio"]) / (last["services"] - first["services"])
    print(f"  One service more: {each:.4f} interpreters, {each * 7500:.0f} µs where the interpreter takes 7.5 ms.")


def write_plot(path: Path, svg: str) -> None:
    """By rsvg-convert(1), in twice the size, for screens that have the pixels."""
    command = ["rsvg-convert", "--zoom=2", "--output", str(path)]
    subprocess.run(command, check=True, input=svg, encoding="utf-8")


def ratio(value: float | None, width: int) -> str:
    return f"{value:{width}.2f}" if value else f"{'-':>{width}}"


def show(title: str, rows: Rows) -> None:
    print(f"\n{title}\n{'':48}{'ms':>9}{'×':>8}" + (f"{'KiB':>10}" if "memory" in rows[0] else ""))
    for row in rows:
        line = f"  {row['title']:46}{row['seconds'] * 1e3:9.2f}{row['ratio']:8.2f}"
        print(line + (f"{row['memory']:10}" if "memory" in row else ""))


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("Measuring takes root: it mounts, and boots a machine.")
    main()
