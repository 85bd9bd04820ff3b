"""What the tests of kubensctl share: trees for the verbs that read only, machines for those that ask systemd."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kubens_machine import install
from machine import CHECKOUT, Machine

Maker = Callable[..., Machine]

PROGRAM = CHECKOUT / "bin/kubensctl"
TOOLS = (
    "nsenter", "unshare", "mount", "umount", "mountpoint", "findmnt", "flock",
    "sh", "env", "cp", "rm", "mkdir", "rmdir", "tac", "printf", "true", "false",
)  # fmt: skip


def kubensctl(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the checkout's kubensctl; never on a terminal."""
    return subprocess.run(
        [str(PROGRAM), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env={**os.environ, "TERM": "dumb", **(env or {})},
    )


def tree(path: Path, files: Mapping[str, str] | None = None, programs: tuple[str, ...] = ()) -> Path:
    """A machine's files below path: the tools that kubens needs, programs in /usr/bin, and whatever is given."""
    for name in (*TOOLS, *programs):
        write(path, f"/usr/bin/{name}", "#!/bin/sh\n").chmod(0o755)
    for name, text in (files or {}).items():
        write(path, name, text)
    return path


def write(root: Path, name: str, text: str) -> Path:
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8", "surrogateescape")
    return path


# This computer's interpreter where its root is at /host, told where to find everything.
_LIBRARIES = "/host/usr/lib/x86_64-linux-gnu"
_ENVIRONMENT = ("env", "PYTHONHOME=/host/usr")
_PYTHON = (f"{_LIBRARIES}/ld-linux-x86-64.so.2", "--library-path", _LIBRARIES, "/host/usr/bin/python3")


class Node:
    """A machine with kubens and kubensctl, as `make install` leaves them.

    Trees of other releases have neither pystemd nor what builds it. There kubensctl runs with this computer's
    interpreter and libraries, and for the rest in the machine: its systemd, its processes, its files.
    """

    def __init__(self, machine: Maker, lower: str = "/", **options: Any) -> None:
        host = () if lower == "/" else ("--bind-ro=/:/host",)
        packages = "/usr/local/lib/python3.11/dist-packages" if lower == "/" else "/host-packages"
        self.machine: Machine = machine(lower, arguments=(*host, *_packages(packages)), **options)
        self._interpreter = () if lower == "/" else (*_ENVIRONMENT, f"PYTHONPATH={packages}", *_PYTHON)
        install(self.machine)

    def ctl(self, *arguments: str, front: tuple[str, ...] = (), **options: Any) -> subprocess.CompletedProcess[str]:
        """Run kubensctl in the machine; front: a command to run it with."""
        command = (*front, *self._interpreter, "/usr/bin/kubensctl", *arguments)
        return self.machine.run(*command, check=False, timeout=60, **options)

    def on_terminal(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run kubensctl on a terminal of 80 columns; what it writes there is in stdout."""
        command = shlex.join((*self._interpreter, "/usr/bin/kubensctl", *arguments))
        return self.machine.run(
            "script", "-qec", f"stty cols 80; {command}", "/dev/null", check=False, timeout=60, env={"TERM": "xterm"}
        )

    def status(self) -> dict[str, Any]:
        """`status --json`: the first namespace, with its members by name."""
        found: dict[str, Any] = json.loads(self.ctl("status", "--json").stdout)["namespaces"][0]
        found["members"] = {member.pop("unit"): member for member in found["members"]}
        return found


def _packages(directory: str) -> tuple[str, ...]:
    """nspawn's arguments that show a machine the packages from PyPI that this Python has."""
    found = []
    for name in ("pystemd", "lxml", "backports.configparser"):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None, name
        found.append(f"--bind-ro={Path(spec.origin).parent}:{directory}/{name.replace('.', '/')}")
    return tuple(found)
