"""Run commands and functions in the namespaces of a host, a process or a pin.

    host = NSEnter("/rootfs")                          # from a container that has the host's / at /rootfs
    host.command("findmnt", "/var/lib/kubelet").output()

    blue = NSEnter.for_netns("blue")
    blue.call(socket.if_nameindex)                     # in a fresh child that has entered the namespace

    status = join_from_environment()                   # this process, as $KUBENSMNT says

docs/nsenter.md is the manual. Every error is an NSEnterError, except for what subprocess itself raises and for
arguments that can never be right (ValueError).
"""

from __future__ import annotations

from kubens.nsenter.child import Inside
from kubens.nsenter.command import Cancelled, Command, Executor
from kubens.nsenter.environment import JoinStatus, join_from_environment
from kubens.nsenter.errors import (
    ChildFailed,
    MissingCapability,
    MissingCommand,
    NamespaceGone,
    NotANamespace,
    NSEnterError,
    ThreadsExist,
    WrongKind,
)
from kubens.nsenter.namespaces import Kind
from kubens.nsenter.target import DEFAULT_HOST_ROOTFS, FakeNSEnter, NSEnter, Nsenter

__all__ = [
    "DEFAULT_HOST_ROOTFS",
    "Cancelled",
    "ChildFailed",
    "Command",
    "Executor",
    "FakeNSEnter",
    "Inside",
    "JoinStatus",
    "Kind",
    "MissingCapability",
    "MissingCommand",
    "NSEnter",
    "NSEnterError",
    "NamespaceGone",
    "NotANamespace",
    "Nsenter",
    "ThreadsExist",
    "WrongKind",
    "join_from_environment",
]
