"""What systemd itself says of its units: the manager of a machine, asked over D-Bus.

Over a bridge that runs in the machine, since systemd hangs up on clients whose process it cannot see.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pystemd.dbusexc import DBusBaseError  # type: ignore[import-untyped]
from pystemd.dbuslib import DBusAddress  # type: ignore[import-untyped]

from machine import ENTER, Machine

EXEC_KEYS = (
    "ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost",
    "ExecReload", "ExecReloadPost", "ExecStop", "ExecStopPost",
)  # fmt: skip

_BRIDGE = ("systemd-stdio-bridge", "--bus-path=unix:path=/run/systemd/private")
_NAME = b"org.freedesktop.systemd1"
_PATH = b"/org/freedesktop/systemd1"
_STRING = ord("s")


class Exec(NamedTuple):
    """One command as systemd keeps it: specifiers expanded, variables not."""

    path: str
    argv: tuple[str, ...]
    flags: tuple[str, ...]


class Seen(NamedTuple):
    """A unit as systemd has loaded it. rest: all other properties of the service."""

    id: str
    load_state: str
    names: frozenset[str]
    fragment: str
    dropins: tuple[str, ...]
    commands: dict[str, list[Exec]]
    rest: dict[str, Any]


class Unspeakable(Exception):
    """The unit holds bytes that D-Bus cannot carry."""


class Manager:
    """A connection to the PID 1 of a machine that runs. `close()` it before the machine ends."""

    def __init__(self, node: Machine) -> None:
        # The bridge ends with the connection.
        words = [f"--target={node.tree.parent.name}", *ENTER, "--", *_BRIDGE]
        arguments = ",".join(f"argv{place}={_escape(word)}" for place, word in enumerate(words, 1))
        self._bus = DBusAddress(f"unixexec:path=/usr/bin/nsenter,{arguments}".encode(), True)
        self._bus.open()

    def close(self) -> None:
        self._bus.close()

    def look(self, name: str) -> Seen:
        """Load a unit and tell what came of it. Raises Unspeakable."""
        path = self._call(_PATH, b"org.freedesktop.systemd1.Manager", b"LoadUnit", name.encode())
        try:
            service = self._all(path, b"Service")
            unit = {key: self._property(path, key, kind) for key, kind in _UNIT_PROPERTIES.items()}
        except DBusBaseError as error:
            raise Unspeakable(str(error)) from None
        commands = {}
        for key in EXEC_KEYS:
            service.pop(key, None)
            commands[key] = [_exec(*found[:3]) for found in service.pop(f"{key}Ex", ())]
        return Seen(
            id=unit["Id"],
            load_state=unit["LoadState"],
            names=frozenset(unit["Names"]),
            fragment=unit["FragmentPath"],
            dropins=tuple(unit["DropInPaths"]),
            commands=commands,
            rest=service,
        )

    def _call(self, path: bytes, interface: bytes, method: bytes, argument: bytes) -> Any:
        return self._bus.call_method(_NAME, path, interface, method, [(_STRING, argument)]).body

    def _all(self, path: bytes, interface: bytes) -> dict[str, Any]:
        name = b"org.freedesktop.systemd1." + interface
        return _decoded(self._call(path, b"org.freedesktop.DBus.Properties", b"GetAll", name))  # type: ignore[no-any-return]

    def _property(self, path: bytes, key: str, kind: bytes) -> Any:
        return _decoded(self._bus.get_property(_NAME, path, b"org.freedesktop.systemd1.Unit", key.encode(), kind))


_UNIT_PROPERTIES = {"Id": b"s", "LoadState": b"s", "Names": b"as", "FragmentPath": b"s", "DropInPaths": b"as"}


def _exec(path: str, argv: list[str], flags: list[str]) -> Exec:
    return Exec(path, tuple(argv), tuple(sorted(flags)))


def _decoded(value: Any) -> Any:
    """Text for all the bytes in a D-Bus value."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {_decoded(key): _decoded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_decoded(one) for one in value)
    return value


def _escape(word: str) -> str:
    """A value in a D-Bus address."""
    return "".join(c if c.isalnum() or c in "-_/.\\*" else f"%{ord(c):02x}" for c in word)
