"""What the generator makes of manifests: units as systemd verifies them, and findings with their JSONPath."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trees import BASE, Content, Run, build, generate, link, program, snapshot

from .booted import app, appc, container, kubernetes

FILE = "/etc/kubens/pods/shop.json"
Make = Callable[..., Run]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Run the generator over one manifest, an object or text, and more files."""

    def run(manifest: Any, files: dict[str, Content] | None = None, name: str = "shop") -> Run:
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        root = tmp_path / "root"
        build(root, {**BASE, f"/etc/kubens/pods/{name}.json": text, **(files or {})})
        return generate(root, tmp_path / "output")

    return run


def settings(run: Run, unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (run.output / unit).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def verify(output: Path) -> list[str]:
    """What systemd says of all units in a directory, but for what is not installed here."""
    # A colon it takes for the start of an alias.
    names = [path.name for path in output.iterdir() if path.is_file() and ":" not in path.name]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{output}:", "SYSTEMD_COLORS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return [line for line in done.stdout.splitlines() if "is not executable" not in line]


def test_the_example(make: Make) -> None:
    run = make((Path(__file__).parent / "pod.json").read_text())
    assert (run.status, run.lines) == (0, [
        f"warning: {FILE}:35: $.apps[0].app.isolators[0].value.request: is not honoured: only a scheduler has use for "
        "it; remove it",
        f"warning: {FILE}:52: $.apps[1].app.mountPoints[0]: no volume is named so, it gets an empty one, cache, that "
        "goes with the pod; list one in volumes",
    ])  # fmt: skip
    assert verify(run.output) == []
    web = settings(run, "shop-web-front.service")
    assert web["ExecStart"] == ['"/usr/bin/web" "--title=It\\\'s $$HOME" "--root" "/srv/site"']
    assert web["ExecStartPre"] == ['"/usr/bin/web-migrate" "--once"']
    assert web["ExecStopPost"] == ['"/usr/bin/web-flush"']
    assert (web["User"], web["Group"], web["SupplementaryGroups"]) == (["33"], ["33"], ["4 27"])
    assert (web["CPUQuota"], web["MemoryMax"]) == (["50%"], [str(64 << 20)])
    assert web["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE CAP_NET_ADMIN"]
    assert web["RootDirectory"] == ["/var/lib/kubens/pods/shop/web-front/rootfs"]
    assert web["WorkingDirectory"] == ["/srv"]
    assert settings(run, "shop-web-front.socket")["ListenStream"] == ["80"]
    assert settings(run, "pods-shop.slice")["MemoryMax"] == [str(256 << 20)]
    mount = settings(run, "var-lib-kubens-pods-shop-web\\x2dfront-rootfs-srv-site.mount")
    assert (mount["What"], mount["Options"]) == (["/srv/shop/assets"], ["bind,ro,rprivate"])
    assert mount["Before"] == ["umount.target", "shop-web-front.service"]
    wanted = run.output / "multi-user.target.wants/shop-pod.target"
    assert os.readlink(wanted) == "../shop-pod.target"


KUBERNETES = kubernetes(
    container(
        "main",
        args=["$(WHO) $$(WHO) $(NOBODY) $HOME %h"],
        env=[
            {"name": "WHO", "value": "me"},
            {"name": "BOTH", "value": "$(WHO)+$(LATER)"},
            {"name": "LATER", "value": "x"},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        image="docker.io/library/busybox",
        ports=[{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}, {"containerPort": 81, "hostPort": 8081}],
        resources={"limits": {"cpu": "1.5", "memory": "1Gi"}, "requests": {"cpu": 1, "memory": "1Mi"}},
        livenessProbe={"exec": {"command": ["true"]}},
        volumeMounts=[
            {"name": "host", "mountPath": "/etc/host", "readOnly": True, "mountPropagation": "HostToContainer"},
            {"name": "memory", "mountPath": "/dev/shm"},
            {"name": "sized", "mountPath": "/run/sized"},
            {"name": "plain", "mountPath": "/a b"},
        ],
        securityContext={
            "runAsUser": 1000,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "CAP_KILL"]},
        },
        lifecycle={"preStop": {"exec": {"command": ["/bin/bye"]}}, "postStart": {"exec": {"command": ["/bin/hi"]}}},
        stdin=False,
    ),
    container("root", securityContext={"privileged": True}),
    initContainers=[container("first"), container("side", restartPolicy="Always"), container("second")],
    volumes=[
        {"name": "host", "hostPath": {"path": "/etc//kubernetes/", "type": "Directory"}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "sized", "emptyDir": {"sizeLimit": "16Mi"}},
        {"name": "plain", "emptyDir": {}},
        {"name": "secret", "secret": {"secretName": "s"}},
    ],
    securityContext={"runAsGroup": 3000, "fsGroup": 2000, "supplementalGroups": [4]},
    restartPolicy="OnFailure",
    terminationGracePeriodSeconds=5,
    serviceAccountName="default",
    hostNetwork=True,
    tolerations=[],
)


