"""One world in a machine: what systemd makes of each unit, what kubens reads, and what systemd makes of our drop-in.

systemd expands specifiers, quotes and escapes; so its own view of the wrapped commands, with what stands in front of
them taken off, must be its own view of the commands before, byte for byte.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from differential.manager import EXEC_KEYS, Exec, Manager, Seen, Unspeakable
from differential.shrink import shrink
from differential.worlds import Link, World
from kubens import inventory, plan
from kubens.config import WRAP, Configuration, Member, MountNamespace
from kubens.files import Root
from kubens.lookup import Lookup
from kubens.tree import Plan
from kubens.units import Units
from machine import Machine

# A generator of the machine's copies what is here into its output, as kubens' own would write it.
GENERATED = "/run/kubens-differential"
_GENERATOR = f'#!/bin/sh\ntest ! -d {GENERATED} || cp -R {GENERATED}/. "$1"\n'
_NSENTER = ("/usr/bin/nsenter", "--mount=/run/kubens/mnt")
_PROGRAM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


class Mismatch(NamedTuple):
    """unit: by the name in World.members. what: the kind, the same for all seeds. detail: for people."""

    unit: str
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.unit}: {self.what}: {self.detail}"


class Outcome(NamedTuple):
    """What kubens makes of a member: "wrapped", "refused", "refused by systemd", "masked" or "not installed"."""

    what: str
    dropins: dict[str, str]
    findings: list[str]


# What kubens may say of a unit, by systemd's load state. It may always refuse.
_TRUE_OF = {
    "masked": ("masked", "not installed", "refused"),
    "not-found": ("not installed", "refused"),
    "bad-setting": ("refused by systemd", "refused"),
    "error": ("refused by systemd", "refused"),
}
_ANY = ("wrapped", "refused")


class Result(NamedTuple):
    """wrapped: the real names of the units that are wrapped, by member."""

    mismatches: list[Mismatch]
    counts: Counter[str]
    wrapped: dict[str, str]


class Trial:
    """Tries worlds in one machine that runs, one after the other. search_path: its $SYSTEMD_UNIT_PATH."""

    def __init__(self, node: Machine, search_path: str = "") -> None:
        self._node = node
        self._search_path = search_path
        node.write("/etc/systemd/system-generators/kubens-differential", _GENERATOR, 0o755)
        node.write("/usr/local/bin/record", "#!/bin/sh\n", 0o755)
        self._root = Root(str(node.tree))
        self._manager = Manager(node)
        self._counts: Counter[str] = Counter()

    def close(self) -> None:
        self._manager.close()

    def run(self, world: World, keep: bool = False) -> Result:
        """Try one world, and remove it again, unless it is to be kept."""
        self._counts = Counter()
        self._wrapped: dict[str, str] = {}
        try:
            self._build(world)
            return Result(self._compare(world), self._counts, self._wrapped)
        finally:
            self._clear(() if keep else world.pieces)

    def shrunk(self, world: World, mismatch: Mismatch) -> str:
        """A report of a mismatch, with the smallest tree that still has one of its kind."""

        def find(smaller: World) -> Mismatch | None:
            found = self.run(smaller).mismatches
            return next((one for one in found if one[:2] == mismatch[:2]), None)

        only = world._replace(members={mismatch.unit: world.members[mismatch.unit]})
        stem = re.split(r"[^a-z0-9]", mismatch.unit)[0]
        near = {path: piece for path, piece in world.pieces.items() if f"/{stem}" in path or "/t" not in path}
        near_world = only._replace(pieces=near)
        small = shrink(near_world if find(near_world) else only, lambda smaller: find(smaller) is not None)
        tree = "\n".join(f"    {path}: {piece!r}" for path, piece in small.pieces.items())
        return f"{find(small) or mismatch}\n{tree}"

    def _build(self, world: World) -> None:
        for path, piece in world.pieces.items():
            if isinstance(piece, Link):
                self._node.link(path, piece.target)
            else:
                self._node.write(path, piece)

    def _clear(self, pieces: Iterable[str]) -> None:
        paths = sorted(pieces)
        directories = sorted({os.path.dirname(path) for path in paths if ".d/" in path}, reverse=True)
        self._node.run("xargs", "-0", "rm", "-rf", GENERATED, input="\0".join(paths))
        if directories:
            self._node.run(
                "xargs", "-0", "rmdir", "--ignore-fail-on-non-empty", input="\0".join(directories), check=False
            )

    def _compare(self, world: World) -> list[Mismatch]:
        found: list[Mismatch] = []
        self._node.daemon_reload()
        before = self._look(world)
        units = Units(Lookup(self._root, self._search_path), inventory.KEYS)
        for member, seen in before.items():
            found += _reading(member, seen, units, world.members[member], self._root)
        outcomes = self._wrap({member: seen.id for member, seen in before.items()})
        self._node.daemon_reload()
        after = self._look(world)
        for member in after:
            self._counts[f"{before[member].load_state}, {outcomes[member].what}"] += 1
            found += self._wrapping(member, before[member], after[member], outcomes[member])
        return found

    def _look(self, world: World) -> dict[str, Seen]:
        found = {}
        for member, name in world.members.items():
            try:
                found[member] = self._manager.look(name)
            except Unspeakable:
                self._counts["unspeakable"] += 1
        return found

    def _wrap(self, members: dict[str, str]) -> dict[str, Outcome]:
        """Write the drop-ins for each member as if it were the only one."""
        read = inventory.take(self._root, _configuration([*members]), Configuration(), self._search_path)
        outcomes = {}
        for member, name in members.items():
            made = plan.plan(_configuration([member]), read)
            dropins = {
                f"{unit}.d/{name}": text
                for tree in made.trees
                for name, texts in tree.dropins.items()
                for unit, text in texts.items()
            }
            for path, text in dropins.items():
                self._node.write(f"{GENERATED}/{path}", text)
            outcomes[member] = Outcome(_what(made, dropins, name), dropins, [str(finding) for finding in made.findings])
            for finding in made.findings:
                self._counts[f"{finding.severity}: {_general(finding.reason)}"] += 1
        return outcomes

    def _wrapping(self, member: str, before: Seen, after: Seen, outcome: Outcome) -> list[Mismatch]:
        """Where a unit is not left, or not wrapped, as kubens says."""
        # Of a template an instance may be another matter.
        if outcome.what not in _TRUE_OF.get(before.load_state, _ANY) and "@." not in member:
            return [Mismatch(member, f"{outcome.what}, but {before.load_state}", "; ".join(outcome.findings))]
        # What never starts need not stay as it is in its settings.
        if before.load_state == after.load_state != "loaded":
            return []
        # Nor the drop-ins that a hash decides on, between directories of which that is said.
        if any("which of the two applies is not defined" in finding for finding in outcome.findings):
            files, again = ([*map(os.path.basename, seen.dropins)] for seen in (before, after))
            if before.dropins != after.dropins and files == again:
                return []
        if outcome.what != "wrapped" or before.load_state != "loaded":
            # 247 gives units the names of whatever is linked to files of one name, in one order or another.
            difference = _difference(before, after._replace(names=before.names, dropins=_theirs(after.dropins)))
            return [Mismatch(member, "changes without being wrapped", difference)] if difference else []
        self._wrapped[member] = before.id
        if after.load_state != "loaded":
            return [Mismatch(member, "does not load when wrapped", f"{after.load_state} {before.commands}")]
        own = [path for path in outcome.dropins if path.startswith(f"{before.id}.d/")] or [*outcome.dropins]
        if not after.dropins or not after.dropins[-1].endswith("/" + own[0]):
            return [Mismatch(member, "drop-in is not the last", f"{own[0]} in {after.dropins}")]
        found = []
        for key in EXEC_KEYS:
            commands = [self._unwrapped(command, before) for command in after.commands[key]]
            expected = [self._expected(command, before) for command in before.commands[key]]
            if commands != expected:
                found.append(Mismatch(member, f"{key} differs", f"{expected}\nwrapped {after.commands[key]}"))
        changed = {key for key in before.rest if before.rest[key] != after.rest.get(key)} - {"SyslogIdentifier"}
        if changed:
            detail = ", ".join(f"{key}: {before.rest[key]} → {after.rest.get(key)}" for key in sorted(changed))
            found.append(Mismatch(member, "other settings change", detail))
        return found

    def _expected(self, command: Exec, seen: Seen) -> tuple[object, ...]:
        """What _unwrapped() should make of this command."""
        path = command.path
        if "/" not in path:
            directories = seen.rest.get("ExecSearchPath") or _PROGRAM_PATH
            path = next((p for p in (f"{d}/{path}" for d in directories) if self._root.is_executable(p)), "")
        return _directory(seen), _simple(path), command.argv, command.flags

    def _unwrapped(self, command: Exec, seen: Seen) -> tuple[object, ...]:
        """The directory, program, argv and flags that a wrapped command comes to, or the command itself."""
        if command.argv[:2] != _NSENTER or command.path != _NSENTER[0]:
            return command
        try:
            found = _parts(list(command.argv[2:]), "no-env-expand" in command.flags, _directory(seen) != "")
        except IndexError:
            return command
        return (*found, command.flags)


def _directory(seen: Seen) -> str:
    """WorkingDirectory=, with "!" in front of one that may be missing, where it is not the root."""
    directory: str = seen.rest["WorkingDirectory"]
    return "" if directory in ("/", "!/", "!") else directory


def _parts(words: list[str], is_literal: bool, has_directory: bool) -> tuple[object, ...]:
    """Working directory ("!" for one that may be missing), program and argv of what nsenter is to run."""

    def plain(word: str) -> str:
        return word if is_literal else word.replace("$$", "$")

    directory = ""
    tool = os.path.basename(words[0]), words[1][: len("--wd=")] if words[1:] else ""
    if has_directory and tool == ("env", "-C"):
        directory, words = _simple(plain(words[2])), words[3:]
    elif has_directory and tool == ("unshare", "--wd="):
        directory, words = _simple(plain(words[1][len("--wd=") :])), words[3:]
    elif has_directory and tool == ("sh", "-c"):
        directory, words = "!" + _simple(plain(words[3])), words[4:]
    if words[0].endswith("/perl") and words[2:] and words[2].startswith("exec {"):
        return directory, _simple(plain(words[3])), tuple(words[4:])
    if words[0].endswith("/bash") and words[1:2] == ["-pc"]:
        return directory, _simple(plain(words[4])), tuple(words[5:])
    return directory, _simple(plain(words[0])), (plain(words[0]), *words[1:])


def _theirs(dropins: tuple[str, ...]) -> tuple[str, ...]:
    """Without ours, of which there may be one that keeps an instance as it is."""
    return tuple(path for path in dropins if not path.startswith("/run/systemd/generator/"))


def _simple(path: str) -> str:
    """As systemd keeps the path of a program; what it hands on as argv[0] stays as written."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _configuration(members: list[str]) -> Configuration:
    configuration = Configuration()
    namespace = MountNamespace("kubens", "", 0)
    namespace.commands_given = EXEC_KEYS
    namespace.members = {member: Member(member, WRAP, "/etc/kubens/services.conf", 1) for member in members}
    configuration.mount_namespaces["kubens"] = namespace
    return configuration


