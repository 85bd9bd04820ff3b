"""kubelet inside, beside containerd: its node is ready, a pod has its volumes, and PID 1 sees none of them.

kubelet is 1.20's, of Debian's source (kubelet.sh); the API server is a stand-in (apiserver.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import node as nodes
from kubens_machine import configure, service, whereabouts
from machine import CHECKOUT, Machine

PORT = "8080"
CONFIGURATION = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "contentType": "application/json",
    "syncFrequency": "2s",
    # What nspawn machines lack: cgroup controllers, and a file system of which cadvisor knows the device.
    "cgroupsPerQOS": False,
    "enforceNodeAllocatable": [],
    "featureGates": {"LocalStorageCapacityIsolation": False},
    "evictionHard": {"memory.available": "1Mi"},
    "imageGCHighThresholdPercent": 100,
    "failSwapOn": False,
    "makeIPTablesUtilChains": False,
    "resolvConf": "",
}
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "stand-in", "cluster": {"server": f"http://127.0.0.1:{PORT}"}}],
    "users": [{"name": "kubelet", "user": {}}],
    "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "kubelet"}}],
    "current-context": "stand-in",
}
KUBELET = """\
[Unit]
After=containerd.service apiserver.service

[Service]
ExecStart=/usr/bin/kubelet --config=/etc/kubelet/config.json --kubeconfig=/etc/kubelet/kubeconfig \\
    --container-runtime=remote --container-runtime-endpoint=unix:///run/containerd/containerd.sock \\
    --hostname-override=node
Restart=always
KillMode=process

[Install]
WantedBy=multi-user.target
"""
# kubelet sets them, nspawn forbids it, and they would be those of this computer: it finds files with what it wants.
SYSCTLS = {
    "vm/overcommit_memory": 1,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
VOLUMES: dict[str, dict[str, Any]] = {
    "config": {"configMap": {"name": "settings", "defaultMode": 0o644}},
    "secret": {"secret": {"secretName": "key", "defaultMode": 0o600}},
    "empty": {"emptyDir": {}},
    "memory": {"emptyDir": {"medium": "Memory"}},
    "host": {"hostPath": {"path": "/srv/data"}},
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "nodeName": "node",
        "automountServiceAccountToken": False,
        "dnsPolicy": "Default",
        "enableServiceLinks": False,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 1,
        "volumes": [{"name": name, **volume} for name, volume in VOLUMES.items()],
        "containers": [
            {
                "name": "main",
                "image": nodes.BUSYBOX,
                "imagePullPolicy": "Never",
                "command": ["sh", "-c", "echo a note >/volumes/memory/file; cat /volumes/*/file; exec sleep 1000"],
                "volumeMounts": [{"name": name, "mountPath": f"/volumes/{name}"} for name in VOLUMES],
            }
        ],
    },
}
NAMESPACE = "/api/v1/namespaces/default"
SETTINGS = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "default"}}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key", "namespace": "default"}, "type": "Opaque"}
OBJECTS = [
    {"path": f"{NAMESPACE}/configmaps/settings", "object": {**SETTINGS, "data": {"file": "a setting\n"}}},
    {"path": f"{NAMESPACE}/secrets/key", "object": {**SECRET, "data": {"file": "YSBzZWNyZXQK"}}},
    {"path": f"{NAMESPACE}/pods/web", "object": POD},
]
ASK = """
import sys, urllib.request
method, path, body = sys.argv[1:]
request = urllib.request.Request("http://127.0.0.1:8080" + path, body.encode() or None, method=method)
print(urllib.request.urlopen(request).read().decode())
"""


@pytest.fixture
def node() -> Iterator[Machine]:
    # containerd 2 no longer speaks the CRI of kubelet 1.20.
    with nodes.machine(nodes.TREES / "bookworm", kmsg=True) as made:
        _install(made)
        made.boot()
        _stand_in_for_the_kernel(made)
        nodes.load(made)
        made.systemctl("start", "apiserver", "kubelet")
        yield made


def _install(node: Machine) -> None:
    configure(node, "[MountNamespace]\nWrap=containerd.service kubelet.service\n")
    node.install(nodes.TREES / "kubelet", "/usr/bin/kubelet")
    node.install(CHECKOUT / "tests/node/apiserver.py", "/usr/lib/apiserver.py")
    node.write("/etc/kubelet/config.json", json.dumps(CONFIGURATION))
    node.write("/etc/kubelet/kubeconfig", json.dumps(KUBECONFIG))
    node.write("/etc/kubelet/objects.json", json.dumps(OBJECTS))
    node.write("/srv/data/file", "of the host\n")
    service(node, "kubelet.service", KUBELET)
    command = f"/usr/bin/python3 /usr/lib/apiserver.py {PORT} /etc/kubelet/objects.json"
    service(node, "apiserver.service", f"ExecStart={command}")


def _stand_in_for_the_kernel(node: Machine) -> None:
    for name, value in SYSCTLS.items():
        node.write(f"/run/sysctl/{name}", f"{value}\n")
        node.run("mount", "--bind", f"/run/sysctl/{name}", f"/proc/sys/{name}")
    # kubelet takes the node's address from its default route.
    for command in (
        "link add node0 type bridge",
        "address add 192.0.2.1/24 dev node0",
        "link set node0 up",
        "route add default via 192.0.2.254",
    ):
        node.run("ip", *command.split())


def _ask(node: Machine, method: str, path: str, body: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(node.run("/usr/bin/python3", "-c", ASK, method, path, body).stdout)
    return answer


def _condition(node: Machine, path: str) -> bool:
    """Whether a node or a pod is ready."""
    conditions = _ask(node, "GET", path).get("status", {}).get("conditions", [])
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def _volumes(mounts: list[str]) -> list[str]:
    return sorted(path.rpartition("~")[2] for path in mounts if path.startswith("/var/lib/kubelet/"))


def _exec(node: Machine, *command: str) -> str:
    """In the pod's one container, which has /volumes."""
    for name in nodes.tasks(node):
        done = node.run("ctr", "-n", "k8s.io", "tasks", "exec", "--exec-id=a", name, *command, check=False)
        if done.returncode == 0:
            return done.stdout
    return ""


