"""Pods on machines: manifests, and trees for their apps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from machine import Machine

PODS = "/var/lib/kubens/pods"
BUSYBOX = "/usr/bin/busybox"
APPLETS = ("cat", "env", "grep", "id", "ls", "mkdir", "mount", "printf", "sh", "sleep", "stat", "touch", "true")


def give_json(node: Machine) -> None:
    """What Debian 11's python3-minimal leaves out of the standard library, and its python3 has."""
    for library in (node.tree / "usr/lib").glob("python3.*"):
        if (library / "os.py").exists() and not (library / "json").exists():
            node.install(Path(json.__file__).parent, f"/usr/lib/{library.name}/json")


def tree(node: Machine, pod: str, app: str) -> str:
    """A tree with busybox for an app; its path."""
    rootfs = f"{PODS}/{pod}/{app}/rootfs"
    node.install(BUSYBOX, f"{rootfs}/bin/busybox")
    for name in APPLETS:
        node.link(f"{rootfs}/bin/{name}", "busybox")
    return rootfs


def python_tree(node: Machine, pod: str, app: str) -> str:
    """A tree without anything of its own: what it needs is the machine's /usr, as a volume."""
    rootfs = f"{PODS}/{pod}/{app}/rootfs"
    for name in ("bin", "lib", "lib64"):
        node.link(f"{rootfs}/{name}", f"usr/{name}")
    return rootfs


def manifest(node: Machine, pod: str, content: dict[str, Any] | str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    node.write(f"/etc/kubens/pods/{pod}.json", text)


def app(name: str, *exec: str, user: int = 0, **members: Any) -> dict[str, Any]:
    """An app of an appc manifest; `mounts` goes where it belongs."""
    mounts = members.pop("mounts", [])
    described = {"exec": list(exec), "user": str(user), "group": str(user), **members}
    return {"name": name, "image": {"id": "sha512-0"}, "app": described, "mounts": mounts}


def appc(*apps: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"acVersion": "0.7.4", "acKind": "PodManifest", "apps": list(apps), **members}


def kubernetes(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": list(containers), **spec}}


def container(name: str, **members: Any) -> dict[str, Any]:
    """A container that runs a program of its name."""
    return {"name": name, "command": [f"/bin/{name}"], **members}