def _what(made: Plan, dropins: dict[str, str], name: str) -> str:
    reasons = " ".join(finding.reason for finding in made.findings if finding.unit == name or not dropins)
    if made.has_errors or (dropins and not reasons):
        return "refused" if made.has_errors else "wrapped"
    return next(what for mark, what in _MARKS.items() if mark in reasons)


_MARKS = {"systemd itself": "refused by systemd", "masked, not": "masked", "not installed, not": "not installed"}


def _reading(member: str, seen: Seen, units: Units, name: str, root: Root) -> list[Mismatch]:
    """Where the files that kubens reads for a unit are not those that systemd has read."""
    unit = units.load(name)
    # Of what is unreadable nothing is claimed.
    if unit is None or unit.unreadable or seen.load_state != "loaded":
        return []
    found = []
    if unit.name != seen.id:
        found.append(Mismatch(member, "name", f"{unit.name}, but {seen.id}"))
    # 247 says where a link leads.
    if root.follow(unit.path) != root.follow(seen.fragment):
        found.append(Mismatch(member, "fragment", f"{unit.path}, but {seen.fragment}"))
    if [*map(root.follow, unit.dropins)] != [*map(root.follow, seen.dropins)]:
        found.append(Mismatch(member, "drop-ins", f"{unit.dropins}, but {seen.dropins}"))
    return found


def _general(reason: str) -> str:
    """The reason of a finding without what belongs to this one unit."""
    for mark in ("systemd itself does not load it", "what systemd would run cannot be told", "stops reading the file"):
        if mark in reason:
            return mark
    return re.sub(r"^[A-Za-z]+=.*?(: |$)", "", re.sub(r"t\d\S*|/\S+", "…", reason))[:60]


def _difference(before: Seen, after: Seen) -> str:
    return "; ".join(f"{key}: {a!r:.200} → {b!r:.200}" for key, a, b in zip(Seen._fields, before, after) if a != b)
