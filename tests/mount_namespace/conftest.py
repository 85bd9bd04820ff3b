"""One machine for many tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from machine import Machine
from mount_namespace import boot, mend_tools, reset


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    """A machine for all tests here, since each cleans up after itself."""
    with Machine() as node:
        boot(node)
        yield node


@pytest.fixture
def node(running: Machine) -> Iterator[Machine]:
    """The machine as if nothing of kubens had ever run, /run/netns included."""
    reset(running)
    yield running
    mend_tools(running)
