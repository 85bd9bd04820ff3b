"""Trees of files for the generator to read, and what a run over one gives: no machine, no boot.

build(tmp_path / "root", {**BASE, "/etc/kubens/a.conf": "[MountNamespace]\\nWrap=a\\n", "/etc/b": link("a")})
run = generate(tmp_path / "root", tmp_path / "output")
assert (run.status, run.lines) == (0, [])
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Optional, Union

from kubens.render import TOOLS
from machine import CHECKOUT
from next_step import without_next_step

GENERATOR = CHECKOUT / "generator/kubens-generator"

# A file's text, or a function that makes something else at the path that it is given: Path.mkdir, os.mkfifo.
Content = Union[str, bytes, Callable[[Path], object]]
# What is at a path: its type and permissions, and its content, link target or device number.
State = tuple[int, Optional[Union[bytes, str, int]]]


def link(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


def sparse(size: int) -> Callable[[Path], object]:
    """A file of that many bytes, all zero, that takes no room."""

    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


def program(path: Path) -> None:
    path.touch(0o755)


BASE: dict[str, Content] = {f"/usr/bin/{name}": program for name in TOOLS}


# Two mount namespaces, both modes, each kind of name, drop-ins, links, programs to be looked for.
MOUNTS: dict[str, Content] = {
    **BASE,
    "/usr/bin/kubensenter": program,
    "/usr/bin/bash": program,
    "/usr/bin/sleep": program,
    "/etc/kubens/10-red.conf": "[MountNamespace]\nName=red\nWrap=a.service t@.service absent\nEnv=b.service\n",
    "/etc/kubens/20-off.conf": link("/dev/null"),
    "/usr/lib/kubens/30-blue.conf": "[MountNamespace]\nName=blue\nWhenMissing=host\nWrap=c\n",
    "/etc/systemd/system/a.service": "[Service]\nExecStart=/bin/sleep 1\nWorkingDirectory=/srv\n",
    "/etc/systemd/system/a.service.d/more.conf": "[Service]\nExecStart=\nExecStart=sleep $TIME\n",
    "/usr/lib/systemd/system/service.d/all.conf": "[Unit]\nBefore=x.target\n",
    "/usr/lib/systemd/system/x.target": "[Unit]\nBefore=multi-user.target\n",
    "/usr/lib/systemd/system/real.service": "[Service]\nExecStart=/bin/sleep 2\n",
    "/etc/systemd/system/b.service": link("/usr/lib/systemd/system/real.service"),
    "/usr/lib/systemd/system/c.service": "[Service]\nExecStart=-/bin/sleep 3\n",
    "/usr/lib/systemd/system/t@.service": "[Service]\nExecStart=/bin/sleep %i\n",
    "/usr/lib/systemd/system/t@9.service.d/more.conf": "[Service]\nEnvironment=A=b\n",
}
# And network namespaces: a type of the administrator's, a service and a socket that join, a file to bind over a link.
FULL: dict[str, Content] = {
    **MOUNTS,
    "/usr/bin/ip": program,
    "/etc/kubens/30-night.conf": "[NetworkNamespace]\nName=night\nTypes=lo own\nServices=d d.socket a@.service\n",
    "/etc/conf.d/netns/own.sh": "configure_own_up_inside() { ip link set lo up; }\n",
    "/etc/netns/night/resolv.conf": "nameserver 127.0.0.1\n",
    "/etc/resolv.conf": link("../run/systemd/resolve/stub-resolv.conf"),
    "/usr/lib/systemd/system/d.service": "[Service]\nExecStart=/bin/sleep 4\n",
    "/usr/lib/systemd/system/d.socket": "[Socket]\nListenStream=7\n",
}
# And a pod: apps, a socket, volumes.
POD: dict[str, Content] = {"/etc/kubens/pods/shop.json": (CHECKOUT / "tests/pods/pod.json").read_text()}


def build(root: Path, files: Mapping[str, Content]) -> Path:
    """Make the files, and the directories above them, below root."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogateescape")
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)
    return root


