"""The examples of docs/nsenter.md are run, in the world that the manual speaks of."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from machine import CHECKOUT

EXAMPLES = re.findall(r"^```python\n(.*?)^```$", (CHECKOUT / "docs/nsenter.md").read_text(), re.MULTILINE | re.DOTALL)

# A container that has its host at /rootfs. There, kubens.service and `ip netns add blue` have run. It is an overlay
# on this machine, with processes of its own, and nothing of it stays.
STAGE = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
mount -t tmpfs tmpfs "$1/root/run"
mount -t proc proc "$1/root/proc"
for directory in /dev /sys "$3" "$4" "$5"; do
    mkdir -p "$1/root$directory"
    mount --rbind "$directory" "$1/root$directory"
done
mkdir -p "$1/root/old" "$1/root/rootfs"
cd "$1/root"
pivot_root . old
umount --lazy /old
mount --rbind / /rootfs
mount --make-rprivate /rootfs
mkdir /run/kubens /run/netns
mount --bind /run/kubens /run/kubens
mount --make-private /run/kubens
mount --make-unbindable /run/kubens
touch /run/kubens/mnt /run/netns/blue
unshare --mount=/run/kubens/mnt --propagation slave sh -c "mount -t tmpfs tmpfs /mnt; echo hidden >/mnt/secret"
unshare --net=/run/netns/blue ip link set lo up
cat >/run/example.py
cd /
exec "$2" -X dev /run/example.py
"""


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 8


@pytest.mark.needs("root", "namespaces", "taskset")
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(number: int, tmp_path: Path) -> None:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(CHECKOUT / "lib")}
    # One CPU: Linux 6.18 in a container may refuse to bind a mount namespace that was made on another.
    command = ["taskset", "-c", "0", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "slave"]
    done = subprocess.run(
        [*command, "sh", "-c", STAGE, "sh", str(tmp_path), sys.executable, str(CHECKOUT), sys.prefix, sys.base_prefix],
        input=EXAMPLES[number],
        env={**environment, "KUBENSMNT": "/run/kubens/mnt"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
