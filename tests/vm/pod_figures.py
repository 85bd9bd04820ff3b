"""In a virtual machine: a pod over CRI, with limits; what is seen of it, and again after a restart of containerd."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from node import cri

SOCKET = "/run/containerd/containerd.sock"
LOG = Path("/var/log/pods/web/main.log")
# Some CPU time, memory, a file, and then nothing more.
WORK = (
    "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done;"
    " for file in /dev/shm/file /file; do dd if=/dev/zero of=$file bs=1M count=20 2>/dev/null; done;"
    " echo done; exec sleep 1000"
)
RESOURCES = {"memory_limit_in_bytes": str(64 << 20), "cpu_period": "100000", "cpu_quota": "50000"}


def main() -> None:
    found: dict[str, Any] = {}
    with cri.Runtime(SOCKET) as runtime:
        cri.wait_for(runtime.is_ready)
        pod = runtime.pod("web", cgroup_parent="kubepods-web.slice")
        container = pod.container("main", "sh", "-c", WORK, resources=RESOURCES)
        other = pod.container("other", "sleep", "1000")
        cri.wait_for(lambda: LOG.exists() and "done" in LOG.read_text())
        # containerd keeps count of writable layers itself, every ten seconds.
        cri.wait_for(lambda: _layer(_statistics(runtime, container)) > 16 << 20)
        found["before"] = _seen(runtime, container)
        found["log"] = [line.rpartition(" F ")[2] for line in LOG.read_text().splitlines()]
    subprocess.run(["systemctl", "restart", "containerd"], check=True)
    with cri.Runtime(SOCKET) as runtime:
        cri.wait_for(lambda: runtime.is_ready() and _layer(_statistics(runtime, container)) > 0)
        found["after"] = _seen(runtime, container)
        runtime.call("StopContainer", container_id=other, timeout=0)
        statuses = [runtime.call("ContainerStatus", container_id=one)["status"] for one in (container, other)]
        found["states"] = [status["state"] for status in statuses]
        found["mounts"] = _mounts()
        runtime.remove(pod.identity)
        found["left"] = _mounts()
    json.dump(found, sys.stdout)


def _statistics(runtime: cri.Runtime, container: str) -> dict[str, Any]:
    answer: dict[str, Any] = runtime.call("ContainerStats", container_id=container)["stats"]
    return answer


def _layer(statistics: dict[str, Any]) -> int:
    return int(statistics.get("writable_layer", {}).get("used_bytes", {}).get("value", 0))


def _seen(runtime: cri.Runtime, container: str) -> dict[str, Any]:
    """What containerd says a container uses, what the kernel lets it have, and what a command in it writes."""
    statistics = _statistics(runtime, container)
    pid = json.loads(runtime.call("ContainerStatus", container_id=container, verbose=True)["info"]["info"])["pid"]
    group = Path(f"/proc/{pid}/cgroup").read_text().strip().rpartition("::")[2]
    limits = {name: Path(f"/sys/fs/cgroup{group}/{name}").read_text().strip() for name in ("memory.max", "cpu.max")}
    return {
        "cpu": int(statistics["cpu"]["usage_core_nano_seconds"]["value"]),
        "memory": int(statistics["memory"]["working_set_bytes"]["value"]),
        "layer": _layer(statistics),
        "pid": pid,
        "limits": limits,
        "profile": Path(f"/proc/{pid}/attr/current").read_text().strip(),
        "exec": cri.execute(runtime, container, "echo", "here"),
    }


def _mounts() -> dict[str, int]:
    """How many mounts of containers the host sees, and the namespace."""
    inside = subprocess.run(["kubensenter", "-q", "--", "cat", "/proc/self/mountinfo"], capture_output=True, check=True)
    tables = {"host": Path("/proc/1/mountinfo").read_text(), "inside": inside.stdout.decode()}
    return {
        name: sum(" /run/containerd/" in line or " /run/netns/cni" in line for line in table.splitlines())
        for name, table in tables.items()
    }


main()
