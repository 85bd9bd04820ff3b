"""What bash says of the files of network namespaces, which it will read as root when they start."""

from __future__ import annotations

import re
import shutil
import subprocess

from kubens.config import NETNS_DIRECTORY
from kubens.files import Root, in_byte_order
from kubens.finding import ERROR, NOTICE, Finding

_SHELL_FILES = (".sh", ".conf")
_TIMEOUT = 10


def findings(root: Root) -> list[Finding]:
    """Syntax errors in /etc/conf.d/netns. Nothing of what is written there is executed."""
    try:
        entries = in_byte_order(root.names(NETNS_DIRECTORY))
    except OSError:
        return []  # a finding of the generator's own
    paths = [f"{NETNS_DIRECTORY}/{name}" for name in entries if name.endswith(_SHELL_FILES) and name[0] != "."]
    bash = shutil.which("bash")
    if paths and bash is None:
        return [
            Finding(
                NOTICE,
                NETNS_DIRECTORY,
                0,
                "",
                "bash is not installed here, so these files were not checked: install it",
            )
        ]
    return [_finding(path, line) for path in paths for line in _say(str(bash), root.path + root.follow(path))]


def _say(bash: str, path: str) -> list[str]:
    """The errors in a file, one a line; why it cannot be read is one."""
    done = subprocess.run(
        [bash, "--norc", "--noprofile", "-n", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
        env={"LC_ALL": "C"},  # without BASH_ENV
        timeout=_TIMEOUT,
    )
    # After some errors the line itself is said in another one.
    said = [line.replace(f"{path}: ", "", 1) for line in done.stderr.splitlines()]
    return [line for line in said if not re.match(r"line \d+: [`']", line)]


def _finding(path: str, line: str) -> Finding:
    found = re.match(r"line (\d+): (.*)", line)
    number, reason = (int(found[1]), found[2]) if found else (0, line)
    return Finding(
        ERROR, path, number, "", f"bash does not understand it, nothing of this type will start: {reason}; mend it"
    )
