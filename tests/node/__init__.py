"""A node with a real container runtime: Debian's own packages, in trees of their own that `make check-node` makes.

machine.py boots them. What nspawn machines lack is made up for here: they have no cgroup controllers, and their tree is
an overlay, which cannot lie above another one. The runtime's unit stays as its package has it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import kubens_machine
from machine import CHECKOUT, Machine
from node import image

TREES = CHECKOUT / os.environ.get("KUBENS_NODES", "build/nodes")
# nspawn forbids system calls that container runtimes use; a tmpfs carries the snapshotter's overlays.
ARGUMENTS = (
    "--capability=all",
    "--system-call-filter=@keyring bpf @privileged",
    "--tmpfs=/var/lib/containerd:mode=755",
    "--tmpfs=/var/lib/containers:mode=755",
)
SOCKET = "/run/containerd/containerd.sock"
BUSYBOX = "localhost/busybox:1"

# Containers stay in the control group of their shim. So `ps`, by which containerd 1.7 and later tell a shim that is of
# use from a left-over, has nothing to look into: it is answered with the first process of the container.
CRUN = """\
#!/bin/sh
case " $* " in
*" ps --format json "*)
    for container; do :; done
    /usr/bin/crun --root "$2" state "$container" | sed -n 's/.*"pid": *\\([0-9]*\\).*/[\\1]/p' ;;
*)
    exec /usr/bin/crun --cgroup-manager=disabled "$@" ;;
esac
"""
CONFIGURATION = """\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_cgroup = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "crun"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
        BinaryName = "/usr/local/bin/crun"
"""
NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": "10.88.0.0/16"}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
    ],
}


def machine(tree: Path, kmsg: bool = False) -> Machine:
    """A machine with kubens and containerd, not booted; no service is declared."""
    node = Machine(str(tree), arguments=ARGUMENTS, kmsg=kmsg)
    kubens_machine.install(node)
    # Its link in /etc is one of those that machine.py hides.
    unit = "containerd.service"
    node.link(f"/etc/systemd/system/multi-user.target.wants/{unit}", f"/lib/systemd/system/{unit}")
    node.write("/etc/containerd/config.toml", CONFIGURATION)
    node.write("/etc/cni/net.d/10-pods.conflist", json.dumps(NETWORK))
    node.write("/usr/local/bin/crun", CRUN, 0o755)
    busybox = (tree / "usr/bin/busybox").read_bytes()
    images = {BUSYBOX: ["sh"], "localhost/pause:1": ["sleep", "2147483647"]}
    node.write("/root/images.tar", image.archive(busybox, images))
    return node


def wrap(node: Machine) -> None:
    """The one line that a user writes."""
    kubens_machine.configure(node, "[MountNamespace]\nWrap=containerd.service\n")


def load(node: Machine) -> None:
    """Import the images, as kubelet looks for them. Waits for containerd."""
    node.wait_until(lambda: node.run("ctr", "version", check=False).returncode == 0)
    ctr(node, "images", "import", "/root/images.tar")


def ctr(node: Machine, *arguments: str) -> str:
    return node.run("ctr", "--namespace=k8s.io", *arguments).stdout


def run(node: Machine, name: str, *command: str, options: tuple[str, ...] = ()) -> int:
    """A container that ctr starts, to stay; its process id."""
    runtime = ("--runtime=io.containerd.runc.v2", "--runc-binary=/usr/local/bin/crun")
    ctr(node, "run", "--detach", *runtime, *options, BUSYBOX, name, *command)
    return tasks(node)[name][0]


def remove(node: Machine, name: str) -> None:
    """A container of run(), at once."""
    ctr(node, "tasks", "kill", "--signal=SIGKILL", name)
    node.wait_until(lambda: tasks(node)[name][1] == "STOPPED")
    ctr(node, "tasks", "delete", name)
    ctr(node, "containers", "delete", name)


def tasks(node: Machine) -> dict[str, tuple[int, str]]:
    """The process id and the state of each container that containerd knows a task of."""
    lines = [line.split() for line in ctr(node, "tasks", "list").splitlines()[1:]]
    return {name: (int(pid), state) for name, pid, state in lines}


def shims(node: Machine) -> list[int]:
    return sorted(map(int, node.run("pgrep", "-f", "^/usr/bin/containerd-shim", check=False).stdout.split()))


def inside(node: Machine) -> list[str]:
    """Where the mounts are that there are in the namespace."""
    lines = node.run("kubensenter", "--quiet", "--", "cat", "/proc/self/mountinfo").stdout.splitlines()
    return [line.split(" ")[4] for line in lines]


def of_containers(mounts: list[str]) -> list[str]:
    """Those that containers bring."""
    return [path for path in mounts if path.startswith(("/run/containerd/", "/run/netns/", "/var/lib/kubelet/"))]
