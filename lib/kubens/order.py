"""Who is ordered before what a namespace waits for: with such a member there would be an ordering cycle.

systemd breaks a cycle by leaving out any one of those in it, at each boot another (seen with 252), and with the unit
that makes a namespace go all of its members. Loaded where some unit says that it comes before another.
"""

from __future__ import annotations

from kubens import names
from kubens.finding import ERROR, WARNING, Finding
from kubens.inventory import EARLY
from kubens.units import Setting, Unit, Units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Optional

    from kubens.config import Configuration
    from kubens.inventory import Inventory

    # A unit that comes later than another, and the setting that says so, None for a .wants link.
    Step = tuple[str, Optional[Setting]]
    # How a unit comes to be early: the setting that starts the chain, and what to say of whom it comes before.
    Chain = tuple[Optional[Setting], str]

# What is read of units that are no members.
_KEYS = frozenset(("After", "Before", "DefaultDependencies", "Requires", "Service", "Wants"))


def makers(inventory: Inventory, configurations: Iterable[Configuration]) -> dict[str, set[str]]:
    """By the real name of a member, the units that make its namespaces."""
    found: dict[str, set[str]] = {}
    for configuration in configurations:
        for namespaces in (configuration.mount_namespaces, configuration.network_namespaces):
            for namespace in namespaces.values():
                for listed in namespace.members:
                    for name in (listed, *inventory.instances.get(listed, ())):
                        unit = inventory.units.get(name)
                        if unit is not None:
                            found.setdefault(unit.name, set()).update(namespace.makers)
    return found


def find(
    units: Units,
    members: dict[str, Unit],
    makers: dict[str, set[str]],
    wanted: dict[str, Chain],
    written: list[str],
    touched: list[str],
) -> dict[str, Chain]:
    """The members that come before what their namespaces wait for, by real name.

    members: by real name. makers: as makers() gives them. wanted: units that early targets want, and so come after.
    written, touched: units that are no members, as inventory has them. `kubensctl check` asks systemd about all others.
    """
    found = dict(wanted)
    _search_all(members.values(), units, {}, makers, found)
    if touched or wanted.keys() - members.keys():
        units = Units(units.lookup, _KEYS)
        goals = set().union(wanted, *makers.values())
        others = {name: _load(units, name) for name in touched}
        barren: set[str] = set()
        leading = (_leads(units, name, unit, goals, barren) for name, unit in others.items())
        if any(leading) or wanted.keys() - members.keys():
            others.update((name, _load(units, name)) for name in written)
            later = _later(units, {name: unit for name, unit in others.items() if unit.name not in members}, members)
            _search_all(members.values(), units, later, makers, found)
    return found


def finding(unit: Unit, chain: Chain, waiting: str, is_live: bool) -> Finding:
    """What to say of a member that was found. waiting: who waits, with the verb. is_live: whether it goes on as one.

    To a namespace that runs already order means nothing before the next boot.
    """
    setting, whom = chain
    where = (setting.file, setting.line) if setting else (unit.path, 0)
    reason = f"is ordered before {whom}, which {waiting} for: they would wait for each other; order it otherwise"
    if is_live:
        return Finding(WARNING, *where, unit.name, f"{reason} before the next boot, which will refuse it")
    return Finding(ERROR, *where, unit.name, reason)


def _leads(units: Units, name: str, unit: Unit, goals: set[str], barren: set[str]) -> bool:
    """Whether a unit that is no member is early, or comes before what is."""
    return name in EARLY or name in goals or _search(unit, units, {}, goals, barren) is not None


def _later(units: Units, others: dict[str, Unit], members: dict[str, Unit]) -> dict[str, list[Step]]:
    """By name, which of the other units say that they come after one."""
    later: dict[str, list[Step]] = {}
    for target, listed in units.lookup.wanted_by([name for name in others if name.endswith(".target")]):
        for member in members.keys() & listed:
            later.setdefault(member, []).append((target, None))
    for name, unit in others.items():
        for earlier, setting in _after(unit):
            for key in {earlier, _load(units, earlier).name, names.template_of(earlier)}:
                later.setdefault(key, []).append((name, setting))
    return later


def _search_all(
    members: Iterable[Unit],
    units: Units,
    later: dict[str, list[Step]],
    makers: dict[str, set[str]],
    found: dict[str, Chain],
) -> None:
    """Add those of the members that come before the units that make their namespaces, or what was found to be early."""
    barren: dict[frozenset[str], set[str]] = {}
    for unit in members:
        if unit.name not in found:
            goals = makers.get(unit.name, set()) | found.keys()
            chain = _search(unit, units, later, goals, barren.setdefault(frozenset(goals), set()))
            if chain is not None:
                found[unit.name] = chain


def _search(
    unit: Unit, units: Units, later: dict[str, list[Step]], goals: set[str], barren: set[str]
) -> Chain | None:
    """Whether what comes after a unit leads to one of the goals, or to what is early.

    barren: units that do not, as far as is known; more are added. Without it, a thousand units that are ordered one
    after the other would be walked through a thousand times.
    """
    seen = {unit.name}
    waiting = [(name, setting, name) for name, setting in (*later.get(unit.name, ()), *_before(unit))]
    while waiting:
        name, setting, first = waiting.pop()
        if name in EARLY or name in goals:
            return setting, name if name == first else f"{first} and so before {name}"
        if name not in seen and name not in barren and names.kind(name):
            seen.add(name)
            following = units.load(name)
            steps = [*later.get(name, ()), *(_before(following) if following is not None else ())]
            waiting += [(further, setting, first) for further, _ in steps]
    barren.update(seen)
    return None


def _before(unit: Unit) -> list[Step]:
    """The units that a unit is ordered before, with the setting that says so; an empty one resets nothing."""
    found: list[Step] = [(name, setting) for setting in unit.unit.get("Before", ()) for name in setting.value.split()]
    if unit.name.endswith(".socket"):
        # Comes before what it starts; systemd.socket(5).
        found.append((unit.started, Setting(unit.started, unit.path, 0)))
    return found


def _after(unit: Unit) -> list[Step]:
    """The units that a unit is ordered after."""
    keys = ["After"]
    if unit.name.endswith(".target") and not any(s.value == "no" for s in unit.unit.get("DefaultDependencies", ())):
        keys += ["Requires", "Wants"]
    return [(name, setting) for key in keys for setting in unit.unit.get(key, ()) for name in setting.value.split()]


def _load(units: Units, name: str) -> Unit:
    """The unit; where it has no file (yet), what drop-ins alone make of it."""
    return (units.load(name) if names.kind(name) else None) or units.load_dropins(name)
