"""Stands in for kubelet and its runtime: makes the mounts of pods, and none of the pods. Run by node_cost.py.

What a pod brings follows Kubernetes' documentation of volumes and containerd's of its snapshots, for a pod of two
containers with a service account and one secret: a tmpfs each for the token, the secret and the sandbox's /dev/shm, an
overlay each for the root directories of the sandbox and the containers, and the pod's network namespace.

Usage: pod_mounts.py COUNT PER_SECOND CHURN. It is ready when COUNT pods are there. At each SIGUSR1 it replaces CHURN of
them, the oldest first, at the same pace, and writes how many it has replaced to /run/replaced.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time

KUBELET = "/var/lib/kubelet/pods"
RUNTIME = "/run/containerd"
NETWORKS = "/run/netns"
LAYERS = "/var/lib/containerd"
CONTAINERS = ("pause", "one", "two")
MS_BIND, MS_NOSUID, MS_NODEV, MNT_DETACH = 4096, 2, 4, 2

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    count, pace, churn = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    mount("layers", LAYERS, "tmpfs")
    for number in range(count):
        paced(pace, lambda: start(number))  # noqa: B023
    notify("READY=1")
    oldest = 0
    while True:
        signal.sigwait([signal.SIGUSR1])
        for number in range(oldest, oldest + churn):
            paced(pace, lambda: replace(number, number + count))  # noqa: B023
        oldest += churn
        with open("/run/replaced", "w", encoding="ascii") as file:
            file.write(f"{oldest}\n")


def paced(pace: float, action: object) -> None:
    began = time.monotonic()
    assert callable(action)
    action()
    time.sleep(max(0.0, began + 1 / pace - time.monotonic()))


def start(number: int) -> None:
    for directory in volumes(number):
        mount("tmpfs", directory, "tmpfs", "size=1m")
    mount("/proc/self/ns/net", network(number), "", flags=MS_BIND)
    for container in CONTAINERS:
        layer = f"{LAYERS}/{number}-{container}"
        for part in ("lower", "upper", "work"):
            os.makedirs(f"{layer}/{part}")
        layers = f"lowerdir={layer}/lower,upperdir={layer}/upper,workdir={layer}/work"
        mount("overlay", root(number, container), "overlay", layers)


def replace(old: int, new: int) -> None:
    for container in CONTAINERS:
        unmount(root(old, container))
    for directory in (*volumes(old), network(old)):
        unmount(directory)
    start(new)


def volumes(number: int) -> list[str]:
    projected = f"{KUBELET}/{number}/volumes/kubernetes.io~projected/kube-api-access"
    secret = f"{KUBELET}/{number}/volumes/kubernetes.io~secret/secret"
    return [projected, secret, f"{RUNTIME}/io.containerd.grpc.v1.cri/sandboxes/{number}/shm"]


def network(number: int) -> str:
    return f"{NETWORKS}/cni-{number}"


def root(number: int, container: str) -> str:
    return f"{RUNTIME}/io.containerd.runtime.v2.task/k8s.io/{number}-{container}/rootfs"


def mount(source: str, target: str, kind: str, options: str = "", flags: int = MS_NOSUID | MS_NODEV) -> None:
    """As runtimes do, by the system call: mount(8) would be most of what is measured."""
    if flags & MS_BIND:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT, 0o444))
    else:
        os.makedirs(target, exist_ok=True)
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)


def unmount(target: str) -> None:
    if libc.umount2(target.encode(), MNT_DETACH):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)
    (os.unlink if os.path.isfile(target) else os.rmdir)(target)


def notify(state: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))


if __name__ == "__main__":
    main()
