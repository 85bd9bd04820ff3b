"""Drop-ins that other generators made of a member: ours cannot see them while they are made, nor they ours."""

from __future__ import annotations

from kubens import names, sandbox, syntax
from kubens.config import MountNamespace
from kubens.files import Root, byte_order
from kubens.finding import WARNING, Finding
from kubens.units import Unit
from kubensctl.planning import GENERATED, Configured, Planned

# All three directories of generators; ours is the first. systemd.generator(7).
DIRECTORIES = (GENERATED, GENERATED + ".early", GENERATED + ".late")
_SECTIONS = ("Unit", "Service", "Socket")
# The first is the one that our own drop-in sets.
_NETWORK = ("NetworkNamespacePath", "JoinsNamespaceOf", "PrivateNetwork")


def findings(planned: Planned, unit: Unit, namespace: Configured) -> list[Finding]:
    """Settings of a member, made by another generator, that matter to how it gets into its namespace."""
    dropin = planned.dropin(unit, namespace)
    if dropin is None:
        return []
    ours = dropin[0].rpartition("/")[2]
    if isinstance(namespace, MountNamespace):
        overruled, keys = namespace.wrap_commands, {*namespace.wrap_commands, *sandbox.KEYS}
    else:
        overruled, keys = _NETWORK[:1], {*_NETWORK}
    found = []
    for path in _dropins(planned.root, unit.name):
        try:
            parsed = syntax.parse(planned.root.read(path) or "")
        except OSError:
            continue
        for section, _, assignments in parsed.sections:
            for key, _, line in assignments if section in _SECTIONS else ():
                if key in keys:
                    reason = _reason(key, path, ours, key in overruled)
                    found.append(Finding(WARNING, path, line, unit.name, reason))
    return found


def _reason(key: str, path: str, ours: str, is_overruled: bool) -> str:
    if not is_overruled:
        return f"{key}= is set by another generator, whose output kubens cannot take into account: set it in /etc"
    if byte_order(path.rpartition("/")[2]) > byte_order(ours):
        return f"{key}= is set by another generator, after {ours}: the service runs outside; set it in /etc"
    return f"{key}= is set by another generator, and again by {ours}, which cannot know of it: set it in /etc"


def _dropins(root: Root, unit: str) -> list[str]:
    ours = _our_files(root)
    found = []
    for directory in DIRECTORIES:
        for name in (*names.dropin_names(unit), names.suffix(unit)):
            try:
                entries = root.files(f"{directory}/{name}.d", ".conf")
            except OSError:
                continue
            found += [f"{directory}/{name}.d/{entry}" for entry in entries]
    return [path for path in dict.fromkeys(found) if path not in ours]


def _our_files(root: Root) -> set[str]:
    """The drop-ins that the last reload made, which are links (kubens.write)."""
    found = set()
    for namespace in _names(root, f"{GENERATED}/.kubens"):
        for name in _names(root, f"{GENERATED}/.kubens/{namespace}/dropins"):
            for unit in _names(root, f"{GENERATED}/.kubens/{namespace}/dropins/{name}"):
                found.add(f"{GENERATED}/{unit}.d/{name}")
    return found


def _names(root: Root, directory: str) -> list[str]:
    try:
        return root.names(directory)
    except OSError:
        return []
