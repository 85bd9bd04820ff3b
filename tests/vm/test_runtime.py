"""containerd and runc inside, on Debian's kernel with control groups and AppArmor: limits, statistics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import vm
from machine import Machine
from vm import nodes

WRAP = "[MountNamespace]\nWrap=containerd.service\n"
MIB = 1 << 20
FIGURES = f"""
{nodes.LOAD}
cd /root/tests && python3 -m vm.pod_figures
"""
# Of the host's mounts and of those inside, how many are of a container.
SEE = """
see() {
    grep -c " $1" /proc/1/mountinfo
    kubensenter -q -- grep -c " $1" /proc/self/mountinfo
}
"""
# An image of its own; `inner` is containerd's.
DOCKER = f"""
{SEE}
{nodes.LOAD}
{nodes.RUN} inner sleep 1000
systemctl start docker
mkdir -p /root/image/bin && cp /usr/bin/busybox /root/image/bin/
tar -C /root/image -c . | docker import - local >/dev/null
docker run --detach --volume=/srv/data:/data --memory=64m --name=outer local /bin/busybox sleep 1000 >/dev/null
docker exec outer /bin/busybox echo here
docker exec outer /bin/busybox ip address | grep -c 'inet 172'
docker exec outer /bin/busybox cat /sys/fs/cgroup/memory.max
docker run --detach --privileged --volume=/srv/data:/data:rshared --name=driver local /bin/busybox sleep 1000 >/dev/null
docker exec driver /bin/busybox sh -c 'mkdir /data/volume && mount -t tmpfs none /data/volume'
docker ps --format '{{{{.Names}}}}'
echo
see '/var/lib/docker/overlay2/.*/merged'
see /run/containerd/io.containerd.runtime
see /srv/data/volume
echo
systemctl restart containerd
docker exec outer /bin/busybox echo still here
ctr --namespace=k8s.io tasks exec --exec-id a inner echo so is the other
docker rm --force outer driver
echo
see '/var/lib/docker/overlay2/.*/merged'
see /run/docker/netns/
see /run/containerd/io.containerd.runtime
"""


@pytest.mark.needs("root", "namespaces", "mke2fs", "qemu-system-x86_64")
@pytest.mark.parametrize("release", nodes.RELEASES, ids=[path.name for path in nodes.RELEASES])
def test_what_containers_use(machine: Callable[..., Machine], release: Path) -> None:
    node = machine(str(release))
    nodes.prepare(node, WRAP)
    nodes.program(node, "pod_figures")
    said = vm.ask(node, FIGURES)
    print(said)
    found = json.loads(said)
    before, after = found["before"], found["after"]
    assert found["log"] == ["done"]
    # A container that computes, fills 20 MiB each of memory and of a file, and then sleeps.
    assert 20e6 < before["cpu"] <= after["cpu"] < 60e9
    assert all(20 * MIB < then[figure] < 32 * MIB for then in (before, after) for figure in ("memory", "layer"))
    assert before["limits"] == after["limits"] == {"memory.max": str(64 * MIB), "cpu.max": "50000 100000"}
    assert before["profile"] == after["profile"] == "cri-containerd.apparmor.d (enforce)"
    assert before["pid"] == after["pid"], "it outlives containerd"
    assert before["exec"] == after["exec"] == "here\n"
    assert found["states"] == ["CONTAINER_RUNNING", "CONTAINER_EXITED"]
    assert found["mounts"]["host"] == found["left"]["host"] == found["left"]["inside"] == 0
    assert found["mounts"]["inside"] >= 3, "the root directories of two containers and of their sandbox"


@pytest.mark.needs("root", "namespaces", "mke2fs", "qemu-system-x86_64")
@pytest.mark.parametrize("release", nodes.RELEASES, ids=[path.name for path in nodes.RELEASES])
def test_docker_beside_it(machine: Callable[..., Machine], release: Path) -> None:
    """dockerd mounts on the host, the shim that it asks containerd for is inside: it sees what the host mounts."""
    node = machine(str(release))
    nodes.prepare(node, WRAP)
    said = vm.ask(node, DOCKER)
    running, mounts, alive, left = said.split("\n\n")
    assert running.splitlines() == ["here", "1", str(64 * MIB), "driver", "outer"], said
    # docker's root directories are the host's, which are seen inside; that of containerd's container is not the host's,
    # nor is what a container of docker's mounts for others.
    assert mounts.split() == ["2", "2", "0", "1", "0", "1"], said
    assert alive.splitlines() == ["still here", "so is the other", "outer", "driver"], said
    assert left.split() == [*"000001"], said
