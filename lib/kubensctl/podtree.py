"""The trees of a pod's apps: directories copied, or images unpacked by umoci(1), and swapped in as a whole."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from kubens.files import Root
from kubens.pods.host import DIRECTORY, HostPod
from kubens.pods.hostunits import pod_target
from kubensctl.failure import Failure


@dataclasses.dataclass
class Source:
    """Where a tree comes from. app: "" where the pod has one only. path: a directory, or DIR:TAG of an image."""

    app: str
    path: str
    is_oci: bool

    @classmethod
    def parse(cls, text: str, is_oci: bool) -> Source:
        app, equals, path = text.partition("=")
        # A path may have an equals sign as well; names of apps have no slash.
        return cls(app, path, is_oci) if equals and "/" not in app else cls("", text, is_oci)

    @property
    def layout(self) -> tuple[str, str]:
        """The directory of an image layout, and its tag; "" for the only one there is."""
        directory, _, tag = self.path.rpartition(":")
        return (directory, tag) if directory and "/" not in tag else (self.path, "")


def refuse_mounted(root: Root, pod: HostPod) -> None:
    """A tree in which volumes are mounted must not be replaced: what is removed would be the volumes' content."""
    below = f"{root.path}{pod.directory}/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        if any(line.split()[4].startswith(below.replace(" ", "\\040")) for line in mounts):
            raise Failure(f"volumes are mounted below {below}: systemctl stop {pod_target(pod.name)}")


def put(root: Root, place: str, source: Source, replace: bool) -> None:
    """Make the tree at a place; an old one stays whole until the new one is."""
    target = root.path + place
    if os.path.lexists(target) and not replace:
        raise Failure(f"{place} is there already: to replace it with all that is in it: --replace")
    if not source.is_oci and not os.path.isdir(source.path):
        raise Failure(f"{source.path} is no directory")
    if source.is_oci and not os.path.exists(f"{source.layout[0]}/index.json"):
        raise Failure(f"{source.layout[0]} is no OCI image layout: there is no index.json in it")
    # Programs of an image that are set-uid are nobody's on the host.
    os.makedirs(root.path + DIRECTORY, exist_ok=True)
    pod = os.path.dirname(os.path.dirname(target))
    os.makedirs(pod, mode=0o700, exist_ok=True)
    os.chmod(pod, 0o700)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    new, old = f"{target}.new", f"{target}.old"
    for leftover in (new, old):
        _remove(leftover)
    try:
        if source.is_oci:
            _unpack(source, new)
        else:
            # As cp(1) does it: holes, links, owners, extended attributes and all.
            _run(["cp", "--archive", "--reflink=auto", "--one-file-system", "--", f"{source.path}/.", new])
    except BaseException:
        _remove(new)
        raise
    if os.path.lexists(target):
        os.rename(target, old)
    os.rename(new, target)
    _remove(old)


def _remove(path: str) -> None:
    if os.path.islink(path):
        os.unlink(path)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _unpack(source: Source, target: str) -> None:
    directory, tag = source.layout
    if shutil.which("umoci") is None:
        raise Failure("umoci is not installed, which unpacks images: install it, or unpack the image and give --tree")
    _run(["umoci", "raw", "unpack", "--image", f"{directory}:{tag or _only_tag(directory)}", target])


def _only_tag(directory: str) -> str:
    tags = [tag for tag, _ in _manifests(directory)]
    if len(tags) != 1:
        raise Failure(f"say which image of {directory}: {directory}:{'|'.join(tags) or 'TAG'}")
    return tags[0]


def _manifests(directory: str) -> Iterator[tuple[str, str]]:
    """The images of a layout: tag and digest."""
    for manifest in _json(f"{directory}/index.json").get("manifests", []):
        tag = manifest.get("annotations", {}).get("org.opencontainers.image.ref.name")
        if tag:
            yield tag, manifest["digest"]


def image_says(source: Source) -> list[str]:
    """What the image would have run, for people to compare with the manifest; nothing where it is of another form."""
    directory, tag = source.layout
    try:
        digest = dict(_manifests(directory))[tag or _only_tag(directory)]
        image = _json(_blob(directory, _json(_blob(directory, digest))["config"]["digest"])).get("config", {})
    except (KeyError, TypeError, ValueError, OSError):
        return []
    told = {
        "command": [*(image.get("Entrypoint") or []), *(image.get("Cmd") or [])],
        "environment": image.get("Env"),
        "user": image.get("User"),
        "directory": image.get("WorkingDir"),
    }
    return [f"the image's {name}: {json.dumps(value)}" for name, value in told.items() if value]


def _blob(directory: str, digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    if not value.isalnum() or not algorithm.isalnum():
        raise ValueError(digest)
    return f"{directory}/blobs/{algorithm}/{value}"


def _json(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise Failure(f"{command[0]} failed: {lines[-1] if lines else f'exit status {done.returncode}'}")
