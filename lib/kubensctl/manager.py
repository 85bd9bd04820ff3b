"""The system manager over D-Bus, through pystemd. Everything here raises Failure where it cannot be asked."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Optional

from kubens import names
from kubensctl.failure import Failure

_DESTINATION = b"org.freedesktop.systemd1"
_PATH = b"/org/freedesktop/systemd1"
_MANAGER = b"org.freedesktop.systemd1.Manager"
_UNIT = b"org.freedesktop.systemd1.Unit"
_SERVICE = b"org.freedesktop.systemd1.Service"
# As pystemd hands arguments to sd-bus: a type and a value; the end of a container is -1. Its apply_signature() would
# make the same of a signature, but reads behind the end of a string on the way (0.15).
_Argument = tuple[int, Optional[bytes]]
_END: _Argument = (-1, None)
# A reload runs all generators and reads all units, on a node that may be busy; 25 s is what sd-bus allows a call.
_TIMEOUT = "300s"


@dataclasses.dataclass(frozen=True)
class State:
    """What the manager says of a unit. pid: of its main process, 0 for none. job: whether one is under way."""

    name: str
    load: str
    active: str
    sub: str
    pid: int = 0
    control_group: str = ""
    dropins: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    job: bool = False
    result: str = ""

    @property
    def is_running(self) -> bool:
        return self.active in ("active", "activating", "reloading", "deactivating", "refreshing")

    @property
    def is_failed(self) -> bool:
        return self.active == "failed" or self.sub.startswith("auto-restart")


class Manager:
    """A connection to PID 1, opened by `connect()`."""

    def __init__(self, bus: Any, error: type[Exception]) -> None:
        self._bus = bus
        self._error = error

    def states(self, units: Sequence[str]) -> dict[str, State]:
        """Units by the name asked for, loaded if they are not yet; a template is never active."""
        found = {unit: State(unit, "loaded", "inactive", "dead") for unit in units}
        # Asked for a template, the manager answers for no unit at all.
        askable = [unit for unit in units if names.kind(unit) != names.TEMPLATE]
        answer = self._call(b"ListUnitsByNames", _strings(askable)) if askable else []
        # It holds one struct for each name, in the order asked.
        for asked, (name, _, load, active, sub, _, path, job, *_) in zip(askable, answer):
            found[asked] = self._state(name, load, active, sub, path, job)
        return found

    def stopped_with(self, unit: str) -> dict[str, State]:
        """The units that run and that stopping this one stops too, itself included (systemd.unit(5), Requires= …)."""
        found = self.states([unit])
        ahead = [unit]
        while ahead:
            name = ahead.pop()
            path = self._call(b"LoadUnit", [_string(name)])
            bound: list[str] = []
            for relation in (b"RequiredBy", b"BoundBy", b"ConsistsOf"):
                bound += map(_text, self._property(path, _UNIT, relation, b"as"))
            new = self.states([other for other in dict.fromkeys(bound) if other not in found])
            found.update(new)
            ahead += new
        return {name: state for name, state in found.items() if state.is_running}

    def instances(self, template: str) -> list[str]:
        """The units that are loaded of a template."""
        return self.loaded(template.replace("@.", "@*."))

    def loaded(self, pattern: str) -> list[str]:
        """The units that are loaded and whose names match a pattern, as systemctl(1) has them."""
        answer = self._call(b"ListUnitsByPatterns", _strings(()) + _strings((pattern,)))
        return sorted(_text(unit[0]) for unit in answer or ())

    def reload(self) -> None:
        """daemon-reload; back when it is done."""
        self._call(b"Reload", [])

    def enqueue(self, verb: str, unit: str) -> None:
        """Start a job ("Start", "Stop", "Restart", "TryRestart"); the state of its unit tells when it is over."""
        self._call(f"{verb}Unit".encode(), [_string(unit), _string("replace")])

    def _state(self, name: bytes, load: bytes, active: bytes, sub: bytes, path: bytes, job: int) -> State:
        state = State(_text(name), _text(load), _text(active), _text(sub), job=job != 0)
        if state.load != "loaded":
            return state
        state = dataclasses.replace(
            state,
            dropins=tuple(map(_text, self._property(path, _UNIT, b"DropInPaths", b"as"))),
            after=tuple(map(_text, self._property(path, _UNIT, b"After", b"as"))),
        )
        if not state.name.endswith(".service"):
            return state
        return dataclasses.replace(
            state,
            pid=self._property(path, _SERVICE, b"MainPID", b"u"),
            control_group=_text(self._property(path, _SERVICE, b"ControlGroup", b"s")),
            result=_text(self._property(path, _SERVICE, b"Result", b"s")),
        )

    def _property(self, path: bytes, interface: bytes, name: bytes, signature: bytes) -> Any:
        try:
            return self._bus.get_property(_DESTINATION, path, interface, name, signature)
        except self._error as error:
            raise Failure(_reason(error)) from None

    def _call(self, method: bytes, arguments: list[_Argument]) -> Any:
        try:
            return self._bus.call_method(_DESTINATION, _PATH, _MANAGER, method, arguments).body
        except self._error as error:
            raise Failure(_reason(error)) from None


def connect() -> Manager:
    """A manager to talk to. Imports late: the other verbs need neither pystemd nor D-Bus."""
    os.environ.setdefault("SYSTEMD_BUS_TIMEOUT", _TIMEOUT)
    try:
        from pystemd.dbusexc import DBusBaseError  # type: ignore[import-untyped]
        from pystemd.dbuslib import DBus  # type: ignore[import-untyped]
    except ImportError:
        raise Failure("pystemd is not installed, systemd cannot be asked: apt install python3-pystemd") from None
    bus = DBus(interactive=True)
    try:
        bus.open()
    except DBusBaseError as error:
        raise Failure(f"the system bus does not answer, systemd cannot be asked: {_reason(error)}") from None
    return Manager(bus, DBusBaseError)


def _reason(error: Any) -> str:
    """What D-Bus said, in one line; pystemd has the name of some errors only in their class."""
    message = _text(error.err_message or b"")
    return message or os.strerror(abs(error.errno)) or type(error).__name__


def _string(text: str) -> _Argument:
    return ord("s"), text.encode("utf-8", "surrogateescape")


def _strings(texts: Sequence[str]) -> list[_Argument]:
    return [(ord("a"), b"s"), *map(_string, texts), _END]


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
