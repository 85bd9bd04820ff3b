"""The world that kubens.nsenter is tried in: real namespaces, pinned to files or held by a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from machine import CHECKOUT

# `mnt` and `other` are mount namespaces with a tmpfs at `inside` that holds their name; `net` and `net2`, `uts`
# and `ipc` are pinned too. `rootfs` is a host's root file system as a container sees it, of a host whose mount
# namespace is `mnt`. `plain` is what a pin is when nothing is pinned to it any more.
WORLD = """
set -e
mount --bind "$1" "$1"
mount --make-private "$1"
mount --make-unbindable "$1"
cd "$1"
mkdir inside directory
mkdir -p rootfs/proc/1/ns rootfs/usr/bin rootfs/usr/sbin
touch mnt other net net2 uts ipc plain rootfs/proc/1/ns/mnt
chmod 755 .
for name in mnt other; do
    unshare --mount="$name" --propagation slave sh -ec '
        mount -t tmpfs -o mode=755 tmpfs inside
        echo "$1" >inside/name
        mkdir inside/bin inside/dir
        printf "#!/bin/sh\\necho from %s\\n" "$1" >inside/bin/kubens-tool
        chmod 755 inside/bin/kubens-tool
    ' sh "$name"
done
unshare --net=net ip link set lo up
unshare --net=net2 true
unshare --uts=uts hostname inside
unshare --ipc=ipc true
mount --bind mnt rootfs/proc/1/ns/mnt
ln -s usr/bin rootfs/bin
for command in mount findmnt umount systemd-run stat touch mkdir sh chmod realpath; do
    ln -s ../../bin/tool rootfs/usr/bin/$command
done
touch rootfs/usr/bin/tool
chmod 755 rootfs/usr/bin/tool
"""


@pytest.fixture(scope="session")
def world() -> Iterator[Path]:
    """The directory of the pins. Anybody may read it, which pytest's own are not for."""
    directory = Path(tempfile.mkdtemp(prefix="kubens-nsenter-"))
    # One CPU: Linux 6.18 in a container may refuse to bind a mount namespace that was made on another.
    taskset = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] if shutil.which("taskset") else []
    try:
        subprocess.run([*taskset, "sh", "-c", WORLD, "sh", str(directory)], check=True)
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", "--recursive", str(directory)], check=False)
        shutil.rmtree(directory)


@pytest.fixture
def process() -> Iterator[int]:
    """A process with namespaces of its own."""
    kinds = ["--mount", "--net", "--uts", "--ipc", "--cgroup", "--pid", "--fork", "--mount-proc"]
    script = "hostname process; mount -t tmpfs tmpfs /mnt; echo process >/mnt/name; echo ready; exec cat"
    command = ["unshare", *kinds, "--kill-child", "sh", "-ec", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as unshare:
        assert unshare.stdout is not None
        assert unshare.stdout.readline() == b"ready\n"
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text()
        yield int(children)
        unshare.kill()


@pytest.fixture(params=[way for way in ("os", "libc") if way == "libc" or hasattr(os, "setns")])
def setns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in: the function of Python 3.12, and the C library's."""
    if request.param == "libc":
        monkeypatch.delattr(os, "setns", raising=False)
    way: str = request.param
    return way


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Descriptors and children are counted; other tests in this process may have some that live on."""
    before, children = os.listdir("/proc/self/fd"), _children()
    yield
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert _children().keys() <= children.keys(), _children()


def _children() -> dict[str, str]:
    """The commands of this process's children, by process id; those that have ended and were not waited for, too."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:
            return _children()  # a thread has ended meanwhile, and left its children to another: once more
        for child in children:
            found[child] = Path(f"/proc/{child}/cmdline").read_text()
    return found


@pytest.fixture
def python() -> Callable[..., str]:
    """Runs a program in a fresh, single-threaded interpreter, and returns what it prints."""

    def run(program: str, *args: object, **variables: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "lib"), **variables}
        command = [sys.executable, "-X", "dev", "-c", program, *map(str, args)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return run
