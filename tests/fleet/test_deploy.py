"""deploy/: rendered by kubectl, applied as the specification says, and booted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

import nodes
from fleet import api_server, apply_ignition
from kubens_machine import install, service, whereabouts
from machine import CHECKOUT, Machine
from package import apt_get

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
def test_a_node_of_openshift(machine: Maker, each_lower: str) -> None:
    node = machine(each_lower)
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


def _build(node: Machine, containerfile: Path) -> None:
    """Carry out the steps of a Containerfile in a tree that has all packages already; COPY and RUN are all there is."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    steps = [line.split() for line in containerfile.read_text().splitlines()]
    for step in (step for step in steps if step and step[0] not in ("#", "ARG", "FROM", "ENTRYPOINT")):
        if step[:2] == ["RUN", "apt-get"]:
            continue
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


def _with_make(machine: Maker, lower: str) -> Machine:
    node = machine(lower)
    if lower != "/":
        apt_get(node, "make", "python3")
    return node


def test_the_image(machine: Maker, each_lower: str) -> None:
    node = _with_make(machine, each_lower)
    nodes.install(node, "containerd", "kubelet")
    _build(node, CHECKOUT / "deploy/image/Containerfile")
    node.boot()
    assert whereabouts(node, "containerd", "kubelet") == ["inside", "inside"]


@pytest.mark.needs("kubectl")
def test_the_manifests_of_the_daemonset() -> None:
    rendered = {document["kind"]: document for document in _rendered(CHECKOUT / "deploy/daemonset")}
    assert rendered.keys() == {"ServiceAccount", "Role", "RoleBinding", "ConfigMap", "DaemonSet"}
    for document in rendered.values():
        assert document["metadata"]["namespace"] == "kube-system"
        for version in ("1.25", "1.35"):
            kubernetes_validate.validate(document, version, strict=True)
    pod = rendered["DaemonSet"]["spec"]["template"]["spec"]
    # What changes with the configuration is the name of what the pods mount; what they may look at does not.
    assert pod["volumes"][1]["configMap"]["name"] == rendered["ConfigMap"]["metadata"]["name"] != "kubens-services"
    assert rendered["Role"]["rules"][0]["resourceNames"] == [rendered["DaemonSet"]["metadata"]["name"]]


POD = f"""\
[Service]
Environment={" ".join(api_server.ENVIRONMENT)} POD_NAMESPACE=kube-system DAEMONSET=kubens
ExecStartPre=rm -f /tmp/ready
ExecStart=/usr/bin/python3 -I /node.py
"""


@pytest.mark.needs("openssl")
def test_the_life_of_a_daemonset_on_a_node(machine: Maker, tmp_path: Path, each_lower: str) -> None:
    """Installed, updated, deleted; the pod's program runs as a service, with the node's root where a pod has it."""
    node = _with_make(machine, each_lower)
    _build(node, CHECKOUT / "deploy/daemonset/Containerfile")
    api_server.write(node, tmp_path, "kubens")
    node.write("/config/services.conf", "[MountNamespace]\nWrap=a\n")
    node.link("/host", "/")
    service(node, "pod.service", POD)
    service(node, "a.service", "ExecStart=/bin/sleep 1000")
    node.boot()
    api_server.start(node)
    node.systemctl("start", "a")
    pid = node.main_pid("a")

    def start() -> None:
        node.systemctl("start", "pod")
        node.wait_until((node.tree / "tmp/ready").exists, timeout=30)

    start()
    # No service is disturbed.
    assert node.main_pid("a") == pid
    assert whereabouts(node, "a") == ["host"]
    node.systemctl("restart", "a")
    assert whereabouts(node, "a") == ["inside"]

    # An update: what is no part of the new version goes, what is declared now is followed.
    node.systemctl("stop", "pod")
    node.run("rm", "/payload/usr/local/share/man/man8/kubens-generator.8", check=False)
    node.run("rm", "/payload/usr/local/bin/kubensctl")
    node.write("/config/services.conf", "[MountNamespace]\nWrap=a b\n")
    start()
    assert not (node.tree / "usr/local/bin/kubensctl").exists()
    assert (node.tree / "usr/local/bin/kubensenter").exists()
    assert node.read("/etc/kubens/60-daemonset.conf").endswith("Wrap=a b\n")
    assert whereabouts(node, "a") == ["inside"]

    # Nobody answers: a node that goes down keeps everything.
    node.systemctl("stop", "api", "pod")
    assert (node.tree / "usr/local/lib/systemd/system-generators/kubens-generator").exists()
    node.systemctl("start", "api")
    start()
    pid = node.main_pid("a")

    # Deleted.
    api_server.answer(node, api_server.GONE)
    node.systemctl("stop", "pod")
    assert node.main_pid("a") == pid
    places = ("/usr/local", "/etc/kubens", "/var/lib/kubens")
    names = ("(", "-name", "*kubens*", "-o", "-name", "netns*", ")", "!", "-type", "d")
    assert node.run("find", *places, *names, check=False).stdout == ""
    node.systemctl("restart", "a")
    assert whereabouts(node, "a") == ["inside"]
    node.reboot()
    node.systemctl("start", "a")
    assert whereabouts(node, "a") == ["host"]


def test_a_node_with_a_package_is_left_alone(machine: Maker) -> None:
    node = machine()
    node.install(CHECKOUT / "deploy/daemonset/node.py", "/node.py")
    node.link("/host", "/")
    install(node)
    node.boot()
    done = node.run("/usr/bin/python3", "-I", "/node.py", check=False)
    assert done.returncode == 1
    assert "the node has a package of kubens" in done.stderr
