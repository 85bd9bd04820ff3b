"""Mount propagation of volumes, as Kubernetes promises it (KEP 432), with containerd inside.

Of its guarantees one is another one here, as OpenShift's enhancement hide-container-mountpoints has it: what a
Bidirectional container mounts is seen by other containers, and by all of the namespace, but not by the host.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import node as nodes
from machine import Machine
from node import cri

# Kubernetes' names, and CRI's.
PROPAGATIONS = {
    "None": "PROPAGATION_PRIVATE",
    "HostToContainer": "PROPAGATION_HOST_TO_CONTAINER",
    "Bidirectional": "PROPAGATION_BIDIRECTIONAL",
}
SHARING = {"kubens", "HostToContainer", "Bidirectional"}
# Who sees a mount on a volume, by who makes it after the containers have started.
SEEN_BY = {
    "host": {"host", *SHARING},
    "kubens": SHARING,
    "Bidirectional": SHARING,
    "HostToContainer": {"HostToContainer"},
    "None": {"None"},
}
# The same for mounts that are older than the containers.
EARLIER = {"host": {"host", "None", *SHARING}, "kubens": {"None", *SHARING}}


class Volume:
    """/srv/volume of the host in a container of each kind."""

    def __init__(self, node: Machine, runtime: cri.Runtime, pod: cri.Pod) -> None:
        self._node = node
        self._runtime = runtime
        self._containers = {
            name: pod.container(name.lower(), "sleep", "1000", mounts=[volume("/srv/volume", kind)], privileged=True)
            for name, kind in PROPAGATIONS.items()
        }

    def run(self, who: str, *command: str) -> str:
        if who in self._containers:
            return cri.execute(self._runtime, self._containers[who], *command)
        return run(self._node, who, *command)

    def seen(self, makers: dict[str, set[str]], age: str) -> dict[str, set[str]]:
        """By who made it, who sees a mount: its content, and its entry in the mount table."""
        found: dict[str, set[str]] = {maker: set() for maker in makers}
        for who in ("host", "kubens", *PROPAGATIONS):
            directory = "/volumes" if who in self._containers else "/srv/volume"
            table = self.run(who, "cat", "/proc/self/mountinfo")
            for maker in makers:
                target = f"{directory}/{age}-{maker}"
                assert (f" {target} " in table) == ("mark" in self.run(who, "ls", target)), (who, maker)
                if f" {target} " in table:
                    found[maker].add(who)
        return found


def volume(path: str, propagation: str) -> dict[str, object]:
    return {"container_path": "/volumes", "host_path": path, "propagation": propagation}


def run(node: Machine, who: str, *command: str) -> str:
    enter = ("kubensenter", "--quiet", "--") if who == "kubens" else ()
    return node.run(*enter, *command).stdout


MOUNT = 'mount -t tmpfs none "$0" && touch "$0/mark"'


@pytest.fixture
def volumes(node: Machine, runtime: cri.Runtime) -> Iterator[Volume]:
    before = node.mounts(), nodes.inside(node)
    for maker in SEEN_BY:
        node.run("mkdir", "-p", *(f"/srv/volume/{age}-{maker}" for age in ("earlier", "later")))
    for maker in EARLIER:
        run(node, maker, "sh", "-euc", MOUNT, f"/srv/volume/earlier-{maker}")
    pod = runtime.pod("volumes", privileged=True)
    made = Volume(node, runtime, pod)
    yield made
    pod.remove()
    for maker in EARLIER:
        run(node, maker, "umount", f"/srv/volume/earlier-{maker}")
    assert (node.mounts(), nodes.inside(node)) == before


def test_propagation(volumes: Volume) -> None:
    assert volumes.seen(EARLIER, "earlier") == EARLIER
    makers = {maker: f"/{'volumes' if maker in PROPAGATIONS else 'srv/volume'}/later-{maker}" for maker in SEEN_BY}
    for maker, target in makers.items():
        volumes.run(maker, "sh", "-euc", MOUNT, target)
    assert volumes.seen(SEEN_BY, "later") == SEEN_BY
    for maker, target in makers.items():
        volumes.run(maker, "umount", target)
    nobody: dict[str, set[str]] = {maker: set() for maker in SEEN_BY}
    assert volumes.seen(SEEN_BY, "later") == nobody, "an unmount goes where the mount went"


def test_a_storage_driver_mounts_for_another_pod(node: Machine, runtime: cri.Runtime) -> None:
    """CSI: a Bidirectional container mounts below kubelet's directory; then the pod that wants it is started."""
    target = "/var/lib/kubelet/pods/uid-consumer/volumes/kubernetes.io~csi/data/mount"
    node.run("mkdir", "-p", target)
    plugin = runtime.pod("driver", privileged=True)
    plugins = {**volume("/var/lib/kubelet", "PROPAGATION_BIDIRECTIONAL"), "container_path": "/var/lib/kubelet"}
    driver = plugin.container("driver", "sleep", "1000", mounts=[plugins], privileged=True)
    cri.execute(runtime, driver, "sh", "-euc", f"mount -t tmpfs data {target}; echo precious >{target}/file")

    assert run(node, "kubens", "cat", f"{target}/file") == "precious\n"
    assert run(node, "host", "ls", target) == "" and target not in node.mounts()
    consumer = runtime.pod("consumer", privileged=True)
    mounts = [volume(target, kind) for kind in PROPAGATIONS.values()]
    for number, mount in enumerate(mounts):
        container = consumer.container(f"consumer-{number}", "sleep", "1000", mounts=[mount], privileged=True)
        assert cri.execute(runtime, container, "cat", "/volumes/file") == "precious\n"
    consumer.remove()
    cri.execute(runtime, driver, "umount", target)
    assert target not in nodes.inside(node)
    plugin.remove()
