"""The files themselves, in a directory that is laid over a machine's root."""

from __future__ import annotations

import glob
import os
import posixpath

from kubens.files import Root
from kubensctl.static import DIRECTORY, Static, compiled

SUMMARY = "files, to be laid over the machine's root directory"


def files(static: Static) -> dict[str, tuple[int, str]]:
    """Mode and content by path."""
    found = {path: (0o755, content) for path, content in static.files.items()}
    for name, unit in static.units.items():
        if unit.text:
            found[f"{DIRECTORY}/{name}"] = (0o644, unit.text)
        for dropin, content in unit.dropins.items():
            found[f"{DIRECTORY}/{name}.d/{dropin}"] = (0o644, content)
    return found


def links(static: Static) -> dict[str, str]:
    """What `systemctl enable` would make: targets by path."""
    return {
        f"{DIRECTORY}/{target}.wants/{name}": f"{DIRECTORY}/{name}"
        for name, unit in static.units.items() for target in unit.wanted_by
    }  # fmt: skip


def write(static: Static, output: str) -> None:
    """Write below a directory, in the place of what was compiled into it before."""
    for path in set(compiled(Root(output))) - files(static).keys():
        os.unlink(output + path)
        for wanted in glob.glob(f"{glob.escape(output + DIRECTORY)}/*.wants/{posixpath.basename(path)}"):
            os.unlink(wanted)
    for path, (mode, content) in files(static).items():
        target = output + path
        os.makedirs(posixpath.dirname(target), exist_ok=True)
        # At once, and never through a link.
        with open(f"{target}.new", "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(f"{target}.new", mode)
        os.replace(f"{target}.new", target)
    for path, target in links(static).items():
        os.makedirs(posixpath.dirname(output + path), exist_ok=True)
        if os.path.lexists(output + path):
            os.unlink(output + path)
        os.symlink(target, output + path)
