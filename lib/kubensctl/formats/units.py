"""The files themselves, in a directory that is laid over a machine's root."""

from __future__ import annotations

import glob
import os
import posixpath

from kubens.files import Root
from kubensctl.carried import Files
from kubensctl.static import DIRECTORY, Static, compiled

SUMMARY = "files, to be laid over the machine's root directory"


def files(static: Static) -> Files:
    found = dict(static.files)
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
        _disable(output, glob.escape(posixpath.basename(path)))
    # Instances that had a template from elsewhere.
    _disable(output, "netns*@*.service")
    for path, (mode, content) in files(static).items():
        target = output + path
        if path in static.files and _has(output, path, content):
            # Written by the administrator, perhaps in another place that a link leads to.
            continue
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


def _disable(output: str, pattern: str) -> None:
    """Remove the links that we made to what is there no more; others lead to templates."""
    for wanted in glob.glob(f"{glob.escape(output + DIRECTORY)}/*.wants/{pattern}"):
        target = f"{DIRECTORY}/{posixpath.basename(wanted)}"
        if os.path.islink(wanted) and os.readlink(wanted) == target and not os.path.lexists(output + target):
            os.unlink(wanted)


def _has(output: str, path: str, content: str) -> bool:
    try:
        return Root(output).read(path) == content
    except OSError:
        return False
