"""A node for each release of which there is a tree, with containerd in the namespace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import node as nodes
from machine import Machine
from node import cri

RELEASES = sorted(path for path in nodes.TREES.glob("*/") if (path / "usr/bin/containerd").exists())

# It takes minutes to build; `make check-kubelet` does.
collect_ignore = [] if (nodes.TREES / "kubelet").exists() else ["test_kubelet.py"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "tree" in metafunc.fixturenames:
        metafunc.parametrize("tree", RELEASES, ids=[path.name for path in RELEASES], scope="module")


@pytest.fixture(scope="module")
def node(tree: Path) -> Iterator[Machine]:
    """One machine for all tests of a module, each of which cleans up after itself."""
    with nodes.machine(tree) as made:
        nodes.wrap(made)
        made.boot()
        nodes.load(made)
        yield made


@pytest.fixture
def runtime(node: Machine) -> Iterator[cri.Runtime]:
    with connection(node) as made:
        yield made


def connection(node: Machine) -> cri.Runtime:
    """To containerd, once it has a network for pods."""
    made = cri.Runtime(f"{node.tree}{nodes.SOCKET}")
    node.wait_until(made.is_ready)
    return made
