"""What other generators cost on equal terms: run by bench.py in a mount namespace of its own. Writes JSON.

All of them, ours too, are in one tree of Debian 13, with its interpreter; this process looks at it from inside.
Arguments: an empty directory, which part of all runs to make, and the tree.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import generator
import measure

GENERATORS = Path("/usr/lib/systemd/system-generators")
OUTPUT = Path("/run/output")
COUNTS = (1, 100, 1000)

CONTAINER = (
    "[Container]\nImage=registry.example.org/bench:1\nExec=/bin/true --all\n[Install]\nWantedBy=multi-user.target\n"
)
SERVICE = "[Service]\nType=notify\nExecStart=/usr/bin/true --all $OPTIONS\nRestart=always\n"


def main() -> None:
    scratch, scale, tree = Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
    enter(tree, scratch)
    counts = [count for count in COUNTS if scale == 1 or count <= 100]
    results = []
    for name, program, what, arrange in (
        ("kubens", "kubens-generator", "Wrap", wrapped),
        ("quadlet", "podman-system-generator", "containers, quadlet", containers),
        ("fstab", "systemd-fstab-generator", "mounts, systemd-fstab-generator", mounts),
        ("crontab", "systemd-crontab-generator", "jobs, systemd-crontab-generator", jobs),
    ):
        for count in counts:
            arrange(count)
            rounds = max(round((30 if count > 100 else 100) * scale), 3)
            taken, _, ratio = measure.paired(run(str(GENERATORS / program)), bare, rounds)
            title = f"{count} {what}"
            row = {"title": title, "name": name, "services": count, "seconds": taken, "ratio": ratio}
            results.append(row)
        arrange(0)
    json.dump(results, sys.stdout)


def enter(tree: Path, scratch: Path) -> None:
    """Make a copy-on-write view of the tree the root, with kubens installed."""
    generator.mount("-t", "tmpfs", "-o", "mode=755", "kubens-bench", scratch)
    for name in ("upper", "work", "root"):
        (scratch / name).mkdir()
    root = scratch / "root"
    layers = f"lowerdir={tree},upperdir={scratch}/upper,workdir={scratch}/work"
    generator.mount("-t", "overlay", "-o", layers, "kubens-bench", root)
    for name in ("proc", "dev"):
        generator.mount("--rbind", f"/{name}", root / name)
    generator.mount("-t", "tmpfs", "-o", "mode=755", "kubens-bench", root / "run")
    (root / "checkout").mkdir()
    generator.mount("--bind", generator.CHECKOUT, root / "checkout")
    os.chroot(root)
    os.chdir("/")
    measure.seconds(("/usr/bin/make", "--silent", "--directory=/checkout", "install"))


def run(program: str) -> Callable[[], float]:
    def once() -> float:
        for name in ("normal", "early", "late"):
            shutil.rmtree(OUTPUT / name, ignore_errors=True)
            (OUTPUT / name).mkdir(parents=True)
        return measure.seconds((program, *(f"{OUTPUT}/{name}" for name in ("normal", "early", "late"))))

    return once


def bare() -> float:
    return measure.seconds(generator.BARE)


def wrapped(count: int) -> None:
    names = [f"bench-{number}.service" for number in range(count)]
    for name in names:
        (generator.UNITS / name).write_text(SERVICE)
    generator.declare("[MountNamespace]\n" + "".join(f"Wrap={name}\n" for name in names))


def containers(count: int) -> None:
    directory = Path("/etc/containers/systemd")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for number in range(count):
        (directory / f"bench-{number}.container").write_text(CONTAINER)


def mounts(count: int) -> None:
    lines = [f"/dev/disk/by-label/bench-{number} /srv/bench-{number} ext4 nofail 0 0\n" for number in range(count)]
    Path("/etc/fstab").write_text("".join(lines))


def jobs(count: int) -> None:
    lines = [f"{number % 60} 3 * * * root /bin/true {number}\n" for number in range(count)]
    Path("/etc/cron.d/bench").write_text("".join(lines))


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main()
