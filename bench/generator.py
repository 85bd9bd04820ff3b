"""What the generator costs: run by bench.py in a mount namespace of its own. Writes JSON.

Installed by `make install`, with the machine's own units and the real paths: KUBENS_ROOT= would cost extra, which no
boot pays. /etc is a copy therefore, and /run empty. Arguments: an empty directory, and which part of all runs to make.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure

CHECKOUT = Path(__file__).resolve().parent.parent
NODES = CHECKOUT / "tests/nodes"
BARE = ("/usr/bin/python3", "-I", "-S", "-c", "pass")
UNITS = Path("/etc/systemd/system")
CONFIGURATION = Path("/etc/kubens/services.conf")
PODS = Path("/etc/kubens/pods")


def main() -> None:
    scratch, scale = Path(sys.argv[1]), float(sys.argv[2])
    generator = prepare(scratch)
    # (what, how many services, times the bare interpreter at most or 0, rounds, how to get there)
    cases: list[tuple[str, int, float, int, Callable[[], None]]] = [
        ("no configuration", 0, 1.1, 300, CONFIGURATION.unlink),
        ("the configuration as shipped", 0, 1.1, 300, declare_as_shipped()),
        ("2 Wrap", 2, 1.2, 300, lambda: declare_node(env="")),
        ("2 Wrap, 1 Env", 3, 1.25, 300, declare_node),
        ("2 Wrap, 1 Env, 2 network namespaces, 1 pod", 6, 1.6, 300, lambda: declare_all(a_pod())),
        ("the same, the pod of two apps with all there is", 7, 0, 300, lambda: declare_all(a_large_pod())),
        ("10 Wrap, each with two drop-ins", 10, 0, 200, lambda: declare_many(10)),
        ("100 Wrap", 100, 0, 100, lambda: declare_many(100)),
        ("1000 Wrap", 1000, 10.5, 30, lambda: declare_many(1000)),
        ("1000 Wrap, no two files alike", 1000, 0, 30, lambda: declare_many(1000, alike=False)),
    ]
    results = []
    pristine = scratch / "pristine"
    shutil.copytree(UNITS, pristine, symlinks=True)
    bare = {"instructions": measure.instructions(BARE), "memory": measure.peak_memory(BARE)}
    for title, services, limit, rounds, arrange in cases:
        if scale < 1 and services > 100:
            continue
        shutil.rmtree(UNITS)
        shutil.copytree(pristine, UNITS, symlinks=True)
        shutil.rmtree(PODS, ignore_errors=True)
        arrange()
        measured = cost(generator, scratch, round(rounds * scale), bare)
        results.append({"title": title, "services": services, "limit": limit, **measured})
    json.dump(results, sys.stdout)


def prepare(scratch: Path) -> str:
    """Cover what the machine's administrator configured, and install; the generator's path."""
    mount("-t", "tmpfs", "-o", "mode=755", "kubens-bench", scratch)
    shutil.copytree("/etc", scratch / "etc", symlinks=True)
    mount("--bind", scratch / "etc", "/etc")
    mount("-t", "tmpfs", "-o", "mode=755", "kubens-bench", "/run")
    for directory in ("/etc/kubens", "/etc/conf.d/netns", "/etc/netns"):
        shutil.rmtree(directory, ignore_errors=True)
    make = ["make", "--silent", f"--directory={CHECKOUT}", "install", "DESTDIR=", f"PREFIX={scratch}/usr"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    return f"{scratch}/usr/lib/systemd/system-generators/kubens-generator"


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def declare_as_shipped() -> Callable[[], None]:
    shipped = CONFIGURATION.read_text()
    return lambda: declare(shipped)


def declare(text: str) -> None:
    CONFIGURATION.write_text(text)


def declare_node(env: str = "crio.service", more: str = "") -> None:
    """containerd, kubelet with kubeadm's drop-in, and CRI-O."""
    for service in ("containerd", "kubelet", "crio"):
        shutil.copytree(NODES / service / "usr/lib/systemd/system", UNITS, dirs_exist_ok=True)
    declare(f"[MountNamespace]\nWrap=containerd.service kubelet.service\nEnv={env}\n{more}")