def test_a_pod_of_kubernetes(make: Make) -> None:
    run = make(KUBERNETES)
    assert run.status == 0
    main = "$.spec.containers[0]"
    places = [line.split(": ")[2] for line in run.lines if line.startswith("warning")]
    assert places == [
        f"{main}.ports[1].hostPort",
        f"{main}.resources.requests.memory",
        "$.spec.volumes[4]",
        f"{main}.env[3].valueFrom",
        f"{main}.livenessProbe",
        "$.spec.volumes[4].secret",
        "$.spec.serviceAccountName",
    ]
    assert verify(run.output) == []
    unit = settings(run, "shop-main.service")
    assert unit["ExecStart"] == ['"/bin/main" "me $$(WHO) $$(NOBODY) $$HOME %%h"']
    assert unit["ExecStop"] == ['"/bin/bye"'] and unit["ExecStartPost"] == ['"/bin/hi"']
    environment = unit["Environment"]
    assert '"BOTH=me+$(LATER)"' in environment and '"WHO=me"' in environment
    assert not [variable for variable in environment if "SECRET" in variable]
    assert (unit["User"], unit["Group"], unit["SupplementaryGroups"]) == (["1000"], ["3000"], ["4 2000"])
    assert (unit["CPUQuota"], unit["MemoryMax"], unit["CPUWeight"]) == (["150%"], [str(1 << 30)], ["39"])
    assert unit["CapabilityBoundingSet"] == ["CAP_NET_BIND_SERVICE CAP_KILL"]
    assert (unit["NoNewPrivileges"], unit["ReadOnlyPaths"]) == (["yes"], ["+/"])
    assert unit["ReadWritePaths"] == ["+/dev/shm", "+/run/sized", '"+/a b"']
    assert (unit["Restart"], unit["TimeoutStopSec"]) == (["on-failure"], ["5s"])
    volumes = "/var/lib/kubens/pods/shop/.volumes"
    assert unit["BindPaths"] == [f"{volumes}/memory:/dev/shm", f"{volumes}/sized:/run/sized"]
    assert "TemporaryFileSystem" not in unit
    root = settings(run, "shop-root.service")
    assert not {"PrivateDevices", "CapabilityBoundingSet", "ProtectKernelTunables"} & set(root)
    mounts = {path.name: settings(run, path.name) for path in run.output.glob("*.mount")}
    prefix = "var-lib-kubens-pods-shop"
    assert {name: mount["Options"] for name, mount in mounts.items()} == {
        f"{prefix}-main-rootfs-etc-host.mount": ["bind,ro,rslave"],
        f"{prefix}-main-rootfs-dev-shm.mount": ["bind,rw,rprivate"],
        f"{prefix}-main-rootfs-run-sized.mount": ["bind,rw,rprivate"],
        f"{prefix}-main-rootfs-a\\x20b.mount": ["bind,rw,rprivate"],
        f"{prefix}-.volumes-memory.mount": ["mode=2777,uid=0,gid=2000,nosuid,nodev"],
        f"{prefix}-.volumes-sized.mount": ["mode=2777,uid=0,gid=2000,nosuid,nodev,size=16777216"],
    }
    assert mounts[f"{prefix}-main-rootfs-etc-host.mount"]["What"] == ["/etc/kubernetes"]
    prepared = settings(run, "shop-pod.service")["ExecStart"]
    assert f"/usr/lib/kubens/kubens-pod volume {volumes}/plain 2777 0:2000" in prepared


