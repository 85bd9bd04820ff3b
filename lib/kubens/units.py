"""The units that systemd would load: fragments, drop-ins (src/shared/dropin.c), and what stands in them."""

from __future__ import annotations

from kubens import command, names, syntax
from kubens.config import EXEC_SETTINGS
from kubens.files import in_byte_order, why

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubens.command import Command
    from kubens.lookup import Lookup

# So many texts of files are remembered: those that come often come early.
_TEXTS_MAX = 64


class Setting:
    """One assignment: where it stands and what it says; for an Exec*= setting also the commands in it."""

    __slots__ = ("commands", "file", "line", "value")

    def __init__(self, value: str, file: str, line: int) -> None:
        self.value = value
        self.file = file
        self.line = line
        self.commands: Sequence[Command] = ()


class Unit:
    """A unit as systemd would load it.

    name: its real name, under which drop-ins of ours are filed. path: its fragment. dropins: the files applied after
    it, in order. section: its own, "Service" or "Socket". service, unit: assignments of that and of [Unit] by key, in
    the order applied. commands: what those of Exec*= amount to, after resets, by key.
    plain: whether all its commands are, and it has no WorkingDirectory=.
    refused: (file, line, reason) where systemd itself would not load it. unreadable: (file, line, reason) where it
    might, and we cannot tell what.
    """

    __slots__ = ("commands", "dropins", "name", "path", "plain", "refused", "section", "service", "unit", "unreadable")

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.dropins: list[str] = []
        self.section = "Socket" if name.endswith(".socket") else "Service"
        self.service: dict[str, list[Setting]] = {}
        self.unit: dict[str, list[Setting]] = {}
        self.commands: dict[str, list[Command]] = {}
        self.plain = True
        self.refused: tuple[str, int, str] | None = None
        self.unreadable: tuple[str, int, str] | None = None

    def last(self, key: str) -> str:
        """The value of the last assignment in [Service], "" where there is none."""
        settings = self.service.get(key)
        return settings[-1].value if settings else ""

    @property
    def started(self) -> str:
        """The service that a socket starts, unless an instance for each connection; systemd.socket(5)."""
        return self.last("Service") or self.name[: -len("socket")] + "service"


