"""What the tests of kubensctl share: trees for the verbs that read only, machines for those that ask systemd."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from kubens_machine import install as install_kubens
from machine import CHECKOUT, Machine

Maker = Callable[..., Machine]

PROGRAM = CHECKOUT / "bin/kubensctl"
TOOLS = (
    "nsenter", "unshare", "mount", "umount", "mountpoint", "findmnt", "flock",
    "sh", "env", "cp", "rm", "mkdir", "rmdir", "tac", "printf", "true", "false",
)  # fmt: skip
# Where Debian's own interpreter finds what Debian packages; tests put there what pip installed.
SITE = "/usr/local/lib/python3.11/dist-packages"


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


def packages() -> tuple[str, ...]:
    """nspawn's arguments that show a machine the packages from PyPI that this Python has."""
    found = []
    for name in ("pystemd", "lxml", "backports.configparser"):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None, name
        source = Path(spec.origin).parent
        # The parent of backports.configparser is a namespace package: it needs no file.
        found.append(f"--bind-ro={source}:{SITE}/{name.replace('.', '/')}")
    return tuple(found)


def install(node: Machine) -> None:
    """kubens with kubensctl, as `make install` leaves them."""
    install_kubens(node)
    if not (node.tree / "usr/bin/kubensctl").exists():
        text = PROGRAM.read_text()
        start = text.index("LIBRARY = ")
        end = text.index("\n", start)
        node.write("/usr/bin/kubensctl", f'{text[:start]}LIBRARY = "/usr/lib/kubens"{text[end:]}', 0o755)