def test_init_containers_run_one_after_the_other(make: Make) -> None:
    run = make(KUBERNETES)
    units = {name: settings(run, f"shop-{name}.service") for name in ("first", "side", "second", "main", "root")}
    assert [unit["Type"] for unit in units.values()] == [["oneshot"], ["exec"], ["oneshot"], ["exec"], ["exec"]]
    assert units["side"]["Restart"] == ["always"]
    for name, before in (("side", "first"), ("second", "side"), ("main", "second"), ("root", "second")):
        for key in ("Requires", "After"):
            assert f"shop-{before}.service" in units[name][key][0].split()


def test_not_started_at_boot(make: Make) -> None:
    name = "kubens/start-at-boot"
    for manifest in (
        appc(app("a", "/bin/a"), annotations=[{"name": name, "value": "no"}]),
        {**kubernetes(container("a")), "metadata": {"annotations": {name: "off"}, "labels": {"a": "b", "A": "b"}}},
    ):
        run = make(manifest)
        assert [line for line in run.lines if not line.startswith("notice")] == []
        assert (run.output / "shop-pod.target").exists() and not (run.output / "multi-user.target.wants").exists()
        (run.output / "shop-pod.target").unlink()
    run = make(appc(app("a", "/bin/a"), annotations=[{"name": name, "value": "maybe"}]))
    assert run.status == 1 and "$.annotations: kubens/start-at-boot is 'maybe'" in run.lines[0]


GOOD = appc(app("good", "/bin/good"))


def with_app(**members: Any) -> dict[str, Any]:
    return appc(app("a", "/bin/a", **members))


MOUNT = [{"volume": "v", "path": "/v"}]


def volume(**members: Any) -> list[dict[str, Any]]:
    return [{"name": "v", "kind": "host", "source": "/srv", **members}]


