"""Pods of Kubernetes booted, beside pods that cannot start, on every release."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kubens_machine import install
from machine import Machine

from .booted import PODS, app, appc, container, give_json, kubernetes, manifest, tree
from .test_booted import mounts_of, settle, states

pytestmark = pytest.mark.needs("busybox")

Maker = Callable[..., Machine]


def shell(name: str, script: str, **members: Any) -> dict[str, Any]:
    return container(name, **{"command": ["/bin/sh", "-c", script], **members})


def mounts(**paths: str) -> list[dict[str, Any]]:
    return [{"name": name, "mountPath": path} for name, path in paths.items()]


# Each line says what could be written to, and what could not.
WRITES = """
for place in / /tmp /run /sized /dev/shm /run/memory /config /dev/null /proc/sys/kernel/core_pattern; do
    if [ -d $place ]; then place=$place/x; fi
    echo x 2>/dev/null >$place && echo $place
done
"""
MAIN = f"""
({WRITES}) >/out/writes 2>/dev/null
id >/out/id
cat /config >/out/config
ls /dev >/out/dev
grep -E 'CapBnd|NoNewPrivs' /proc/self/status >/out/status
stat -c '%a %u %g' /out /sized /dev/shm >/out/modes
grep ' /sized ' /proc/mounts >/out/sized
pwd >/out/pwd
exec sleep 1000
"""

JOB = kubernetes(
    shell(
        "main",
        MAIN,
        workingDir="/bin",
        volumeMounts=[
            *mounts(out="/out", sized="/sized", shm="/dev/shm", memory="/run/memory", sock="/sock"),
            {"name": "config", "mountPath": "/config", "readOnly": True},
        ],
        securityContext={
            "runAsUser": 54321,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    ),
    shell("crash", "exit 3"),
    initContainers=[
        shell("first", "echo first >>/out/order; [ ! -e /out/second ]", volumeMounts=mounts(out="/out")),
        shell("second", "echo second >>/out/order", volumeMounts=mounts(out="/out")),
    ],
    volumes=[
        {"name": "out", "emptyDir": {}},
        {"name": "sized", "emptyDir": {"sizeLimit": "1Mi"}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "config", "hostPath": {"path": "/srv/config.txt", "type": "File"}},
        {"name": "sock", "hostPath": {"path": "/srv/made", "type": "DirectoryOrCreate"}},
    ],
    securityContext={"runAsGroup": 54000, "fsGroup": 54001},
)


def one(script: str = "exec sleep 1000", /, **members: Any) -> dict[str, Any]:
    volumes = members.pop("volumes", [])
    return appc(app("app", "/bin/sh", "-c", script, **members), volumes=volumes)


ETC: dict[str, Any] = {
    "volumes": [{"name": "v", "kind": "host", "source": "/srv"}],
    "mounts": [{"volume": "v", "path": "/data/sub"}],
}
NOTHING: dict[str, Any] = {
    "volumes": [{"name": "v", "kind": "host", "source": "/nowhere"}],
    "mounts": [{"volume": "v", "path": "/v"}],
}

# What stands in the journal of POD-pod.service for each pod that cannot start.
CANNOT: dict[str, tuple[dict[str, Any], str]] = {
    "link": (one(**ETC), "volume v: /data/sub passes a link, to /etc/sub"),
    "missing": (one(**NOTHING), "volume v: /nowhere is not there"),
    "groups": (one(user=1234), "user 1234 is bob here, whose group 777 the app would have too"),
    "bare": (one(), "app has no tree at /var/lib/kubens/pods/bare/app/rootfs"),
}


def test_all_kinds_of_pods(machine: Maker, lower: str) -> None:
    node = machine(lower)
    install(node)
    give_json(node)
    for name in ("main", "crash", "first", "second"):
        tree(node, "job", name)
    node.write("/srv/config.txt", "configured\n")
    manifest(node, "job", JOB)
    for name, (content, _) in CANNOT.items():
        manifest(node, name, content)
        if name != "bare":
            tree(node, name, "app")
    node.link(f"{PODS}/link/app/rootfs/data", "/etc")
    node.write("/etc/passwd", node.read("/etc/passwd") + "bob:x:1234:1234::/:/bin/sh\n")
    node.write("/etc/group", node.read("/etc/group") + "bob:x:1234:\nadmins:x:777:bob\n")
    manifest(node, "broken", '{"kind": "Pod"')
    manifest(node, "fails", one("exit 7"))
    tree(node, "fails", "app")
    manifest(node, "joined", one("exec sleep 1000"))
    tree(node, "joined", "app")
    node.write("/etc/kubens/blue.conf", "[NetworkNamespace]\nName=blue\nTypes=lo\nServices=joined-app.service\n")
    node.boot()
    settle(node)
    check_job(node)
    check_those_that_cannot(node)
    # An app that fails on its way up takes its pod along as well.
    assert states(node, "fails-app.service", "fails-pod.target", "fails-pod.service", "fails-pod-failed.target") == [
        "failed", "inactive", "inactive", "active",
    ]  # fmt: skip
    check_networks(node)
    node.systemctl("stop", "job-pod.target")
    assert mounts_of(node) == []
    settle(node)
    assert node.run("ls", "-A", f"{PODS}/job").stdout == "crash\nfirst\nmain\nsecond\n"


def check_job(node: Machine) -> None:
    out = f"{PODS}/job/.volumes/out"
    node.wait_until(lambda: node.run("test", "-s", f"{out}/pwd", check=False).returncode == 0)
    assert node.read(f"{out}/order") == "first\nsecond\n"
    assert states(node, "job-first", "job-second", "job-main", "job-pod.target") == ["active"] * 4
    # It is started again and again, and the pod goes on.
    assert node.show("job-crash", "SubState") == {"SubState": "auto-restart"}
    user, _, groups = node.read(f"{out}/id").strip().partition(" groups=")
    assert user == "uid=54321 gid=54000" and set(groups.split(",")) == {"54000", "54001"}
    assert node.read(f"{out}/config") == "configured\n"
    assert node.read(f"{out}/status") == "CapBnd:\t0000000000000000\nNoNewPrivs:\t1\n"
    assert node.read(f"{out}/modes") == "2777 0 54001\n" * 3
    assert "size=1024k" in node.read(f"{out}/sized")
    assert node.read(f"{out}/pwd") == "/bin\n"
    written = node.read(f"{out}/writes").split()
    # From 248 on, /run is a tmpfs that systemd makes for the app.
    assert set(written) - {"/run/x"} == {"/sized/x", "/dev/shm/x", "/run/memory/x", "/dev/null"}, written
    assert not {"sda", "kmsg", "mem", "console"} & set(node.read(f"{out}/dev").split())
    assert node.run("stat", "-c", "%F", "/srv/made").stdout == "directory\n"
    options = node.run("findmnt", "-no", "OPTIONS", f"{PODS}/job/main/rootfs/config").stdout
    assert options.startswith("ro,")
    assert node.run("findmnt", "-no", "PROPAGATION", f"{PODS}/job/main/rootfs/out").stdout == "private\n"


def check_those_that_cannot(node: Machine) -> None:
    for name, (_, message) in CANNOT.items():
        assert states(node, f"{name}-pod.service", f"{name}-pod.target", f"{name}-app") == [
            "failed", "inactive", "inactive",
        ], name  # fmt: skip
        assert message in node.journal(f"{name}-pod.service"), name
    assert not (node.tree / "etc/sub").exists()
    assert "/etc/kubens/pods/broken.json:1: $: " in node.journal("kubens-problems")


def check_networks(node: Machine) -> None:
    inside = node.run("readlink", f"/proc/{node.main_pid('joined-app')}/ns/net").stdout
    assert inside == node.run("ip", "netns", "exec", "blue", "readlink", "/proc/self/ns/net").stdout
    assert inside != node.run("readlink", "/proc/1/ns/net").stdout
