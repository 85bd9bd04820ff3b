"""Random unit trees: every place a unit or a drop-in can stand, and every way names lead to one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple, Union

from differential import texts

DIRECTORIES = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/usr/local/lib/systemd/system",
    "/lib/systemd/system",
    "/usr/lib/systemd/system",
)
# Directories that $SYSTEMD_UNIT_PATH adds in front of these, or takes there. With an empty one 262 does not boot.
SEARCH_PATH = "/opt/kubens/path:opt/kubens/relative:/opt/kubens/slash/:/run/systemd/system:"
MORE_DIRECTORIES = ("/opt/kubens/path", "/opt/kubens/relative", "/opt/kubens/slash")
# Where people keep units and link to them.
ELSEWHERE = "/opt/kubens/units"

_DROPIN_NAMES = (
    "10-a.conf", "50-b.conf", "50-b.conf", "99-c.conf", "A.conf", "a.conf", "zz-kubens.conf", "zzz.conf", "~.conf",
    "\u00e9.conf", ".hidden.conf", ".conf", "a b.conf", "no-conf", "50-b.conf.bak", "50-b.conf~", "z\u00fc.conf",
    f"{'z' * 250}.conf",
)  # fmt: skip
_INSTANCES = ("x", "a-b", "a\\x2db", "a@b", "1", "-", "x.y", "a:b")


class Link(NamedTuple):
    target: str


Piece = Union[bytes, Link]


class World(NamedTuple):
    """A tree, piece by piece, and the units in it that are to be wrapped, with one real name or instance of each."""

    pieces: Mapping[str, Piece]
    members: Mapping[str, str]


def world(seed: str, families: int = 150, wildness: float = 0.3, directories: Sequence[str] = DIRECTORIES) -> World:
    """The world of that seed, in which families share nothing but the type-level service.d/ directories.

    wildness: how much of it is what nobody in his senses writes, and systemd may refuse. directories: where units are.
    """
    random = Random(seed)
    pieces: dict[str, Piece] = {}
    members: dict[str, str] = {}
    if random.random() < 0.3:
        for _ in range(random.randint(1, 3)):
            directory, name = random.choice(directories), random.choice(_DROPIN_NAMES)
            pieces[f"{directory}/service.d/{name}"] = b"[Service]\nEnvironment=FOO=%n\nExecStopPost=/bin/echo type\n"
    for number in range(families):
        family = _Family(random, pieces, number, wildness, directories)
        members.update(family.members)
    return World(pieces, members)


def sane_world(seed: str, families: int = 150) -> World:
    """One of which systemd loads most, so that there is something to run."""
    return world(seed, families, wildness=0.05)


def world_with_search_path(seed: str, families: int = 150) -> World:
    """One for a machine that boots with SEARCH_PATH."""
    return world(seed, families, directories=(*MORE_DIRECTORIES, *DIRECTORIES))


class _Family:
    """One unit with all that belongs to it: fragments, links, drop-ins."""

    def __init__(
        self, random: Random, pieces: dict[str, Piece], number: int, wildness: float, directories: Sequence[str]
    ) -> None:
        self._wildness = wildness
        self._directories = directories
        self._random = random
        self._pieces = pieces
        self._prefix = f"t{number}" + random.choice(("", "", "-a", "-a-b", "-", "_x", "\\x2d", ".x", "-a-"))
        self._elsewhere = f"{ELSEWHERE}/t{number}"
        self._is_template = random.random() < 0.35
        instance = random.choice(_INSTANCES)
        self._file = self._prefix + ("@.service" if self._is_template else ".service")
        self.unit = self._prefix + (f"@{instance}.service" if self._is_template else ".service")
        self._names = [self._file, self.unit]
        self._fragments()
        for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
            self._alias(instance)
        self._dropins()
        asked = random.choice(self._names)
        # What belongs to a template can be seen at an instance only.
        self.members = {asked: self.unit if asked == self._file else asked}
        if asked != self.unit and "@." in asked:
            self.members = {asked: asked.replace("@.", f"@{instance}.")}

    def _fragments(self) -> None:
        random = self._random
        for directory in random.sample(self._directories, random.choice((1, 1, 1, 1, 2, 3))):
            what = random.random()
            name = self.unit if random.random() < 0.15 else self._file
            path = f"{directory}/{name}"
            if what < 0.8 or directory == "/run/systemd/transient":
                # A link in there that leads to an empty file kills the PID 1 of 247.
                self._pieces[path] = texts.fragment(random, self._wildness)
            elif what < 0.84:
                self._pieces[path] = random.choice((b"", Link("/dev/null"), Link("../../../dev/null")))
            elif what < 0.88:
                self._pieces[path] = Link(random.choice(("/no/such", "nothing.service", "/", self._file)))
            else:
                # 247 takes the file's name for one of the unit, and no two families shall have one in common.
                other = f"{self._prefix}-other"
                elsewhere = f"{self._elsewhere}/{random.choice((name, self._file, f'{other}.service', other))}"
                self._pieces.setdefault(elsewhere, texts.fragment(random, self._wildness))
                self._pieces[path] = Link(elsewhere)

    def _alias(self, instance: str) -> None:
        random = self._random
        target = random.choice(self._names)
        if random.random() < 0.15:
            target = target.replace("@.", f"@{instance}.")
        stem = self._prefix + random.choice(("A", "-alias", "B"))
        suffix = random.choice((".service",) * 8 + (".socket", ".target"))
        kinds: tuple[str, ...] = ("", f"@{instance}", "@other", "@") if "@" in target else ("", "", "", "@", "@x")
        if "@" in target and random.random() < 0.7:
            kinds = ("@",) if "@." in target else (f"@{instance}",)
        name = stem + random.choice(kinds) + suffix
        directory = random.choice(self._directories)
        where = random.choice(("", "", f"{directory}/", "../system/", f"{random.choice(self._directories)}/"))
        self._pieces[f"{directory}/{name}"] = Link(where + target)
        if suffix == ".service":
            self._names.append(name)

    def _dropins(self) -> None:
        random = self._random
        owners = [*self._names, self.unit]
        for owner in self._names:
            owners += _shortened(owner)
        for _ in range(random.choice((0, 1, 1, 2, 3, 5, 8))):
            path = f"{random.choice(self._directories)}/{random.choice(owners)}.d/{random.choice(_DROPIN_NAMES)}"
            what = random.random()
            if what < 0.85:
                self._pieces[path] = texts.dropin(random, self._wildness)
            elif what < 0.92:
                self._pieces[path] = random.choice((b"", Link("/dev/null")))
            elif what < 0.96:
                elsewhere = f"{self._elsewhere}/{random.choice(('d.conf', 'd.txt'))}"
                self._pieces.setdefault(elsewhere, texts.dropin(random, self._wildness))
                self._pieces[path] = Link(elsewhere)
            else:
                self._pieces[path] = Link("/no/such")


def _shortened(name: str) -> list[str]:
    """foo-bar@x.service → foo-@x.service, foo-@.service: what names drop-ins of a whole prefix (systemd.unit(5))."""
    prefix, dot, suffix = name.rpartition(".")
    prefix, at, instance = prefix.partition("@")
    found = []
    while "-" in prefix.rstrip("-"):
        prefix = prefix.rstrip("-").rpartition("-")[0] + "-"
        found += [f"{prefix}{at}{instance}{dot}{suffix}", f"{prefix}{at}{dot}{suffix}", f"{prefix}{dot}{suffix}"]
    return found
