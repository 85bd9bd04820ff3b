"""containerd inside, by one line in services.conf: what its clients ask of it works, and PID 1 sees none of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import node as nodes
from kubens_machine import whereabouts
from machine import Machine
from node import cri

UNIT = "/lib/systemd/system/containerd.service"


@pytest.fixture
def pod(node: Machine, runtime: cri.Runtime) -> Iterator[cri.Pod]:
    before = nodes.inside(node)
    made = runtime.pod("web")
    yield made
    made.remove()
    assert nodes.inside(node) == before, "what a pod brought goes with it"
    assert nodes.tasks(node) == {}


def _hidden(node: Machine) -> list[str]:
    """The mounts of containers, of which PID 1 has to know neither mount nor unit."""
    assert nodes.of_containers(node.mounts()) == []
    units = node.systemctl("list-units", "--all", "--plain", "--no-legend", "--type=mount").stdout
    assert "containerd-" not in units and "netns-" not in units
    return nodes.of_containers(nodes.inside(node))


def test_the_package_s_unit_is_untouched(node: Machine, tree: Path) -> None:
    assert whereabouts(node, "containerd.service") == ["inside"]
    assert node.read(UNIT) == (tree / UNIT[1:]).read_text()
    shown = node.show("containerd.service", "FragmentPath", "DropInPaths", "NRestarts")
    assert shown["DropInPaths"] == "/run/systemd/generator/containerd.service.d/zz-kubens.conf"
    assert (shown["NRestarts"], Path(shown["FragmentPath"]).name) == ("0", "containerd.service")


def test_containers_of_ctr(node: Machine) -> None:
    before = nodes.inside(node)
    pid = nodes.run(node, "one", "sleep", "1000")
    rootfs = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/one/rootfs"
    assert _hidden(node) == [rootfs]
    assert node.mount_namespace(pid) not in (node.mount_namespace(1), node.mount_namespace(nodes.shims(node)[0]))
    assert nodes.ctr(node, "tasks", "exec", "--exec-id=a", "one", "echo", "from inside") == "from inside\n"
    nodes.remove(node, "one")
    assert nodes.inside(node) == before


def test_a_pod_of_kubelet_s(node: Machine, runtime: cri.Runtime, pod: cri.Pod) -> None:
    """A sandbox with a network of CNI's, and two containers: exec, logs, statistics, stop."""
    server = pod.container("server", "sh", "-c", "echo served >/srv/page; echo begun; exec httpd -f -h /srv -p 80")
    client = pod.container("client", "sleep", "1000")
    address = pod.status["network"]["ip"]
    fetch = ("wget", "-q", "-O", "-", f"http://{address}/page")
    assert address in cri.execute(runtime, client, "ip", "addr")
    node.wait_until(lambda: "begun" in node.read("/var/log/pods/web/server.log"))
    assert cri.execute(runtime, client, *fetch) == "served\n"
    # The host reaches the pod over the bridge as well.
    assert node.run("/usr/bin/busybox", *fetch).stdout == "served\n"
    with pytest.raises(AssertionError, match="no-such-file"):
        cri.execute(runtime, client, "cat", "/no-such-file")

    # What a container uses is for its control group to say, which nspawn machines lack; the writable layer is not.
    assert runtime.call("ContainerStats", container_id=server)["stats"].keys() >= {"cpu", "memory", "writable_layer"}

    hidden = _hidden(node)
    assert [path.rsplit("/", 2)[1] for path in hidden if path.endswith("/rootfs")] == [pod.identity, server, client]
    assert len([path for path in hidden if path.startswith("/run/netns/cni-")]) == 1

    runtime.call("StopContainer", container_id=client, timeout=0)
    assert runtime.call("ContainerStatus", container_id=client)["status"]["state"] == "CONTAINER_EXITED"
    assert runtime.call("ContainerStatus", container_id=server)["status"]["state"] == "CONTAINER_RUNNING"


def test_containers_outlive_containerd(node: Machine, runtime: cri.Runtime, pod: cri.Pod) -> None:
    """KillMode=process: a restart leaves shims and containers, and the new containerd takes them over."""
    container = pod.container("stays", "sleep", "1000")
    inside, before, processes = _hidden(node), nodes.tasks(node), nodes.shims(node)
    for again in "systemctl restart containerd", "kill -KILL $0":
        pid = node.main_pid("containerd.service")
        node.run("sh", "-euc", again, str(pid))
        node.wait_until(lambda: node.main_pid("containerd.service") not in (0, pid), timeout=20)  # noqa: B023
        assert whereabouts(node, "containerd.service") == ["inside"]
        nodes.load(node)
        assert (nodes.tasks(node), nodes.shims(node), _hidden(node)) == (before, processes, inside)
        assert cri.execute(runtime, container, "echo", "here") == "here\n"
    namespaces = {node.mount_namespace(pid) for pid in [*processes, node.main_pid("containerd.service")]}
    assert len(namespaces) == 1, "a shim of before and the containerd of now"


def test_the_death_of_a_shim(node: Machine, runtime: cri.Runtime, pod: cri.Pod) -> None:
    """A shim is its containers' parent. containerd buries them, and a new pod's shim is inside again."""
    container = pod.container("dies", "sleep", "1000")
    node.run("kill", "-KILL", *map(str, nodes.shims(node)))
    node.wait_until(
        lambda: runtime.call("ContainerStatus", container_id=container)["status"].get("state") == "CONTAINER_EXITED"
    )
    other = runtime.pod("other")
    assert cri.execute(runtime, other.container("a", "sleep", "1000"), "echo", "here") == "here\n"
    assert {node.mount_namespace(pid) for pid in nodes.shims(node)} == {
        node.mount_namespace(node.main_pid("containerd.service"))
    }
    other.remove()
