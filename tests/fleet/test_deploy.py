"""deploy/: rendered by kubectl, applied as the specification says, and booted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import nodes
from fleet import apply_ignition
from kubens_machine import service, whereabouts
from machine import CHECKOUT, Machine

Maker = Callable[..., Machine]

OPENSHIFT = CHECKOUT / "deploy/openshift"
# Enters by itself, as these services of OpenShift do.
ENTERS = "ExecStart=/bin/sh -c 'exec $${KUBENSMNT:+nsenter --mount=$$KUBENSMNT} sleep 1000'"


def _rendered(directory: Path) -> list[Any]:
    done = subprocess.run(["kubectl", "kustomize", directory], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(done.stdout))


def test_make_deploy_gives_what_is_there(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-I", OPENSHIFT / "make.py", tmp_path], check=True)
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.yaml")}
    assert made == {path.relative_to(OPENSHIFT): path.read_text() for path in OPENSHIFT.rglob("*.yaml")}


@pytest.mark.needs("kubectl")
def test_every_overlay_of_openshift() -> None:
    """A pool takes what has its role as a label; names of MachineConfigs are the cluster's."""
    everything = _rendered(OPENSHIFT)
    for role in ("worker", "master"):
        (config,) = _rendered(OPENSHIFT / role)
        assert config["kind"] == "MachineConfig"
        assert config["metadata"]["name"] == f"99-{role}-kubens"
        assert config["metadata"]["labels"] == {"machineconfiguration.openshift.io/role": role}
        everything.remove(config)
    assert everything == []


@pytest.mark.needs("kubectl")
def test_a_node_of_openshift(machine: Maker, lower: str) -> None:
    node = machine(lower)
    for name in ("crio", "kubelet"):
        service(node, f"{name}.service", ENTERS)
        node.link(f"/etc/systemd/system/multi-user.target.wants/{name}.service", f"../{name}.service")
    (config,) = _rendered(OPENSHIFT / "worker")
    apply_ignition(node.tree, config["spec"]["config"])
    node.boot()
    assert whereabouts(node, "crio", "kubelet") == ["inside", "inside"]
    inside = node.mount_namespace(node.main_pid("crio"))
    for helper in ("nsenterCmns", "nsenterCms"):
        assert node.run(f"/usr/local/bin/{helper}", "readlink", "/proc/self/ns/mnt").stdout.strip() == inside
    # A node whose namespace cannot be made comes up as without.
    node.run("rm", "/usr/bin/unshare")
    node.reboot()
    assert whereabouts(node, "crio", "kubelet") == ["host", "host"]


def test_the_image(machine: Maker) -> None:
    """The steps of the Containerfile, carried out in a tree; COPY and RUN are all there is."""
    node = machine()
    nodes.install(node, "containerd", "kubelet")
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    steps = [line.split() for line in (CHECKOUT / "deploy/image/Containerfile").read_text().splitlines()]
    for step in (step for step in steps if step and step[0] not in ("#", "ARG", "FROM")):
        if step[0] == "RUN":
            command = ["chroot", str(node.tree), "sh", "-euc", " ".join(step[1:])]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        elif step[:2] == ["COPY", "."]:
            for name in filter(None, listed.split("\0")):
                if not name.startswith("tests/") and (CHECKOUT / name).is_file():
                    node.install(CHECKOUT / name, f"{step[2]}/{name}")
        else:
            _, source, target = step
            node.install(CHECKOUT / source, target)
    node.boot()
    assert whereabouts(node, "containerd", "kubelet") == ["inside", "inside"]
