"""What the tests of kubens.pods share: the example pod, a stage1 tree to write into, and real machines."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from kubens import pods

HERE = Path(__file__).parent
UUID = "01234567-89ab-cdef-0123-456789abcdef"
IMAGES = {"web-front": "example.org/shop/web-front", "indexer": "example.org/shop/indexer"}


def example_images() -> dict[str, pods.ImageManifest]:
    return {name: pods.ImageManifest(image) for name, image in IMAGES.items()}


def unable(reason: str) -> NoReturn:
    """Skip the test that cannot run here; where everything must run, that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            unable(f"{program} is not installed")


def need_machine() -> None:
    """What it takes to start systemd-nspawn."""
    need("systemd-nspawn", "mount", "taskset")
    if os.geteuid() != 0:
        unable("only root can start machines")


def make_stage1(root: Path) -> Path:
    """The directories that the stage1 image brings."""
    rootfs = root / "stage1/rootfs"
    for directory in ("default.target.wants", "sockets.target.wants"):
        (rootfs / "usr/lib/systemd/system" / directory).mkdir(parents=True, exist_ok=True)
    for directory in ("rkt/env", "rkt/status", "opt/stage2"):
        (rootfs / directory).mkdir(parents=True, exist_ok=True)
    return rootfs


@pytest.fixture
def example() -> str:
    return (HERE / "pod.json").read_text()


@pytest.fixture
def pod(example: str, tmp_path: Path) -> pods.Pod:
    """The example pod, with a stage1 tree. Its empty volume belongs to whoever runs the tests."""
    make_stage1(tmp_path)
    manifest = pods.parse_pod_manifest(example)
    if os.geteuid() != 0:
        scratch = manifest.volumes[1]
        scratch.uid, scratch.gid = os.geteuid(), os.getegid()
    return pods.Pod(str(tmp_path), UUID, manifest, example_images())


MakePod = Callable[..., pods.Pod]


@pytest.fixture
def make_pod(tmp_path: Path) -> MakePod:
    """Make a pod of apps built by hand, as keyword arguments, with a stage1 tree."""
    make_stage1(tmp_path)

    def make(volumes: list[pods.Volume] | None = None, **apps: pods.RuntimeApp) -> pods.Pod:
        manifest = pods.PodManifest(list(apps.values()), volumes)
        images = {ra.name: pods.ImageManifest("example.org/i") for ra in apps.values()}
        return pods.Pod(str(tmp_path), UUID, manifest, images)

    return make


def write_units(pod: pods.Pod, flavor: str = "host") -> None:
    """Everything that stage1's init writes."""
    pods.write_default_target(pod)
    pods.write_prepare_app_template(pod)
    names = [ra.name for ra in pod.manifest.apps]
    if flavor == "kvm":
        if os.geteuid() != 0:
            unable("only root can give an implicit volume to root")
        rootfs = pod.root + "/stage1/rootfs"
        pods.pod_to_systemd_host_mount_units(rootfs, pod.manifest.volumes, names, pods.UNITS_DIR)
    pods.pod_to_systemd(pod, False, flavor, "")


def runtime_app(name: str, mounts: list[pods.Mount] | None = None, **members: object) -> pods.RuntimeApp:
    """An app that runs /bin/true as root unless members of its App say otherwise."""
    app = pods.App(**{"exec": ["/bin/true"], "user": "0", "group": "0", **members})  # type: ignore[arg-type]
    return pods.RuntimeApp(name, pods.RuntimeImage("sha512-0"), app, mounts, where="$.apps[0]")


@pytest.fixture
def machine_tree(tmp_path: Path) -> Iterator[Path]:
    """A pod's directory whose stage1 root file system is this system, under a layer that is thrown away.

    KUBENS_TEST_TREE=DIR takes the system in DIR instead: another release of systemd.
    """
    need_machine()
    root = tmp_path / "pod"
    layer = tmp_path / "layer"
    rootfs = root / "stage1/rootfs"
    for directory in (layer, rootfs):
        directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "layer", str(layer)], check=True)
    try:
        for directory in (layer / "upper", layer / "work"):
            directory.mkdir()
        lower = os.environ.get("KUBENS_TEST_TREE", "/")
        options = f"lowerdir={lower},upperdir={layer}/upper,workdir={layer}/work"
        mounted = subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", str(rootfs)])
        if mounted.returncode != 0:
            unable("overlay mounts do not work here")
        try:
            make_stage1(root)
            yield root
        finally:
            subprocess.run(["umount", "-l", str(rootfs)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(layer)], check=True)


def nspawn(arguments: list[str], command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run systemd-nspawn to its end, as a service of nobody's."""
    # One CPU: in containers a mount namespace cannot be bound that was made on a CPU with a lower id batch.
    program = ["taskset", "-c", "0", "systemd-nspawn", *arguments]
    extra = ["--register=no", "--keep-unit", "--private-network", "--link-journal=no", "--console=pipe"]
    return subprocess.run(
        [*program, *extra, *command],
        env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=120,
    )
