"""What the tests of packages share."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from machine import CHECKOUT, Machine

GENERATOR = "/usr/lib/systemd/system-generators/kubens-generator"


def build_packages(directory: Path) -> Path:
    """`make deb`, which lintian has nothing to say of; where they are."""
    command = ["make", "--silent", f"--directory={CHECKOUT}", "--old-file=packages", "deb", f"BUILD={directory}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"^[EW]:", done.stdout, re.MULTILINE), done.stdout
    return directory / "deb"


def apt_get(node: Machine, *packages: str) -> None:
    """Install Debian's packages of the machine's release, before it boots."""
    shutil.copy("/etc/resolv.conf", node.tree / "etc/resolv.conf")
    # The lists of sid may be some weeks old where a mirror stands still.
    update = ["update", "-o", "Acquire::Check-Valid-Until=false"]
    for arguments in (update, ["install", "--yes", "--no-install-recommends", *packages]):
        command = ["chroot", str(node.tree), "apt-get", "-qq", *arguments]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, timeout=300)


def provide(node: Machine, packages: Path, lower: str) -> None:
    """Packages at /root/PACKAGE, and what they need: the trees have python3-minimal, installations have python3."""
    if lower != "/":
        apt_get(node, "python3")
    for package in packages.glob("*.deb"):
        node.install(package, f"/root/{package.name.partition('_')[0]}")
    # The manual's index is none of ours, and takes long.
    (node.tree / "var/lib/man-db/auto-update").unlink(missing_ok=True)


def is_compiled_for(node: Machine) -> bool:
    """Whether the generator is compiled for the interpreter of the machine."""
    script = (
        "import importlib.util; f = open(importlib.util.cache_from_source('/usr/lib/kubens/start.py'), 'rb');"
        "exit(f.read(4) != importlib.util.MAGIC_NUMBER)"
    )
    return node.run("/usr/bin/python3", "-c", script, check=False).returncode == 0