class Units:
    """All units below a root, loaded by name. wanted: the keys of [Service] and [Unit] that anybody will ask for."""

    def __init__(self, lookup: Lookup, wanted: frozenset[str]) -> None:
        self.lookup = lookup
        self._root = lookup.root
        self._wanted = wanted
        # drop-ins by their paths, where several units have them; files by their texts: copies say the same
        self._parsed: dict[str, syntax.Parsed] = {}
        self._texts: dict[str, syntax.Parsed] = {}
        self._loaded: dict[str, Unit | None] = {}
        # the texts of units that are not on disk yet, by where they will be
        self._defined: dict[str, str] = {}
        # directory → the names of the drop-ins in it
        self._listed: dict[str, list[str]] = {}
        # suffix → the directories of drop-ins that all units of the type have
        self._of_types: dict[str, list[tuple[str, str]]] = {}

    def load(self, name: str) -> Unit | None:
        """The unit of that name or alias; None where there is none, or a mask."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def load_dropins(self, name: str) -> Unit:
        """What drop-ins alone would make of a unit of that name, which need not exist (yet)."""
        unit = Unit(name, "")
        unit.dropins = self._find_dropins(unit, [name], names.suffix(name))
        for dropin in unit.dropins:
            self._apply(unit, dropin, fragment=False)
        return unit

    def define(self, name: str, path: str, text: str) -> None:
        """Count in a unit that we will have written to a path, unless there is one of that name already."""
        if self.lookup.add(name, path.rpartition("/")[0]):
            self._defined[path] = text

    def _load(self, name: str) -> Unit | None:
        lookup = self.lookup
        suffix = names.suffix(name)
        path = plain = lookup.plain_fragment(name, suffix)
        if not plain:
            path = lookup.fragment(name)
            if not path:
                return None
            real = lookup.real_name(name, path)
            if real != name and lookup.fragment(real) == path:
                return self.load(real)
        unit = Unit(name if plain else real, path)
        if not self._apply(unit, path, fragment=True):
            return None
        unit_names = [name]
        if not plain:
            from kubens import aliases

            reason = aliases.ambiguity(lookup, unit.name, path) if unit.unreadable is None else ""
            if reason:
                unit.unreadable = (path, 0, reason)
            unit_names = aliases.all_names(lookup, name, path)
        unit.dropins = self._find_dropins(unit, unit_names, suffix)
        for dropin in unit.dropins:
            self._apply(unit, dropin, fragment=False)
        if "ExecSearchPath" in unit.service and 0 < lookup.release < 250:
            del unit.service["ExecSearchPath"]  # no setting yet
        return unit

    def _find_dropins(self, unit: Unit, unit_names: list[str], suffix: str) -> list[str]:
        """The drop-ins of all names, by basename: the first directory wins, then byte order."""
        of_type = self._of_types.get(suffix)
        if of_type is None:
            directories = self.lookup.directories(f"{suffix}.d")
            of_type = self._of_types[suffix] = [(suffix, directory) for directory in directories]
        found = []
        for owner in unit_names:
            for directory in self.lookup.dropin_directories(owner, suffix):
                found.append((owner, directory))
        found += of_type
        if len(found) == 1 and found[0][0] == unit.name:
            owner, directory = found[0]
            return [f"{directory}/{entry}" for entry in self._conf_files(unit, owner, directory)]
        chosen: dict[str, str] = {}
        by_name: dict[str, str] = {}
        for owner, directory in found:
            entries = self._conf_files(unit, owner, directory)
            if entries and owner != unit.name and names.kind(owner) == names.INSTANCE and unit.path[-9:-8] == "@":
                # 247 does not take them where the instance has no file of its own, later releases do.
                unit.unreadable = (
                    directory,
                    0,
                    f"whether it counts for {unit.name} depends on the release: give it a file of its own",
                )
            for entry in entries:
                if entry not in chosen:
                    chosen[entry] = f"{directory}/{entry}"
                    by_name[entry] = owner
                elif "." in owner and by_name[entry] != owner and unit.unreadable is None:
                    # Two of the unit's names bring one file name: systemd's choice depends on a hash.
                    reason = f"also in {directory}: which of the two applies is not defined, rename one"
                    unit.unreadable = (chosen[entry], 0, reason)
        return [chosen[entry] for entry in in_byte_order(chosen)]

    def _conf_files(self, unit: Unit, owner: str, directory: str) -> list[str]:
        """The names of the drop-ins in a directory, in byte order. owner: whose it is, the unit's own or not."""
        entries = self._listed.get(directory)
        if entries is None:
            try:
                entries = self._root.files(directory, ".conf")
            except OSError as error:
                if unit.unreadable is None:
                    unit.unreadable = (directory, 0, why(error))
                return []
            if owner != unit.name:  # others will ask again
                self._listed[directory] = entries
        return entries

    def _apply(self, unit: Unit, path: str, fragment: bool) -> bool:
        """Add what a file says to a unit. False where that is nothing: a link to nothing, a fragment that masks."""
        parsed = self._parsed.get(path)
        if parsed is None:
            try:
                text = self._defined[path] if path in self._defined else self._root.read(path)
            except OSError as error:
                unit.unreadable = (path, 0, why(error))
                return not fragment or not self._root.is_null(path)
            if text is None or (fragment and not text):
                return False
            parsed = self._texts.get(text)
            if parsed is None:
                parsed = syntax.parse(text, self._wanted)
                if len(self._texts) < _TEXTS_MAX:
                    self._texts[text] = parsed
            if not fragment and unit.name not in path:
                # Of a directory that other units have as well.
                self._parsed[path] = parsed
        for section, _, assignments in parsed.sections:
            if section == unit.section:
                if not _add(unit, assignments, path, fragment):
                    return True
            elif section == "Unit":
                for key, value, line in assignments:
                    unit.unit.setdefault(key, []).append(Setting(value, path, line))
        if parsed.untold and unit.unreadable is None:
            unit.unreadable = (path, *parsed.untold)
        if parsed.broken and fragment:
            unit.refused = (path, *parsed.broken)
        return True


IGNORED = "ignored"
_WITH_SYNTAX = frozenset((*EXEC_SETTINGS, "WorkingDirectory"))
_KNOWN_TO_ALL = _WITH_SYNTAX - {"ExecReloadPost"}


def _add(unit: Unit, assignments: list[tuple[str, str, int]], path: str, fragment: bool) -> bool:
    """Add what stands in a unit's own section. False where systemd gives up on the rest of the file."""
    into = unit.service
    for key, value, line in assignments:
        setting = Setting(value, path, line)
        if not value:
            unit.commands.pop(key, None)
        elif key in _WITH_SYNTAX and (reason := _take(unit, key, setting)):
            if reason == IGNORED:
                continue
            # Here systemd gives up: on the unit where this is its fragment, else on the rest of the drop-in.
            if key not in _KNOWN_TO_ALL:
                reason = f"{key}= is not known to every release of systemd, and {reason}; remove it"
                unit.unreadable = (path, line, reason)
            elif fragment:
                unit.refused = (path, line, f"{key}={value}: {reason}")
            if setting.commands:
                # What stands before it counts, or makes it doubtful whether systemd comes so far.
                into.setdefault(key, []).append(setting)
            return False
        if key in into:
            into[key].append(setting)
        else:
            into[key] = [setting]
    return True


def _take(unit: Unit, key: str, setting: Setting) -> str:
    """Parse a value with a syntax of its own, not empty. Why systemd stops reading there (-ENOEXEC), or IGNORED."""
    value = setting.value
    if key != "WorkingDirectory":
        setting.commands, bad = command.parse(value)
        unit.commands.setdefault(key, []).extend(setting.commands)
        if len(setting.commands) != 1 or not setting.commands[0].plain:
            unit.plain = False
            if bad is not None and bad.fatal:
                return str(bad)
        return ""
    unit.plain = False
    directory = value[1:] if value.startswith("-") else value
    if directory and directory != "~" and (directory[0] not in "/%" or ".." in directory.split("/")):
        return IGNORED if value.startswith("-") else "not an absolute path without .."
    return ""
