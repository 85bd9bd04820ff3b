"""The services of Kubernetes' nodes, as their packages and installers leave them.

Each directory is laid over a machine's root. Its program is a link to `daemon`, which stands in for all of
them; its units, drop-ins and environment files have the shape of the real ones.
"""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path
from typing import Any

from machine import Machine

# The directories by their service, and the program that it runs.
PROGRAMS = {
    "containerd": "containerd",
    "crio": "crio",
    "docker": "dockerd",
    "k3s": "k3s",
    "kubelet": "kubelet",
}


def install(node: Machine, *services: str, enable: bool = True) -> None:
    """Install services in a machine that does not run; its next boot starts them if they are enabled."""
    for service in services:
        directory = Path(__file__).parent / service
        for path in directory.rglob("*"):
            if not path.is_dir():
                node.install(path, f"/{path.relative_to(directory)}")
        if enable:
            units = [path.name for path in directory.rglob("system/*") if path.suffix in (".service", ".socket")]
            subprocess.run(["systemctl", "--quiet", f"--root={node.tree}", "enable", *units], check=True)


def report(node: Machine, service: str) -> dict[str, Any]:
    """What the service was given when it last started, or reloaded; see `daemon` for what is in it."""
    given: dict[str, Any] = ast.literal_eval(node.read(f"/run/standin/{PROGRAMS[service]}"))
    return given
