"""Limits of pods as the kernel has them, and what the kernel log says of a manifest that is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import vm
from kubens_machine import configure, install
from machine import Machine
from pods.booted import app, appc, container, give_json, kubernetes, manifest, tree

RELEASES = sorted(path for path in vm.TREES.glob("*/") if (path / "usr/bin/systemctl").exists())


def limits(memory: str, cpu: str) -> list[dict[str, object]]:
    return [
        {"name": "resource/memory", "value": {"limit": memory}},
        {"name": "resource/cpu", "value": {"limit": cpu}},
    ]


SHOP = appc(app("worker", "/bin/sleep", "1000", isolators=limits("64Mi", "250m")), isolators=limits("256Mi", "2"))
RESOURCES = {"limits": {"memory": "100Mi", "cpu": "1500m"}, "requests": {"cpu": "500m"}}
JOB = kubernetes(container("main", command=["/bin/sleep", "1000"], resources=RESOURCES))

# Below /sys/fs/cgroup/pods.slice.
LIMITS = {
    "pods-shop.slice/memory.max": str(256 << 20),
    "pods-shop.slice/cpu.max": "200000 100000",
    "pods-shop.slice/shop-worker.service/memory.max": str(64 << 20),
    "pods-shop.slice/shop-worker.service/cpu.max": "25000 100000",
    "pods-shop.slice/shop-worker.service/cpu.weight": "100",
    # A pod of Kubernetes has no limits of its own.
    "pods-job.slice/memory.max": "max",
    "pods-job.slice/job-main.service/memory.max": str(100 << 20),
    "pods-job.slice/job-main.service/cpu.max": "150000 100000",
    # What runc makes of the kubelet's 512 shares.
    "pods-job.slice/job-main.service/cpu.weight": "20",
}
BROKEN = kubernetes(container("main", resources={"limits": {"memory": 0}}))
ERRORS = [
    "/etc/kubens/pods/broken.json: $.spec.containers[0].resources.limits.memory: systemd takes no limit of zero bytes"
    " and would set none: the pod is not made until this is mended",
    "/etc/kubens/services.conf:2: Name=a/b is not a plain unit name, section ignored: choose another",
]
QUESTION = f"""
systemctl is-active shop-pod.target shop-worker job-pod.target job-main broken-pod.target
echo
cd /sys/fs/cgroup/pods.slice && grep -H '' {" ".join(LIMITS)}
echo
dmesg --level=err --notime | grep '^kubens-generator'
"""


@pytest.mark.needs("root", "namespaces", "busybox", "mke2fs", "qemu-system-x86_64")
@pytest.mark.parametrize("release", RELEASES, ids=[path.name for path in RELEASES])
def test_limits_and_errors_reach_the_kernel(machine: Callable[..., Machine], release: Path) -> None:
    node = machine(str(release))
    install(node)
    give_json(node)
    for pod, name in (("shop", "worker"), ("job", "main")):
        tree(node, pod, name)
    manifest(node, "shop", SHOP)
    manifest(node, "job", JOB)
    manifest(node, "broken", BROKEN)
    configure(node, "[MountNamespace]\nName=a/b\n")
    states, values, errors = vm.ask(node, QUESTION).split("\n\n")
    assert states.split() == ["active"] * 4 + ["inactive"]
    assert dict(line.split(":", 1) for line in values.splitlines()) == LIMITS
    # The manifest's line is there where Python has _json, which not every python3-minimal brings.
    changing = r"^kubens-generator\[\d+\]: |(?<=json):1(?=: \$)"
    assert [re.sub(changing, "", line) for line in errors.splitlines()] == ERRORS