def test_a_node_with_kubelet(node: Machine) -> None:
    node.wait_until(lambda: (node.tree / "var/lib/kubelet/pods").exists(), timeout=60)
    node.wait_until(lambda: _condition(node, f"{NAMESPACE}/pods/web"), timeout=90)
    node.wait_until(lambda: _condition(node, "/api/v1/nodes/node"), timeout=60)
    assert whereabouts(node, "containerd.service", "kubelet.service") == ["inside", "inside"]

    logs = "".join(path.read_text() for path in (node.tree / "var/log/pods").rglob("*.log"))
    assert [line.rpartition(" F ")[2] for line in logs.splitlines()] == [
        "a setting", "of the host", "a note", "a secret"
    ]  # fmt: skip
    assert _volumes(nodes.inside(node)) == ["empty-dir/memory", "secret/secret"]
    assert _volumes(node.mounts()) == [] and nodes.of_containers(node.mounts()) == []

    # A kubelet that has been restarted goes on with the volumes of the one before.
    pid, tasks = node.main_pid("kubelet"), nodes.tasks(node)
    node.systemctl("restart", "kubelet")
    assert node.main_pid("kubelet") != pid
    _ask(node, "PUT", f"{NAMESPACE}/configmaps/settings", json.dumps({**SETTINGS, "data": {"file": "another\n"}}))
    node.wait_until(lambda: _exec(node, "cat", "/volumes/config/file") == "another\n", timeout=120)
    assert nodes.tasks(node) == tasks
    assert _exec(node, "cat", "/volumes/memory/file") == "a note\n"

    _ask(node, "DELETE", f"{NAMESPACE}/pods/web")
    node.wait_until(lambda: not nodes.tasks(node) and not _volumes(nodes.inside(node)), timeout=60)
    assert (node.tree / "srv/data/file").exists()
