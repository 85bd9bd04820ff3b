"""Nodes with a real container runtime as virtual machines, for what those of `node` lack: controllers of cgroups,
AppArmor and SELinux, a network file system of the kernel's.

Their trees are Debian's, with its containerd, runc, docker.io and policy; nothing of them is made up for.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import kubens_machine
import node as nodes
from machine import CHECKOUT, Machine
from node import image

TREES = CHECKOUT / os.environ.get("KUBENS_VM_NODES", "build/vm-nodes")
RELEASES = sorted(path for path in TREES.glob("*/") if (path / "usr/bin/containerd").exists())

CONFIGURATION = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.cgroupfs]
    runtime_type = "io.containerd.runc.v2"
"""
CONTEXTS = "/etc/selinux/default/contexts/files/file_contexts"
# In a virtual machine's shell; a name and a command follow upon the second.
LOAD = "ctr --namespace=k8s.io images import /root/images.tar >/dev/null"
RUN = f"ctr --namespace=k8s.io run --detach {nodes.BUSYBOX}"


def prepare(node: Machine, configuration: str) -> None:
    """kubens, containerd and its images."""
    kubens_machine.install(node)
    kubens_machine.configure(node, configuration)
    unit = "containerd.service"
    node.link(f"/etc/systemd/system/multi-user.target.wants/{unit}", f"/lib/systemd/system/{unit}")
    node.write("/etc/containerd/config.toml", CONFIGURATION)
    node.write("/etc/cni/net.d/10-pods.conflist", json.dumps(nodes.NETWORK))
    busybox = (node.tree / "usr/bin/busybox").read_bytes()
    images = {nodes.BUSYBOX: ["sh"], "localhost/pause:1": ["sleep", "2147483647"]}
    node.write("/root/images.tar", image.archive(busybox, images))


def program(node: Machine, name: str) -> None:
    """A program of this folder, as `python3 -m vm.NAME` in /root/tests, with what it speaks to containerd by."""
    for file in ("node/cri.py", "node/cri.proto", f"vm/{name}.py"):
        node.install(CHECKOUT / "tests" / file, f"/root/tests/{file}")


def label(node: Machine) -> None:
    """Give SELinux' labels to whatever has none yet: all that does not come from the tree below."""
    bare = [
        f"/{path.relative_to(node.tree)}" for path in node.tree.rglob("*") if not path.is_dir() and not _label(path)
    ]
    # From / on it finds directories alone: files of an overlay are on another device.
    node.chroot("setfiles", "-F", "-e", "/proc", CONTEXTS, "/", *bare)


def _label(path: Path) -> bytes:
    try:
        return os.getxattr(path, "security.selinux", follow_symlinks=False)
    except OSError:
        return b""
