"""$KUBENSMNT: for services that enter their mount namespace by themselves (Env= in kubens.conf(5))."""

from __future__ import annotations

import os

from kubens.nsenter.errors import NSEnterError
from kubens.nsenter.target import NSEnter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    State = Literal["not requested", "joined", "error"]

_VARIABLE = "KUBENSMNT"


class JoinStatus:
    """`state` is "not requested", "joined" or "error"; `path` is the variable's value, None where it is not set."""

    __slots__ = ("error", "path", "state")

    def __init__(self, state: State, path: str | None = None, error: NSEnterError | None = None) -> None:
        self.state = state
        self.path = path
        self.error = error

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.state}: {self.error}"
        return f"{self.state}: {self.path}" if self.path else self.state

    def __repr__(self) -> str:
        return f"JoinStatus({self.state!r}, {self.path!r}, {self.error!r})"


# The namespace that this process has joined, and where that was pinned.
_joined: tuple[str, int] | None = None


def join_from_environment() -> JoinStatus:
    """Enter the mount namespace that $KUBENSMNT names; do nothing where it is not set.

    To be called before anything else, while there is one thread. It never raises an NSEnterError, so look at the
    status: after an error, this process is where it was.

    The pin cannot be seen from inside. So a second call knows by itself that it has nothing to do; a program that
    is executed later does not, and must be given an environment without the variable if it would join too.
    """
    global _joined
    path = os.environ.get(_VARIABLE)
    if path is None:
        return JoinStatus("not requested")
    try:
        if _joined != (path, _current()):
            NSEnter.for_pin(path).enter()
    except NSEnterError as error:
        return JoinStatus("error", path, error)
    _joined = path, _current()
    return JoinStatus("joined", path)


def _current() -> int:
    return os.stat("/proc/self/ns/mnt").st_ino
