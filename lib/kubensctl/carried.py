"""What static units need on their machine besides: programs of kubens, and what their administrator wrote for them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import kubens
from kubens import netns, netns_units
from kubens.config import NETNS_DIRECTORY, Configuration
from kubens.files import Root, in_byte_order
from kubens.finding import WARNING, Finding
from kubens.pods import hostunits
from kubensctl.failure import Failure

# CoreOS and Flatcar have no other place for programs in common: /usr/local is read-only in the latter.
DIRECTORY = "/opt/kubens/bin"
KUBENSENTER = f"{DIRECTORY}/kubensenter"
_RUNNER, _TYPES = f"{DIRECTORY}/kubens-netns", f"{DIRECTORY}/netns"
_HELPER = f"{DIRECTORY}/kubens-pod"

# Mode and content by path.
Files = dict[str, tuple[int, str]]


def relocated(text: str) -> str:
    """A unit's text, with the programs where they are carried to."""
    return text.replace(netns_units.RUNNER, _RUNNER).replace(hostunits.HELPER, _HELPER)


def programs(root: Root) -> Iterator[str]:
    """The programs of ours that a machine has there."""
    for directory in (DIRECTORY, _TYPES):
        for name in root.names(directory):
            if root.is_file(f"{directory}/{name}"):
                yield f"{directory}/{name}"


def kubensenter() -> Files:
    return {KUBENSENTER: (0o755, _own("bin/kubensenter", "kubensenter"))}


def for_pods() -> Files:
    return {_HELPER: (0o755, _own("libexec/kubens-pod", "kubens-pod"))}


def for_networks(root: Root, configuration: Configuration, kinds: tuple[str, ...]) -> tuple[Files, list[Finding]]:
    """The program that reads types, those of the given ones that are shipped, and all that the administrator wrote.

    Raises Failure. The findings are warnings.
    """
    made: Files = {_RUNNER: (0o755, _own("libexec/kubens-netns", "kubens-netns"))}
    for kind in kinds:
        if kind in netns.SHIPPED:
            for name in (f"{kind}.sh", *(("nft.rules",) if kind == "nft" else ())):
                made[f"{_TYPES}/{name}"] = (0o644, _own(f"conf/netns/{name}", f"netns/{name}"))
    findings = []
    for name in in_byte_order(configuration.netns_files):
        path = f"{NETNS_DIRECTORY}/{name}"
        if root.is_file(path):
            made[path] = _read(root, path)
        elif not name.startswith("."):
            findings.append(Finding(WARNING, path, 0, "", "is no file, and not part of what is compiled: remove it"))
    for namespace in configuration.network_namespaces:
        for path in _etc_files(root, namespace):
            made[path] = _read(root, path)
    for path, (mode, _) in made.items():
        if not mode & 0o044:
            reason = "is for root's eyes alone, and part of what is compiled: keep that as secret"
            findings.append(Finding(WARNING, path, 0, "", reason))
    return made, findings


def _etc_files(root: Root, namespace: str) -> list[str]:
    directory = f"{netns.ETC}/{namespace}"
    return [f"{directory}/{name}" for name in in_byte_order(root.names(directory))]


def etc_words(root: Root, configuration: Configuration) -> list[str]:
    """What is bound over /etc: for each namespace which files, and for each of those where it lies."""
    words = []
    for name in configuration.network_namespaces:
        files = [os.path.basename(path) for path in _etc_files(root, name)]
        words.append(f"{netns.ETC}/{name}={' '.join(files)}")
        words += [f"/etc/{file}={root.follow(f'/etc/{file}')}" for file in files]
    return words


def _read(root: Root, path: str) -> tuple[int, str]:
    try:
        text = root.read(path)
        if text is None or not path.isprintable():
            raise Failure(f"{path!r}: {'leads to nothing' if text is None else 'is no name for a file'}")
        text.encode("utf-8")
        return os.stat(root.path + root.follow(path)).st_mode & 0o777, text
    except UnicodeEncodeError:
        raise Failure(f"{path}: is no UTF-8 text, and cannot be compiled: write it as that") from None
    except OSError as error:
        raise Failure(f"{path}: {error}") from None


def _own(source: str, installed: str) -> str:
    """A file of kubens itself: of the checkout, or of the installation, that this program is part of."""
    library = os.path.dirname(os.path.dirname(os.path.abspath(kubens.__file__)))
    for path in (f"{library}/{installed}", f"{library}/../{source}", f"{library}/../../{source}"):
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                return file.read()
    raise Failure(f"{os.path.basename(installed)} is needed there, and not beside this program: install all of kubens")
