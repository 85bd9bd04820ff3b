"""The kubectl of every Debian release renders every overlay; run by `make check-packages`, which downloads them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from machine import CHECKOUT, Machine
from package import apt_get

OVERLAYS = [path.parent for path in sorted((CHECKOUT / "deploy").rglob("kustomization.yaml"))]
OF_OVERLAY = {
    "daemonset": ["ConfigMap", "DaemonSet", "Role", "RoleBinding", "ServiceAccount"],
    "openshift": ["MachineConfig", "MachineConfig"],
    "worker": ["MachineConfig"],
    "master": ["MachineConfig"],
    "base": ["MachineConfig"],
}


def test_kubernetes_client_renders_every_overlay(
    machine: Callable[..., Machine], tmp_path: Path, each_lower: str
) -> None:
    node = machine(each_lower)
    tree = str(node.tree)
    if each_lower == "/":
        # What this machine itself has may be from elsewhere.
        subprocess.run(["apt-get", "-qq", "download", "kubernetes-client"], cwd=tmp_path, check=True)
        subprocess.run(["dpkg-deb", "--extract", *tmp_path.glob("*.deb"), tree], check=True)
    else:
        apt_get(node, "kubernetes-client")
    (node.tree / "root/kubens").mkdir()
    subprocess.run(["cp", "-R", str(CHECKOUT / "deploy"), tree + "/root/kubens/deploy"], check=True)
    kubectl = ("chroot", tree, "/usr/bin/kubectl")
    version = subprocess.run([*kubectl, "version", "--client"], check=True, capture_output=True, text=True).stdout
    print(version)
    assert {path.name for path in OVERLAYS} == OF_OVERLAY.keys()
    for overlay in OVERLAYS:
        rendered = _rendered(kubectl, f"/root/kubens/deploy/{overlay.relative_to(CHECKOUT / 'deploy')}")
        assert sorted(document["kind"] for document in rendered) == OF_OVERLAY[overlay.name]
        if overlay.name in ("worker", "master"):
            role = {"machineconfiguration.openshift.io/role": overlay.name}
            assert rendered[0]["metadata"] == {"name": f"99-{overlay.name}-kubens", "labels": role}
        elif overlay.name == "daemonset":
            by_kind = {document["kind"]: document for document in rendered}
            volumes = by_kind["DaemonSet"]["spec"]["template"]["spec"]["volumes"]
            assert volumes[1]["configMap"]["name"] == by_kind["ConfigMap"]["metadata"]["name"] != "kubens-services"
    if "v1.20." not in version:
        _renders_the_example(node, kubectl)


def _rendered(kubectl: tuple[str, ...], place: str) -> list[Any]:
    done = subprocess.run([*kubectl, "kustomize", place], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def _renders_the_example(node: Machine, kubectl: tuple[str, ...]) -> None:
    """The overlay in deploy/README.md, beside a checkout."""
    lines = (CHECKOUT / "deploy/README.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("    resources:"))
    end = lines.index("", start)
    node.write("/root/mine/kustomization.yaml", "\n".join(line[4:] for line in lines[start:end]) + "\n")
    node.write("/root/mine/services.conf", "[MountNamespace]\nWrap=mine\n")
    by_kind = {document["kind"]: document for document in _rendered(kubectl, "/root/mine")}
    assert by_kind["ConfigMap"]["data"] == {"services.conf": "[MountNamespace]\nWrap=mine\n"}
    pod = by_kind["DaemonSet"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "REGISTRY/kubens:0.1.0"
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "kubens": "yes"}
    assert pod["volumes"][1]["configMap"]["name"] == by_kind["ConfigMap"]["metadata"]["name"]
