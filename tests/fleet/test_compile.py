"""`kubensctl compile`: what is made for machines without the generator, applied and booted there."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

import nodes
from ctl import kubensctl, tree, write
from fleet import Files, api_server, apply_ignition, butane_to_ignition, ignition_files
from kubens_machine import configure, service, whereabouts
from machine import Machine
from netns import namespace_of, remains
from package import apt_get

Maker = Callable[..., Machine]

CHECK = "kubens-compiled.service"
OWN = "NO_CONFIG_REQUIRED=1\nconfigure_own_down_outside() { echo down >/run/own; }\n"
CONF = "/etc/kubens/services.conf"
FILES = {
    CONF: "[MountNamespace]\nWrap=a b@ absent\nWhenMissing=host\n[MountNamespace]\nName=blue\nEnv=c\n",
    "/etc/systemd/system/a.service": "[Service]\nExecStart=/usr/bin/a é \\\n  'two  words'\n",
    "/etc/systemd/system/b@.service": "[Service]\nExecStart=/usr/bin/a %i\n",
    "/etc/systemd/system/b@own.service.d/own.conf": "[Service]\nExecStart=\nExecStart=/usr/bin/a 100%%\n",
    "/etc/systemd/system/c.service": "[Service]\nExecStart=/usr/bin/a\n",
}


def _compiled(root: Path, format: str, *options: str) -> Any:
    done = kubensctl("compile", f"--root={root}", f"--format={format}", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if format == "ignition" else yaml.safe_load(done.stdout)


def _read(directory: Path) -> Files:
    return {
        f"/{path.relative_to(directory)}": (path.stat().st_mode & 0o777, path.read_text())
        for path in directory.rglob("*") if path.is_file() and not path.is_symlink()
    }  # fmt: skip


def _node(node: Machine) -> None:
    """A node without kubens: an Env service, a wrapped one, and a template of which an instance differs."""
    nodes.install(node, "kubelet", "crio")
    configure(node, "[MountNamespace]\nWrap=kubelet nap@ later\nEnv=crio\n")
    service(node, "nap@.service", "ExecStart=sleep 1%i")
    service(node, "nap@7.service.d/own.conf", "ExecStart=\nExecStart=sleep 2%i")
    for instance in ("6", "7"):
        node.link(f"/etc/systemd/system/multi-user.target.wants/nap@{instance}.service", "../nap@.service")
    service(node, "kubelet.service.d/10-args.conf", "Environment=KUBELET_EXTRA_ARGS=a")


def test_ignition_brings_the_members_into_the_namespace(machine: Maker, each_lower: str) -> None:
    """From first boot to a change that is noticed, and on to the next compilation; no generator, no configuration."""
    node = machine(each_lower)
    _node(node)
    made = _compiled(node.tree, "ignition")
    (node.tree / CONF.lstrip("/")).unlink()
    apply_ignition(node.tree, made)
    node.boot()
    members = ("kubelet", "nap@6", "nap@7")
    assert whereabouts(node, *members) == ["inside"] * 3
    assert nodes.report(node, "crio")["environment"]["KUBENSMNT"] == "/run/kubens/mnt"
    assert node.read(f"/proc/{node.main_pid('nap@7')}/cmdline") == "sleep\0" "27\0"
    assert node.show(CHECK, "ActiveState", "NRestarts")["ActiveState"] == "active"
    assert node.show("kubens", "NeedDaemonReload") == {"NeedDaemonReload": "no"}

    # What kubens has no use for may change, as it does on every node of OpenShift.
    service(node, "kubelet.service.d/20-nodenet.conf", "Environment=KUBELET_NODE_IP=192.0.2.1")
    service(node, "kubelet.service.d/10-args.conf", "Environment=KUBELET_EXTRA_ARGS=b")
    node.systemctl("daemon-reload")
    node.systemctl("restart", CHECK)

    unit = "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
    node.write(unit, node.read(unit).replace("ExecStart=/usr/bin/kubelet", "ExecStart=/usr/bin/kubelet --new"))
    service(node, "crio.service.d/30-more.conf", "  ExecStartPre = /bin/true")
    service(node, "later.service", "ExecStart=/bin/sleep 1000")
    node.run("rm", "/etc/systemd/system/nap@7.service.d/own.conf")
    node.reboot()
    assert node.show(CHECK, "ActiveState") == {"ActiveState": "failed"}
    said = node.journal(CHECK, "--output=cat", f"_SYSTEMD_UNIT={CHECK}").splitlines()
    crio, kubelet, later, nap, next_step = said
    assert crio.endswith("/crio.service.d/30-more.conf: is new")
    assert kubelet == f"{unit}: has changed"
    assert later == "later.service: /etc/systemd/system/later.service is its file, and was nowhere"
    assert nap == "/etc/systemd/system/nap@7.service.d/own.conf: has changed"
    assert next_step.endswith("kubensctl compile")
    # Not what the new unit says: that is what was to be noticed.
    assert "--new" not in str(nodes.report(node, "kubelet"))

    configure(node, "[MountNamespace]\nWrap=kubelet nap@ later\nEnv=crio\n")
    apply_ignition(node.tree, _compiled(node.tree, "ignition"))
    (node.tree / CONF.lstrip("/")).unlink()
    node.reboot()
    assert node.show(CHECK, "ActiveState") == {"ActiveState": "active"}
    assert whereabouts(node, *members) == ["inside"] * 3
    assert "--new" in str(nodes.report(node, "kubelet"))


def test_files_over_the_root_and_the_way_back(machine: Maker, each_lower: str) -> None:
    """--format=units, with kubensenter brought along where there may be no namespace; and what is left out goes."""
    node = machine(each_lower)
    for name in "a", "b":
        service(node, f"{name}.service", "ExecStart=/bin/sleep 1000")
        node.link(f"/etc/systemd/system/multi-user.target.wants/{name}.service", f"../{name}.service")
    arguments = ("compile", f"--root={node.tree}", "--format=units", f"--output={node.tree}")
    configure(node, "[MountNamespace]\nWhenMissing=host\nWrap=a b\n")
    assert kubensctl(*arguments).returncode == 0
    # A second time over what is there already.
    before = _read(node.tree / "etc/systemd/system")
    assert kubensctl(*arguments).returncode == 0
    assert _read(node.tree / "etc/systemd/system") == before
    node.boot()
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
    node.systemctl("stop", "kubens")
    node.run("mv", "/usr/bin/unshare", "/usr/bin/unshare.away")
    node.systemctl("start", "a", "b")
    assert whereabouts(node, "a", "b") == ["host", "host"]

    node.poweroff()
    (node.tree / "usr/bin/unshare.away").rename(node.tree / "usr/bin/unshare")
    configure(node, "[MountNamespace]\nName=other\nWrap=a\n")
    assert kubensctl(*arguments).returncode == 0
    node.boot()
    assert whereabouts(node, "a", "b", name="other") == ["inside", "host"]
    assert node.show("kubens", "LoadState") == {"LoadState": "not-found"}
    assert node.systemctl("--failed", "--no-legend", "--plain").stdout == ""


@pytest.mark.needs("curl", "openssl", "busybox")
def test_the_life_of_a_daemonset(machine: Maker, tmp_path: Path, each_lower: str) -> None:
    """Its pod's command, run as a service, with the node's root and the ConfigMap's files where the pod has them."""
    node = machine(each_lower)
    if each_lower != "/":
        apt_get(node, "curl", "python3")
    service(node, "a.service", "ExecStart=/bin/sleep 1000")
    service(node, "b@.service", "ExecStart=/bin/sleep 100%i")
    service(node, "c.service", "ExecStart=/bin/sleep 1000")
    node.write("/etc/conf.d/netns/own.sh", OWN)
    node.link("/host", "/")
    api_server.write(node, tmp_path, "kubens-compiled")
    node.boot()
    api_server.start(node)
    node.systemctl("start", "a", "b@1")
    pid = node.main_pid("a")
    _roll_out(node, "[MountNamespace]\nWrap=a b@\n[NetworkNamespace]\nName=blue\nTypes=own\nServices=c\n")
    assert node.main_pid("a") == pid
    assert whereabouts(node, "a", "b@1") == ["host", "host"]
    node.systemctl("restart", "a", "b@1")
    node.systemctl("start", "c")
    assert whereabouts(node, "a", "b@1") == ["inside", "inside"]
    assert namespace_of(node, "c") == "blue"

    # An update, and a node that loses its pod: what is left out stays as long as it lives.
    pids = [node.main_pid(name) for name in ("a", "b@1", "c")]
    node.systemctl("stop", "pod")
    assert (node.tree / "etc/systemd/system/a.service.d/zz-kubens.conf").exists()
    configuration = "[MountNamespace]\nWrap=a\n"
    (node.tree / "etc/conf.d/netns/own.sh").unlink()
    _roll_out(node, configuration)
    assert [node.main_pid(name) for name in ("a", "b@1", "c")] == pids
    node.systemctl("restart", "b@1", "c")
    assert whereabouts(node, "a", "b@1") == ["inside", "inside"]
    assert namespace_of(node, "c") == "blue"
    node.systemctl("stop", "netns-own@blue")
    assert (remains(node), node.read("/run/own")) == ([], "down\n")
    node.reboot()
    node.systemctl("start", "a", "b@1")
    assert whereabouts(node, "a", "b@1") == ["inside", "host"]
    assert node.show(CHECK, "ActiveState") == {"ActiveState": "active"}

    # Deleted.
    api_server.start(node)
    _roll_out(node, configuration)
    api_server.answer(node, api_server.GOING)
    pid = node.main_pid("a")
    node.systemctl("stop", "pod")
    assert node.main_pid("a") == pid
    for arguments in (("/etc/systemd/system", "-name", "*kubens*"), ("/opt", "-name", "*kubens*")):
        assert node.run("find", *arguments, check=False).stdout == ""
    node.systemctl("restart", "a")
    assert whereabouts(node, "a") == ["inside"]
    node.systemctl("restart", "kubens")
    assert whereabouts(node, "a") == ["inside"]
    node.reboot()
    node.systemctl("start", "a")
    assert whereabouts(node, "a") == ["host"]
    assert node.systemctl("--failed", "--no-legend", "--plain").stdout == ""


