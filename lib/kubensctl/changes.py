"""After an edit: the reload, and with --now the restart of what the edit is about, in the order that systemd knows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from kubens.config import MountNamespace
from kubens.netns import NetworkNamespace
from kubensctl import members, namespaces, terminal
from kubensctl.manager import Manager, State
from kubensctl.members import Namespace
from kubensctl.planning import Configured, Planned
from kubensctl.terminal import Progress, Terminal

_POLL = 0.1
# Seconds in which systemd finds out that what made a network namespace is needed no more.
_UNNEEDED = 5.0


class Changes:
    """What follows an edit. planned: with the edit in it. dry_run: say it, and do nothing."""

    def __init__(self, out: Terminal, bus: Manager, planned: Planned, now: bool, dry_run: bool) -> None:
        self._out = out
        self._bus = bus
        self._planned = planned
        self._now = now
        self._dry_run = dry_run

    def apply(self, kind: type[Configured], names: Sequence[str], release: bool) -> int:
        """Have systemd take note. names: of the namespaces that the edit is about. 1 where a unit failed."""
        if release and self._now:
            # A namespace keeps its services while it lives: it has to be stopped before the reload lets one go.
            return max([self._restart_without(_anchor(kind, name)) for name in names])
        concerned = [one for one in self._planned.all_namespaces if isinstance(one, kind) and one.name in names]
        if not self._dry_run:
            for configured in concerned:
                if isinstance(configured, NetworkNamespace) and not release and not self._start(configured):
                    self._out.line("Not reloaded, since that would stop what runs. Then: systemctl daemon-reload")
                    return 1
            self._bus.reload()
        failed = 0
        for configured in concerned:
            namespace = namespaces.examine(self._planned, self._bus, configured)
            if self._now:
                failed |= self._bring_in(configured, namespace)
            else:
                self._advise(configured, namespace, release)
        return failed

    def _start(self, configured: NetworkNamespace) -> bool:
        """Start the namespace ahead of a reload that binds services to it: systemd stops at once what runs and is bound
        to a unit that is not active. False where it failed."""
        states = self._bus.states([*configured.members, *configured.units])
        units = [unit for unit in configured.units if states[unit].load == "loaded" and states[unit].active != "active"]
        if not any(states[unit].is_running for unit in configured.members):
            return True
        for unit in units:
            self._bus.enqueue("Start", unit)
        return not units or self._follow(units, "starting") == 0

    def _advise(self, configured: Configured, namespace: Namespace, release: bool) -> None:
        """What is left to do, where nothing is restarted."""
        outside = _outside(namespace)
        if release and namespace.inode:
            self._out.line(
                "While a namespace lives it keeps its services. To stop it, and start all that ran, the released "
                "ones outside: the same command with --now"
            )
        elif outside and not namespace.active and isinstance(configured, MountNamespace):
            self._out.line(f"To bring in what runs: systemctl restart {configured.unit}")
        elif outside:
            self._out.line(f"To bring in what runs outside: systemctl restart {' '.join(outside)}")

    def _bring_in(self, configured: Configured, namespace: Namespace) -> int:
        """Restart what runs outside."""
        outside = ordered(self._bus.states(_outside(namespace)))
        jobs = [("Restart", unit) for unit in outside]
        units = outside
        if not namespace.active:
            units = [*namespace.units, *outside]
            if isinstance(configured, MountNamespace):
                # One transaction: this restart reaches every member that runs, and systemd orders all of them.
                jobs = [("Restart", configured.unit)]
            else:
                jobs = [("Start", unit) for unit in namespace.units] + jobs
        if self._dry_run:
            if units:
                self._out.line(f"would restart, after a reload: {' '.join(units)}")
            return 0
        for verb, unit in jobs:
            self._bus.enqueue(verb, unit)
        return self._follow(units, "restarting")

    def _restart_without(self, anchor: str) -> int:
        """Stop the namespace with all that hangs on it, reload, and start again what ran. anchor: what makes it."""
        running = ordered(self._bus.stopped_with(anchor))
        # What makes a network namespace, and what is done outside for it, comes and goes with what is done inside.
        again = [unit for unit in running if not unit.startswith("netns_")]
        if self._dry_run:
            if running:
                self._out.line(f"would stop and, after a reload, start: {' '.join(again)}")
            return 0
        stopped = [anchor] if anchor in again else again
        try:
            for unit in stopped:
                self._bus.enqueue("Stop", unit)
            if running:
                self._follow(running, "stopping", until_stopped=anchor)
            self._bus.reload()
            states = self._bus.states(again)
            # The namespace itself may be no more.
            again = [unit for unit in again if states[unit].load == "loaded"]
            for unit in again:
                self._bus.enqueue("Start", unit)
        except BaseException:
            if running:
                # The stop goes on by itself; before it is over, the reload would let nobody go.
                stop, start = " ".join(stopped), " ".join(again)
                self._out.line(
                    f"Interrupted. To go on: systemctl stop {stop}; systemctl daemon-reload; systemctl start {start}"
                )
            raise
        return self._follow(again, "starting")

    def _follow(self, units: Sequence[str], doing: str, until_stopped: str = "") -> int:
        """Show what becomes of the units until no job is left; 1 where one failed."""
        progress = Progress(self._out, units)
        deadline = time.monotonic() + _UNNEEDED
        while True:
            states = self._bus.states(units)
            progress.update({unit: _progress(state, doing) for unit, state in states.items()})
            if any(state.job for state in states.values()):
                deadline = time.monotonic() + _UNNEEDED
            elif not until_stopped or not states[until_stopped].is_running or time.monotonic() > deadline:
                break
            time.sleep(_POLL)
        failed = [unit for unit, state in states.items() if state.is_failed]
        if failed:
            self._out.line(f"Failed; for the reason: systemctl status {' '.join(failed)}")
        return 1 if failed else 0


def _anchor(kind: type[Configured], name: str) -> str:
    """The unit that makes the namespace, on which everything else hangs."""
    return f"{name}.service" if kind is MountNamespace else f"netns_name@{name}.service"


def _outside(namespace: Namespace) -> list[str]:
    return [member.unit for member in namespace.members if member.state == members.OUTSIDE]


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
