"""The installations that people may have before kubens: what of their files is where, and what to declare instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kubens import syntax
from kubens.config import NETNS_DIRECTORY
from kubens.files import Root
from kubens.lookup import SEARCH_PATH
from kubensctl.failure import Failure

_ETC = "/etc/systemd/system"


@dataclass
class Installation:
    """files: to be moved aside. configuration: to be written instead. kept: what of theirs goes on as it is."""

    name: str
    files: list[str] = field(default_factory=list)
    configuration: str = ""
    kept: list[str] = field(default_factory=list)


def find(root: Root) -> list[Installation]:
    """All that are there. Raises Failure for one that somebody changed, so that more than it would be moved."""
    found = (_kubensmnt(root), _openshift(root), _systemd_netns(root))
    return [installation for installation in found if installation.files]


def _kubensmnt(root: Root) -> Installation:
    """Its fall-back to the host is that of kubensenter, which it puts before commands, and which is kept."""
    found = Installation("kubensmnt")
    members = {"Wrap": "99-kubens-wrapper.conf", "Env": "00-kubensmnt-env.conf"}
    lines = []
    for key, name in members.items():
        for unit, path in _dropins(root, name):
            _only(root, path, "ExecStart", "Environment", "EnvironmentFile")
            found.files.append(path)
            lines.append(f"{key}={unit}")
    _take_service(root, found, "kubens.service")
    if found.files:
        found.configuration = "\n".join(["[MountNamespace]", "WhenMissing=host", *dict.fromkeys(lines)])
    return found


def _openshift(root: Root) -> Installation:
    found = Installation("OpenShift's container-mount-namespace")
    lines = []
    for unit, path in _dropins(root, "20-container-mount-namespace.conf"):
        _only(root, path, "ExecStart", "ExecStartPre", "Environment", "EnvironmentFile")
        _enters_only(root, path)
        found.files.append(path)
        lines.append(f"Wrap={unit}")
    _take_service(root, found, "container-mount-namespace.service")
    if found.files:
        programs = (f"/usr/local/bin/{name}" for name in ("extractExecStart", "nsenterCmns", "nsenterCms"))
        found.files += [path for path in programs if root.is_file(path)]
        section = ["[MountNamespace]", "Name=container-mount-namespace", *dict.fromkeys(lines)]
        found.configuration = "\n".join(section)
    return found


def _systemd_netns(root: Root) -> Installation:
    """Types and variables are read where they are; instances are enabled by links, whose names alone count."""
    found = Installation("systemd-netns")
    for name in root.names(_ETC):
        if re.fullmatch(r"netns(_outside)?-[A-Za-z0-9]+@\.service|netns_name@\.service", name):
            path = f"{_ETC}/{name}"
            if root.is_file(path):
                found.files.append(path)
    theirs = ("/usr/lib/systemd/system/netns@.service", "/usr/lib/systemd/system/netns_outside@.service")
    programs = tuple(f"/usr/{place}/{name}" for place in ("sbin", "bin") for name in ("netnsinit", "netnsupdate"))
    found.files += [path for path in dict.fromkeys((*theirs, *programs)) if root.is_file(path)]
    if found.files:
        for directory in root.names(_ETC):
            if directory.endswith((".wants", ".requires")):
                links = root.names(f"{_ETC}/{directory}")
                instances = (name for name in links if re.fullmatch(r"netns-.+@.+\.service", name))
                found.kept += [f"{_ETC}/{directory}/{name}" for name in instances]
        found.kept += [f"{NETNS_DIRECTORY}/{name}" for name in sorted(root.names(NETNS_DIRECTORY))]
    return found


def _dropins(root: Root, name: str) -> Iterator[tuple[str, str]]:
    """The units that have a drop-in of this name, and where."""
    for directory in _search_path(root):
        for entry in sorted(root.names(directory)):
            path = f"{directory}/{entry}/{name}"
            if entry.endswith(".service.d") and root.is_file(path):
                yield entry.removesuffix(".d"), path


def _take_service(root: Root, found: Installation, name: str) -> None:
    """The unit that made the namespace, and the links that enabled it."""
    for directory in _search_path(root):
        path = f"{directory}/{name}"
        if root.is_file(path) and "unshare" in (root.read(path) or ""):
            found.files.append(path)
    if any(path.endswith(f"/{name}") for path in found.files):
        for entry in root.names(_ETC):
            link = f"{_ETC}/{entry}/{name}"
            if entry.endswith((".wants", ".requires")) and root.link(link) is not None:
                found.files.append(link)


def _search_path(root: Root) -> Iterator[str]:
    for directory in SEARCH_PATH:
        if not (directory.startswith("/lib/") and root.link("/lib") is not None):
            yield directory


def _only(root: Root, path: str, *keys: str) -> None:
    """What else stands in their drop-in is somebody's own, and would be lost with it."""
    for _, _, assignments in syntax.parse(root.read(path) or "").sections:
        for key, value, line in assignments:
            if key not in (*keys, "Wants", "Requires", "After", "Before", "PartOf", "BindsTo"):
                raise Failure(f"{path}:{line}: {key}={value} is somebody's own: put it into another drop-in")


def _enters_only(root: Root, path: str) -> None:
    """Arguments that somebody added to the command that was extracted would be lost."""
    for _, _, assignments in syntax.parse(root.read(path) or "").sections:
        for key, value, line in assignments:
            if key == "ExecStart" and value and not re.search(r"mnt[\s\\]+\$\{?\w+\}?[\s\"']*$", value):
                raise Failure(f"{path}:{line}: {key}={value} adds to the command: put that into another drop-in")
