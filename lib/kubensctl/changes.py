"""After an edit: the reload, and with --now the restart of what the edit is about, in the order that systemd knows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from kubens.config import MountNamespace
from kubensctl import status, terminal
from kubensctl.manager import Manager, State
from kubensctl.planning import Planned
from kubensctl.status import Namespace
from kubensctl.terminal import Progress, Terminal

_POLL = 0.1


class Changes:
    """What follows an edit. planned: with the edit in it. dry_run: say it, and do nothing."""

    def __init__(self, out: Terminal, bus: Manager, planned: Planned, now: bool, dry_run: bool) -> None:
        self._out = out
        self._bus = bus
        self._planned = planned
        self._now = now
        self._dry_run = dry_run

    def apply(self, names: Sequence[str], release: bool) -> int:
        """Have systemd take note. names: of the namespaces that the edit is about. 1 where a unit failed."""
        if release and self._now:
            # A namespace keeps its services while it lives: it has to be stopped before the reload lets one go.
            return max([self._restart_without(f"{name}.service") for name in names])
        if not self._dry_run:
            self._bus.reload()
        failed = 0
        for configured in self._planned.namespaces:
            if configured.name in names:
                namespace = status.examine(self._planned, self._bus, configured)
                if self._now:
                    failed |= self._bring_in(configured, namespace)
                else:
                    self._advise(configured, namespace, release)
        return failed

    def _advise(self, configured: MountNamespace, namespace: Namespace, release: bool) -> None:
        """What is left to do, where nothing is restarted."""
        outside = _outside(namespace)
        if release and namespace.active:
            self._out.line(
                "While a namespace lives it keeps its services. To stop it, and start all that ran, the released "
                "ones outside: the same command with --now"
            )
        elif outside and namespace.active:
            self._out.line(f"To bring in what runs outside: systemctl restart {' '.join(outside)}")
        elif outside:
            self._out.line(f"To bring in what runs: systemctl restart {configured.unit}")

    def _bring_in(self, configured: MountNamespace, namespace: Namespace) -> int:
        """Restart what runs outside."""
        units = ordered(self._bus.states(_outside(namespace)))
        restarted = units
        if not namespace.active:
            # One transaction: this restart reaches every member that runs, and systemd orders all of them.
            restarted = [configured.unit]
            units = [configured.unit, *units]
        if self._dry_run:
            if units:
                self._out.line(f"would restart, after a reload: {' '.join(units)}")
            return 0
        for unit in restarted:
            self._bus.enqueue("Restart", unit)
        return self._follow(units, "restarting")

    def _restart_without(self, service: str) -> int:
        """Stop the namespace with all that hangs on it, reload, and start again what ran."""
        running = ordered(self._bus.stopped_with(service))
        if self._dry_run:
            if running:
                self._out.line(f"would stop and, after a reload, start: {' '.join(running)}")
            return 0
        try:
            if running:
                self._bus.enqueue("Stop", service)
                self._follow(running, "stopping")
            self._bus.reload()
            states = self._bus.states(running)
            # The namespace itself may be no more.
            again = [unit for unit in running if states[unit].load == "loaded"]
            for unit in again:
                self._bus.enqueue("Start", unit)
        except BaseException:
            if running:
                # The stop goes on by itself; before it is over, the reload would let nobody go.
                steps = f"systemctl stop {service}; systemctl daemon-reload; systemctl start {' '.join(running)}"
                self._out.line(f"Interrupted. To go on: {steps}")
            raise
        return self._follow(again, "starting")

    def _follow(self, units: Sequence[str], doing: str) -> int:
        """Show what becomes of the units until no job is left; 1 where one failed."""
        progress = Progress(self._out, units)
        while True:
            states = self._bus.states(units)
            progress.update({unit: _progress(state, doing) for unit, state in states.items()})
            if not any(state.job for state in states.values()):
                break
            time.sleep(_POLL)
        failed = [unit for unit, state in states.items() if state.is_failed]
        if failed:
            self._out.line(f"Failed; for the reason: systemctl status {' '.join(failed)}")
        return 1 if failed else 0


def _outside(namespace: Namespace) -> list[str]:
    return [member.unit for member in namespace.members if member.state == status.OUTSIDE]


def ordered(states: Mapping[str, State]) -> list[str]:
    """The units with each behind those that it is ordered after; jobs queued so do not get in each other's way."""
    found: list[str] = []
    under_way: set[str] = set()

    def visit(unit: str) -> None:
        if unit in states and unit not in under_way:
            under_way.add(unit)
            for other in states[unit].after:
                visit(other)
            found.append(unit)

    for unit in states:
        visit(unit)
    return found


def _progress(state: State, doing: str) -> tuple[str, str]:
    if state.job:
        return f"{doing}, {state.active} ({state.sub})", terminal.YELLOW
    colour = terminal.RED if state.is_failed else terminal.GREEN if state.active == "active" else terminal.PLAIN
    return f"{state.active} ({state.sub})", colour