def _roll_out(node: Machine, configuration: str) -> None:
    """Start pod.service, which is what the DaemonSet for this configuration has on each node."""
    configure(node, configuration)
    done = kubensctl("compile", f"--root={node.tree}", "--format=daemonset")
    assert done.returncode == 0, done.stderr
    manifests = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(done.stdout)}
    assert manifests.keys() == {"ServiceAccount", "Role", "RoleBinding", "ConfigMap", "DaemonSet"}
    for manifest in manifests.values():
        kubernetes_validate.validate(manifest, "1.35", strict=True)
    pod = manifests["DaemonSet"]["spec"]["template"]["spec"]
    for item in pod["volumes"][1]["configMap"]["items"]:
        node.write(f"/files/{item['path']}", manifests["ConfigMap"]["data"][item["key"]], item["mode"])
    # Kubernetes hands the words on as they are; systemd would expand variables in them.
    command = [word.replace("$", "$$") for word in pod["containers"][0]["command"]]
    node.run("rm", "-f", "/tmp/ready")
    settings = [f"--setenv={variable}" for variable in api_server.ENVIRONMENT]
    node.run("systemctl", "stop", "pod", check=False)
    node.run("systemd-run", "--unit=pod", "--collect", "--quiet", "--property=KillMode=mixed", *settings, *command)
    node.wait_until((node.tree / "tmp/ready").exists)