# manifest, where, and a word of the reason.
REFUSED: dict[str, tuple[Any, str, str]] = {
    "nothing": ("", "$", "no JSON"),
    "no object": ("[]", "$", "object"),
    "no pod": ({"a": 1}, "$.acKind", "missing"),
    "another kind": ({"apiVersion": "v1", "kind": "List"}, "$.kind", "Pod"),
    "another version": ({"apiVersion": "v2", "kind": "Pod"}, "$.apiVersion", "v1"),
    "no apps": (appc(), "$.apps", "empty"),
    "no containers": (kubernetes(), "$.spec.containers", "empty"),
    "10,000 apps": (appc(*[app(f"a{number}", "/bin/a") for number in range(10000)]), "$.apps", "10000"),
    "deep": ("[" * 100000, "$", "deep"),
    "deep enough": ('{"acKind": "PodManifest", "x": ' + "[" * 40 + "]" * 40 + "}", "$.x" + "[0]" * 32, "deep"),
    "a key twice": ('{"acKind": "PodManifest", "acKind": "PodManifest"}', "$.acKind", "twice"),
    "a key twice, as Go reads it": ('{"acKind": "PodManifest", "ACKIND": ""}', "$.ACKIND", "twice"),
    "a huge number": (
        with_app(isolators=[{"name": "resource/memory", "value": {"limit": "9" * 5000}}]),
        "$.apps[0].app.isolators[0].value.limit",
        "5000",
    ),
    "a number of many digits": (
        json.dumps(with_app(supplementaryGIDs=[1])).replace("[1]", "[" + "9" * 100000 + "]"),
        "$.apps[0].app.supplementaryGIDs[0]",
        "100000 characters",
    ),
    "a name that leaves": (appc(app("../../etc", "/bin/a")), "$.apps[0].name", "no name"),
    "a name of the pod's own": (appc(app("pod", "/bin/a")), "$.apps[0].name", "own"),
    "a name with a line": (appc(app("a\nb", "/bin/a")), "$.apps[0].name", "no name"),
    "a program with a line": (appc(app("a", "/bin/a\n[Service]")), "$.apps[0].app.exec[0]", "control"),
    "a relative program": (appc(app("a", "bin/a")), "$.apps[0]", "absolute"),
    "a program that begins with a prefix": (appc(app("a", "+/bin/a")), "$.apps[0]", "absolute"),
    "a program with quotes": (appc(app("a", "/bin/a'b")), "$.apps[0]", "quotes"),
    "a handler with quotes": (
        with_app(eventHandlers=[{"name": "pre-start", "exec": ["/bin/\\"]}]),
        "$.apps[0]",
        "quotes",
    ),
    "a directory": (appc(app("a", "/bin/")), "$.apps[0]", "no program"),
    "a long program": (appc(app("a", "/bin/" + "x" * 256)), "$.apps[0]", "longer"),
    "a long path of short names": (appc(app("a", "/deep" * 819 + "/x")), "$.apps[0]", "longer"),
    "a long directory": (with_app(workingDirectory="/" + "x" * 256), "$.apps[0]", "longer"),
    "a program that is a prefix": (appc(app("a", "-a")), "$.apps[0]", "prefix"),
    "no program": (appc(app("a")), "$.apps[0].app.exec", "empty"),
    "a user by name": (with_app(user="www-data"), "$.apps[0].app.user", "number"),
    "the user of nobody": (appc(app("a", "/bin/a", user=65535)), "$.apps[0]", "nobody"),
    "no app": (appc({"name": "a", "image": {"id": "sha512-0"}}), "$.apps[0].app", "missing"),
    "a NUL": (appc(app("a", "/bin/a", "\0")), "$.apps[0].app.exec[1]", "NUL"),
    "half a character": ('{"acKind": "\\ud800"}', "$.acKind", "surrogate"),
    "a variable that systemd drops": (
        with_app(environment=[{"name": "A", "value": "\ufffe"}]),
        "$.apps[0]: variable 'A'",
        "Unicode",
    ),
    "a long argument": (appc(app("a", "/bin/a", "x" * 200000)), "$.apps[0]", "128 KiB"),
    "dots in a mount": (
        appc(app("a", "/bin/a", mounts=[{"volume": "v", "path": "/a/../../../etc"}]), volumes=volume()),
        "$.apps[0].mounts[0].path",
        "..",
    ),
    "dots in a source": (
        appc(app("a", "/bin/a", mounts=MOUNT), volumes=volume(source="/a/../..")),
        "$.volumes[0].source",
        "..",
    ),
    "no character in a mount": (
        appc(app("a", "/bin/a", mounts=[{"volume": "v", "path": "/a\ufffe"}]), volumes=volume()),
        "$.apps[0].mounts[0].path",
        "no text",
    ),
    "no character in a directory": (with_app(workingDirectory="/a\ufdd0"), "$.apps[0]", "Unicode has none of"),
    "a line in a source": (
        appc(app("a", "/bin/a", mounts=MOUNT), volumes=volume(source="/a\n[Mount]")),
        "$.volumes[0].source",
        "control",
    ),
    "no volume": (appc(app("a", "/bin/a", mounts=MOUNT)), "$.apps[0].mounts[0].volume", "no volume"),
    "a mount over /proc": (
        appc(app("a", "/bin/a", mounts=[{"volume": "v", "path": "/proc/sys"}]), volumes=volume()),
        "$.apps[0].mounts[0]",
        "belongs",
    ),
    "a mount over all": (
        appc(app("a", "/bin/a", mounts=[{"volume": "v", "path": "//."}]), volumes=volume()),
        "$.apps[0].mounts[0]",
        "belongs",
    ),
    "a name that is too long for a unit": (
        appc(app("a", "/bin/a", mounts=[{"volume": "v", "path": "/" + "é" * 60}]), volumes=volume()),
        "$.apps[0].mounts[0]",
        "255",
    ),
    "a limit of nothing": (
        with_app(isolators=[{"name": "resource/memory", "value": {"limit": "0"}}]),
        "$.apps[0].app.isolators[0].value.limit",
        "zero",
    ),
    "too many ports": (
        with_app(ports=[{"name": "p", "protocol": "tcp", "port": 1, "count": 60000, "socketActivated": True}]),
        "$.apps[0].app.ports[0].count",
        "60000",
    ),
    "a volume that needs a cluster": (
        kubernetes(
            container("a", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            volumes=[{"name": "v", "configMap": {"name": "c"}}],
        ),
        "$.spec.volumes[0]",
        "hostPath",
    ),
    "part of a volume": (
        kubernetes(
            container("a", volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "x"}]),
            volumes=[{"name": "v", "emptyDir": {}}],
        ),
        "$.spec.containers[0].volumeMounts[0].subPath",
        "not supported",
    ),
    "a command of the image": (kubernetes({"name": "a", "image": "a"}), "$.spec.containers[0].command", "missing"),
    "not root": (
        kubernetes(container("a", securityContext={"runAsNonRoot": True})),
        "$.spec.containers[0].securityContext.runAsNonRoot",
        "runAsUser",
    ),
    "a variable with a dot": (
        kubernetes(container("a", env=[{"name": "a.b", "value": "c"}])),
        "$.spec.containers[0]: variable 'a.b'",
        "rename",
    ),
    "twice the same container": (
        kubernetes(container("a"), initContainers=[container("a")]),
        "$.spec.containers[0].name",
        "twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("manifest", "where", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_costs_itself_only(make: Make, manifest: Any, where: str, why: str) -> None:
    """With the place in the manifest; the neighbour is as it would be alone."""
    run = make(manifest, {"/etc/kubens/pods/good.json": json.dumps(GOOD)})
    errors = [line for line in run.lines if line.startswith("error")]
    assert run.status == 1 and len(errors) == 1
    found = re.match(r"error: (.*?):(\d+): (.*)", errors[0], re.DOTALL)
    assert found and found[1] == FILE and found[3].startswith(f"{where}: ") and why in errors[0], errors
    made = sorted(path.name for path in run.output.iterdir() if "shop" in path.name)
    assert made == []
    assert (run.output / "good-pod.target").exists()
    problems = (run.output / "kubens-problems.service").read_text()
    assert "[Service]" in problems and problems.count("[Service]") == 1 and problems.count("[Unit]") == 1


NASTY = "%h %% $X ${X} \\ \\n \" ' ; # \t é \u200b \U0001f600 \x7f \x01 -"


def test_nothing_can_add_a_line(make: Make) -> None:
    """Every text that a manifest gives, with all that means anything in a unit."""
    lines = NASTY + "\n[Service]\nExecStart=/bin/evil\r\n"
    path = "/a%h $X ${X} \\n \" ' ; # é \u200b \U0001f600 -"
    run = make(
        appc(
            app(
                "a",
                *("/bin/a%h $X n", lines, lines),
                environment=[{"name": "A", "value": lines}],
                workingDirectory="/w%h $X \\n",
                eventHandlers=[{"name": "pre-start", "exec": ["/bin/b", lines]}],
                mounts=[{"volume": "v", "path": path}],
            ),
            volumes=volume(source=path),
            annotations=[{"name": "x", "value": lines}],
        )
    )
    assert (run.status, run.lines) == (0, [])
    assert verify(run.output) == []
    for unit in run.output.iterdir():
        if unit.is_file():
            assert "\nExecStart=/bin/evil" not in unit.read_text()
    (mount,) = (unit for unit in run.output.glob("*.mount"))
    assert settings(run, mount.name)["What"] == [path.replace("%", "%%")]


def test_a_masked_manifest_is_none(make: Make) -> None:
    run = make(GOOD, {"/etc/kubens/pods/off.json": link("/dev/null"), "/etc/kubens/pods/.x.json": "", **NO_PODS})
    assert run.status == 0 and len(run.lines) == 1
    assert run.lines[0].startswith("warning: /etc/kubens/pods/c.yaml: is no JSON")
    assert not [path for path in run.output.iterdir() if path.name.startswith(("off", "x"))]


NO_PODS: dict[str, Content] = {f"/etc/kubens/pods/{name}": "x" for name in ("a.json~", "b", "c.yaml")}


@pytest.mark.parametrize("name", ["A", "a_b", "-a", "a.b", "é", "a" * 64])
def test_names_of_pods(make: Make, name: str) -> None:
    run = make(GOOD, name=name)
    assert run.status == 1 and run.lines[0].startswith(f"error: /etc/kubens/pods/{name}.json: the name {name} is ")
    assert [path.name for path in run.output.glob("*pod*")] == []


def test_units_that_are_there_already(make: Make) -> None:
    """A unit of a package is never replaced; an administrator's own takes the place of ours, as always."""
    service = "[Service]\nExecStart=/bin/true\n"
    run = make(GOOD, {"/usr/lib/systemd/system/shop-good.service": service})
    assert run.lines == [
        f"error: {FILE}: shop-good.service: exists already (/usr/lib/systemd/system/shop-good.service): rename the "
        "app, or the pod; the pod is not made until this is mended"
    ]
    assert not (run.output / "shop-pod.target").exists()


def test_units_of_an_administrator(make: Make) -> None:
    service = "[Service]\nExecStart=/bin/true\n"
    files: dict[str, Content] = {
        "/etc/systemd/system/shop-good.service": service,
        "/etc/systemd/system/shop-pod.target": link("/dev/null"),
    }
    run = make(GOOD, files)
    assert run.status == 0
    assert [line.partition(": ")[0] for line in run.lines] == ["notice", "warning"]
    assert not (run.output / "shop-good.service").exists() and not (run.output / "shop-pod.target").exists()
    assert (run.output / "shop-pod.service").exists()


def test_two_pods_with_one_unit(make: Make) -> None:
    """Pod a with app b-c, and pod a-b with app c: the first by name has it."""
    other = json.dumps(appc(app("c", "/bin/c")))
    run = make(appc(app("b-c", "/bin/a")), {"/etc/kubens/pods/a-b.json": other}, name="a")
    assert [line.split(": ")[:3] for line in run.lines] == [["error", "/etc/kubens/pods/a.json", "a-b-c.service"]]
    assert (run.output / "a-b-pod.target").exists() and not (run.output / "a-pod.target").exists()


def test_a_namespace_with_that_unit(make: Make) -> None:
    conf = "[MountNamespace]\nName=shop-good\n"
    run = make(GOOD, {"/etc/kubens/a.conf": conf})
    assert [line.split(": ")[:3] for line in run.lines] == [["error", FILE, "shop-good.service"]]
    assert (run.output / "multi-user.target.wants/shop-good.service").is_symlink()


def test_a_network_namespace_names_an_app(make: Make) -> None:
    conf = "[NetworkNamespace]\nName=blue\nTypes=lo\nServices=shop-good.service shop-web.socket other.service\n"
    ports = [{"name": "p", "protocol": "tcp", "port": 80, "socketActivated": True}]
    manifest = appc(app("good", "/bin/good"), app("web", "/bin/web", ports=ports))
    run = make(manifest, {"/etc/kubens/a.conf": conf, "/usr/bin/ip": program, "/usr/bin/bash": program})
    assert [line for line in run.lines if not line.startswith("notice")] == []
    assert ["other.service" in line for line in run.lines] == [True]
    for unit in ("shop-good.service", "shop-web.socket"):
        (dropin,) = (run.output / f"{unit}.d").iterdir()
        assert "NetworkNamespacePath=/run/netns/blue" in dropin.read_text()


def test_a_mount_namespace_names_an_app(make: Make) -> None:
    """It has a root of its own, which it would lose: refused as for every such service, not as one that is missing."""
    run = make(GOOD, {"/etc/kubens/a.conf": "[MountNamespace]\nWrap=shop-good.service\n"})
    assert run.status == 1
    assert any("shop-good.service: RootDirectory=/var/lib/kubens/pods/shop/good/rootfs" in line for line in run.lines)
    assert (run.output / "shop-good.service").exists() and not (run.output / "kubens.service").exists()


def test_what_lives_keeps_its_units(make: Make, tmp_path: Path) -> None:
    """All of them when the manifest is gone or broken; those that a new manifest leaves out beside its own."""
    first = make(appc(app("a", "/bin/a"), app("b", "/bin/b")))
    whole = {name: state for name, state in snapshot(first.output).items() if name.endswith(".service")}
    record = tmp_path / "root/run/kubens-generator"
    record.mkdir(parents=True)
    subprocess.run(["cp", "-R", first.output / ".kubens/pod@shop", record], check=True)
    for broken in ("{", ""):
        run = make(broken)
        assert run.status == 1
        assert {name: state for name, state in snapshot(run.output).items() if name in whole} == whole
    run = make(appc(app("a", "/bin/other"), app("c", "/bin/c")))
    assert (run.status, run.lines) == (0, [])
    assert settings(run, "shop-a.service")["ExecStart"] == ['"/bin/other"']
    assert settings(run, "shop-b.service")["ExecStart"] == ['"/bin/b"']
    assert settings(run, "shop-pod.target")["Wants"] == ["shop-a.service shop-c.service"]
    (tmp_path / "root" / FILE[1:]).unlink()
    run = generate(tmp_path / "root", tmp_path / "last")
    assert run.status == 0 and not (run.output / "multi-user.target.wants").exists()
    assert (run.output / "shop-b.service").exists()


def test_more_findings_than_anybody_reads(make: Make) -> None:
    spec = {f"x{number}": 1 for number in range(100)}
    run = make(kubernetes(container("a", securityContext={"runAsUser": 1}), **spec))
    assert run.status == 0 and len(run.lines) == 20
    assert "81 more findings like these: kubensctl pod check" in "".join(run.lines)


def test_a_program_without_a_slash(make: Make) -> None:
    manifest = appc(app("a", "nginx", environment=[{"name": "PATH", "value": "/opt/%h:/bin"}]))
    run = make(manifest)
    assert settings(run, "shop-a.service")["ExecSearchPath"] == ["/opt/%%h:/bin"]
    run = make(manifest, {"/usr/lib/systemd/libsystemd-shared-247.so": ""})
    assert run.status == 1 and "systemd 247 looks for 'nginx' on the host" in run.lines[0]


@pytest.mark.parametrize(("context", "warned"), [({}, False), ({"runAsUser": 1}, True), ({"privileged": True}, False)])
def test_escalation(make: Make, context: dict[str, Any], warned: bool) -> None:
    run = make(kubernetes(container("a", securityContext={"allowPrivilegeEscalation": True, **context})))
    assert any("allowPrivilegeEscalation: is not honoured" in line for line in run.lines) == warned
