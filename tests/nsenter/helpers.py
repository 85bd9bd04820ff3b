"""What the tests of kubens.nsenter do to processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from kubens.nsenter import FakeNSEnter


def as_nobody(function: Callable[[], Any]) -> Any:
    """What a function returns or raises when an ordinary user runs it."""
    import ctypes  # noqa: F401 - the user may not be allowed to read this interpreter's files

    def unprivileged() -> Any:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        return function()

    return FakeNSEnter("/").call(unprivileged)


def here(kind: str = "mnt") -> str:
    """Which namespace this process is in."""
    return os.readlink(f"/proc/thread-self/ns/{kind}")