# Without a machine


def test_all_formats_carry_the_same(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", FILES, ("a",))
    ignition = _compiled(root, "ignition")
    files = ignition_files(ignition)
    assert "/opt/kubens/bin/kubensenter" in files
    assert "'two  words'" in files["/etc/systemd/system/a.service.d/zz-kubens.conf"][1]

    assert butane_to_ignition(_compiled(root, "butane"))["systemd"] == ignition["systemd"]
    assert ignition_files(butane_to_ignition(_compiled(root, "butane"))) == files

    config = _compiled(root, "machineconfig", "--role=master")
    assert config["metadata"]["labels"] == {"machineconfiguration.openshift.io/role": "master"}
    assert config["spec"]["config"] == ignition

    assert kubensctl("compile", f"--root={root}", "--format=units", f"--output={tmp_path / 'out'}").returncode == 0
    assert _read(tmp_path / "out") == files
    enabled = sorted(os.listdir(tmp_path / "out/etc/systemd/system/multi-user.target.wants"))
    assert enabled == sorted(unit["name"] for unit in ignition["systemd"]["units"] if unit.get("enabled"))

    cloud = _compiled(root, "cloud-init")
    written = {file["path"]: (int(file["permissions"], 8), file["content"]) for file in cloud["write_files"]}
    assert written == files
    assert cloud["runcmd"][0] == ["systemctl", "daemon-reload"]
    assert sorted(cloud["runcmd"][1][2:]) == enabled


def test_each_says_what_it_was_made_from(tmp_path: Path) -> None:
    root = tree(tmp_path, {**FILES, "/etc/systemd/system/a.service.d/x.conf": "[Service]\nNice=5\n"}, ("a",))
    files = ignition_files(_compiled(root, "ignition"))
    for dropin, sources in (
        ("a.service.d/zz-kubens.conf", ["a.service"]),
        ("b@own.service.d/zz-kubens.conf", ["b@.service", "b@own.service.d/own.conf"]),
    ):
        header = files[f"/etc/systemd/system/{dropin}"][1].split("\n\n")[0]
        lines = [line.removeprefix("# from ") for line in header.splitlines()[1:]]
        paths = [f"/etc/systemd/system/{source}" for source in sources]
        assert [line.split("  ")[1] for line in lines] == paths
        check = "".join(f"{line.split('  ')[0]}  {root}{line.split('  ')[1]}\n" for line in lines)
        subprocess.run(["sha256sum", "--check", "--quiet"], input=check, text=True, check=True)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"/etc/systemd/system/c.service": "[Service]\nExecStart=/bin/a\nPrivateTmp=yes\n"}, "PrivateTmp="),
        ({CONF: FILES[CONF] + "Wrap=/bad\n"}, "/etc/kubens/services.conf:7"),
        ({CONF: ""}, "no namespace is configured"),
    ],
)
def test_what_cannot_be_compiled_is_refused_as_a_whole(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    root = tree(tmp_path / "root", {**FILES, **files}, ("a", "bash", "ip"))
    done = kubensctl("compile", f"--root={root}", "--format=ignition", f"--output={tmp_path / 'out'}")
    assert done.returncode == 1
    assert reason in done.stderr
    assert not (tmp_path / "out").exists()
    write(root, "/etc/systemd/system/c.service", FILES["/etc/systemd/system/c.service"])
    write(root, CONF, FILES[CONF])
    assert kubensctl("compile", f"--root={root}", "--format=ignition").returncode == 0


def test_two_masters_are_one_too_many(tmp_path: Path) -> None:
    root = tree(tmp_path, {**FILES, "/usr/lib/systemd/system-generators/kubens-generator": ""}, ("a",))
    done = kubensctl("compile", f"--root={root}", "--format=ignition")
    assert done.returncode == 0
    assert "warning: /usr/lib/systemd/system-generators/kubens-generator: the generator is installed" in done.stderr


@pytest.mark.needs("shellcheck")
def test_shellcheck_of_what_runs_in_a_pod(tmp_path: Path) -> None:
    root = tree(tmp_path, {**FILES, CONF: "[MountNamespace]\nWrap=a\n"}, ("a",))
    done = kubensctl("compile", f"--root={root}", "--format=daemonset")
    daemonset = list(yaml.safe_load_all(done.stdout))[-1]
    script = daemonset["spec"]["template"]["spec"]["containers"][0]["command"][2]
    subprocess.run(["shellcheck", "--shell=sh", "-"], input=script, text=True, check=True)