def a_pod() -> str:
    """One app, as a node has it beside its services."""
    app = {
        "exec": ["/usr/bin/web", "--root", "/srv/site"],
        "user": "33",
        "group": "33",
        "environment": [{"name": "LANG", "value": "C.UTF-8"}],
        "mountPoints": [{"name": "data", "path": "/srv/site", "readOnly": True}],
        "ports": [{"name": "http", "protocol": "tcp", "port": 8080}],
        "isolators": [{"name": "resource/memory", "value": {"limit": "64Mi"}}],
    }
    image = {"id": "sha512-" + "1" * 64}
    volumes = [{"name": "data", "kind": "host", "source": "/srv/shop"}]
    manifest = {"acVersion": "0.8.11", "acKind": "PodManifest"}
    return json.dumps({**manifest, "apps": [{"name": "web", "image": image, "app": app}], "volumes": volumes})


def a_large_pod() -> str:
    """That of the tests, without what it is warned of, as on a node where somebody has read that."""
    pod = json.loads((CHECKOUT / "tests/pods/pod.json").read_text())
    del pod["apps"][0]["app"]["isolators"][0]["value"]["request"]
    pod["volumes"].append({"name": "cache", "kind": "empty"})
    return json.dumps(pod, indent=2)


def declare_all(pod: str) -> None:
    """That, a service each in two network namespaces, and a pod."""
    for name in ("download", "metrics"):
        (UNITS / f"{name}.service").write_text("[Service]\nExecStart=/usr/bin/true\n")
    PODS.mkdir()
    (PODS / "shop.json").write_text(pod)
    declare_node(
        more="[NetworkNamespace]\nName=blue\nTypes=lo nft\nServices=download\n"
        "[NetworkNamespace]\nName=green\nTypes=lo\nServices=metrics\n"
    )


def declare_many(count: int, alike: bool = True) -> None:
    """Services with two drop-ins each. alike: whether they are copies, and know by their names what they are for."""
    services = [f"bench-{number}.service" for number in range(count)]
    for service in services:
        name, word = ("%N", "$NAME") if alike else (service, service)
        (UNITS / service).write_text(
            f"[Unit]\nDescription=A service to be wrapped, {name}\nAfter=network.target\n\n"
            f"[Service]\nType=notify\nExecStart=/usr/bin/true --flag {word}\nRestart=always\n\n"
            "[Install]\nWantedBy=multi-user.target\n"
        )
        dropins = UNITS / f"{service}.d"
        dropins.mkdir()
        (dropins / "10-name.conf").write_text(f"[Service]\nEnvironment=NAME={name}\n")
        (dropins / "20-command.conf").write_text(f"[Service]\nExecStart=\nExecStart=/usr/bin/true --all {word}\n")
    declare("[MountNamespace]\n" + "".join(f"Wrap={service}\n" for service in services))


def cost(generator: str, scratch: Path, rounds: int, bare: dict[str, int | None]) -> dict[str, Any]:
    """One case against the bare interpreter, by the clock, by instructions and by memory."""
    output = scratch / "output"
    command = (generator, str(output))

    def generate() -> float:
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        return measure.seconds(command)

    def start_bare() -> float:
        return measure.seconds(BARE)

    taken, bare_taken, ratio = measure.paired(generate, start_bare, rounds)
    result: dict[str, Any] = {"seconds": taken, "bare_seconds": bare_taken, "ratio": ratio}
    for key, gauge in (("instructions", measure.instructions), ("memory", measure.peak_memory)):
        shutil.rmtree(output)
        output.mkdir()
        own, reference = gauge(command), bare[key]
        result[f"{key}_ratio"] = own / reference if own and reference else None
    return result


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main()
