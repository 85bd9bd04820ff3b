"""Namespaces of every kind, as they run."""

from __future__ import annotations

from kubens.config import MountNamespace
from kubensctl import mounts, networks
from kubensctl.manager import Manager
from kubensctl.members import Namespace
from kubensctl.planning import Configured, Planned


def examine(planned: Planned, bus: Manager, configured: Configured) -> Namespace:
    if isinstance(configured, MountNamespace):
        return mounts.examine(planned, bus, configured)
    return networks.examine(planned, bus, configured)


def named(planned: Planned, bus: Manager, name: str | None) -> list[Namespace]:
    """Those of that name, of which there may be one of each kind; None for all there are."""
    known = [*planned.all_namespaces, *networks.undeclared(planned, bus)]
    return [examine(planned, bus, configured) for configured in known if name in (None, configured.name)]