class Run:
    """How a run of the generator ended. lines: its findings, without the program's name in front."""

    def __init__(self, output: Path, status: int, stderr: str) -> None:
        self.output = output
        self.status = status
        self.stderr = stderr
        self.lines = [line[len("kubens-generator: ") :] for line in stderr.splitlines()]


def generate(root: Path, output: Path, *, prefix: Sequence[str] = (), timeout: float = 30) -> Run:
    """Run the generator over a tree into a directory, which is made. prefix: a command to run it with."""
    output.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [*prefix, str(GENERATOR), str(output)],
        env={"KUBENS_ROOT": str(root), "PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=timeout,
    )
    run = Run(output, done.returncode, done.stderr)
    assert not without_next_step(run.lines)
    return run


def install(directory: Path) -> list[str]:
    """`make install` of the generator into a directory; the command that runs it as `recorded` does."""
    places = {"DESTDIR": "", "PREFIX": directory, "LIBRARY": directory / "lib", "GENERATORS": directory / "generators",
              "SERVICES_CONF": directory / "services.conf"}  # fmt: skip
    variables = [f"{name}={value}" for name, value in places.items()]
    subprocess.run(["make", "--silent", f"--directory={CHECKOUT}", "install", *variables], check=True)
    return ["/usr/bin/python3", "-I", "-S", "-B", str(directory / "generators/kubens-generator"), "--status"]


def acted_on(output: Path, unit: str) -> bytes | None:
    """What systemd would read of the drop-in for a unit, None where there is none or a link that leads nowhere."""
    for path in output.glob(f"{unit}.d/*.conf"):
        if path.exists():
            return path.read_bytes()
    return None


def snapshot(root: Path) -> dict[str, State]:
    """Everything below a directory, by its path from there."""
    found: dict[str, State] = {}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = Path(directory, name)
            state = path.lstat()
            content: bytes | str | int | None = None
            if stat.S_ISLNK(state.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(state.st_mode):
                # A file of holes is as large as it says, and not worth reading.
                content = path.read_bytes() if state.st_blocks or not state.st_size else state.st_size
            elif stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode):
                content = state.st_rdev
            found[str(path.relative_to(root))] = (state.st_mode, content)
    return found


def touched(calls: Iterable[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Of system calls as strace(1) has them, name and arguments: each path that was given to one, with both.

    What is relative comes after a chdir(2), and is given from the root on as well.
    """
    found = []
    here = "(the working directory)"
    for name, arguments in calls:
        paths = re.findall(r'"([^"]+)"', arguments) if name not in ("read", "write") else []
        if name in ("readlink", "getxattr"):
            paths = paths[:1]
        elif name == "symlink":  # what it says comes first
            paths = paths[1:]
        for path in paths:
            whole = path if path.startswith("/") else f"{here}/{path}"
            found.append((name, whole, arguments))
            if name == "chdir":
                here = whole
    return found


def units(output: Path) -> list[str]:
    """The units that the output defines or extends."""
    return sorted(path.name[: -len(".d")] if path.name.endswith(".d") else path.name
                  for path in output.iterdir() if path.name.endswith((".service", ".service.d")))  # fmt: skip


def verify(root: Path, output: Path, without: str = "") -> str:
    """What `systemd-analyze verify` has to say about the output, seen together with the units of the tree.

    without: a unit not to ask about, because it is broken itself.
    """
    made = [unit for unit in units(output) if unit != without]
    if not made:
        return ""
    places = [output, root / "etc/systemd/system", root / "usr/lib/systemd/system"]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *made],
        env={**os.environ, "SYSTEMD_UNIT_PATH": ":".join(map(str, places)) + ":"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return done.stdout + (f"exit status {done.returncode}\n" if done.returncode else "")
