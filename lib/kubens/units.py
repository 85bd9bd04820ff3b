"""The units that systemd would load: search path, names, drop-ins, and what stands in them.

As src/basic/unit-file.c (unit_file_build_name_map, unit_file_find_fragment) and src/shared/dropin.c do it, except for
the generator directories, which systemd empties before it runs generators: what is in them is not input.
"""

from __future__ import annotations

from kubens import command, names, syntax
from kubens.config import EXEC_SETTINGS
from kubens.files import Unreadable, byte_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubens.command import Command
    from kubens.files import Root

SEARCH_PATH = (
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
_FOLLOW_MAX = 8  # alias hops, as unit-file.c allows
# So many texts of drop-ins are remembered: those that come often come early.
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
    it, in order. service, unit: assignments of [Service], of a socket [Socket], and of [Unit] by key, in the order
    applied. commands: what those of an Exec*= setting amount to, for execs.commands() to keep.
    refused: (file, line, reason) where systemd itself would not load it. unreadable: (file, line, reason) where it
    might, and we cannot tell what.
    """

    __slots__ = ("commands", "dropins", "name", "path", "refused", "service", "unit", "unreadable")

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path
        self.dropins: list[str] = []
        self.service: dict[str, list[Setting]] = {}
        self.unit: dict[str, list[Setting]] = {}
        self.commands: dict[str, list[Command]] = {}
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
    """All units below a root, looked up by name. wanted: the keys of [Service] and [Unit] that anybody will ask for."""

    def __init__(self, root: Root, wanted: frozenset[str], search_path: str = "") -> None:
        # what of the search path itself cannot be read, and why: nothing is certain then
        self.unreadable: tuple[str, str] | None = None
        self._root = root
        self._wanted = wanted
        self._path = _search_path(search_path)
        odd = [part for part in search_path.split(":") if part and _normal(f"/{part}") != f"/{part.strip('/')}"]
        if odd:
            # Up to 249 a link into such a directory is none into the search path.
            self.unreadable = ("$SYSTEMD_UNIT_PATH", f"{odd[0]} has empty parts or dots: write the directory itself")
        self._inside = tuple(directory + "/" for directory in self._path)
        # directory → what is in it by name: whether it is a link; in the order of the search path
        self._places: dict[str, dict[str, bool]] = {}
        # the names NAME of all NAME.d in there
        self._extended: set[str] = set()
        # name → the search directory that has it, or (for an alias) the name it stands for; systemd's unit_ids_map
        self._ids: dict[str, str] = {}
        # suffix → name → names of links that say it; what systemd's unit_names_map is made from
        self._links: dict[str, dict[str, list[str]]] = {}
        # drop-ins by their paths, where several units have them, and by their texts: many say the same
        self._parsed: dict[str, syntax.Parsed] = {}
        self._texts: dict[str, syntax.Parsed] = {}
        self._loaded: dict[str, Unit | None] = {}
        # directory → the names of the drop-ins in it
        self._listed: dict[str, list[str]] = {}
        self._index()

    def find(self, name: str) -> str:
        """The fragment of a unit, "" where there is none, "masked" for a mask."""
        path = self._fragment(name)
        return "masked" if path and self._root.is_null(path) else path

    def load(self, name: str) -> Unit | None:
        """The unit of that name or alias; None where there is none, or a mask."""
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Unit | None:
        path = self._fragment(name)
        if not path:
            return None
        plain = self._has_one_name(name, path)
        unit = Unit(name if plain else self._real_name(name, path), path)
        if not self._apply(unit, path, fragment=True):
            return None
        if unit.unreadable is None and not plain:
            reason = self._ambiguity(unit.name, path)
            unit.unreadable = (path, 0, reason) if reason else None
        unit.dropins = self._find_dropins(unit, [name] if plain else self._all_names(name, path))
        for dropin in unit.dropins:
            self._apply(unit, dropin, fragment=False)
        if "ExecSearchPath" in unit.service and 0 < self.release() < 250:
            del unit.service["ExecSearchPath"]  # no setting yet
        return unit

    def define(self, name: str, path: str, text: str) -> None:
        """Count in a unit that we will have written to a path, unless there is one of that name already."""
        if not self._lookup(name):
            directory = self._ids[name] = path.rpartition("/")[0]
            self._places.setdefault(directory, {})[name] = False
            self._parsed[path] = syntax.parse(text, self._wanted)

    def instances_of(self, listed: str) -> list[str]:
        """The instances of a template, or of an alias of one, that have a fragment or drop-ins of their own.

        In byte order; by their real names, but where that is the name of another unit as well.
        """
        template = self._known_as(listed)
        aliases = [template, *self._leading_to(template)]
        templates = [name for name in aliases if names.kind(name) == names.TEMPLATE]
        # foo-@x.service.d/ holds drop-ins of foo-bar@x.service as well.
        related = [other for name in templates for other in names.dropin_names(names.with_instance(name, "x"))]
        prefixes = tuple({name[: name.index("@") + 1] for name in related if names.kind(name) == names.INSTANCE})
        own = tuple(name[: name.index("@") + 1] for name in templates)
        targets = [
            name for name in self._links_by_target(names.suffix(template)) if names.template_of(name) in templates
        ]
        instances = {names.instance_of(name) for name in (*aliases, *targets) if names.kind(name) == names.INSTANCE}
        for present in self._places.values():
            for name in present:
                unit = name[:-2] if name.endswith(".d") else name
                if unit.startswith(own if unit == name else prefixes) and names.kind(unit) == names.INSTANCE:
                    instances.add(names.instance_of(unit))
        found: set[str] = set()
        for instance in instances:
            for one in aliases:
                name = names.with_instance(one, instance) if one in templates else one
                # An alias's instance with a file of its own is nobody else's.
                own_file = self.find(name).endswith(("/" + name, "masked"))
                if names.instance_of(name) == instance and (one in (template, listed) or not own_file):
                    found.add(self._known_as(name))
        return sorted(found, key=byte_order)

    def _known_as(self, name: str) -> str:
        """The real name of what a name leads to; the name itself where that is another unit's, or leads nowhere."""
        path = self.find(name)
        if "/" not in path:
            return name
        real = self._real_name(name, path)
        return real if self.find(real) == path else name

    def _ambiguity(self, name: str, path: str) -> str:
        """Why nobody can tell what systemd makes of a unit, by its real name and its fragment; "" where one can."""
        file = path[path.rindex("/") + 1 :]
        own = self.find(name)
        if own != path:
            other = "is masked" if own == "masked" else f"has a file of its own, {own}"
            return f"would be known as {name} as well, which {other}: give both or none a file of their own"
        instance = names.instance_of(name)
        if instance and file == name:
            template = names.template_of(name)
            shared = self.find(template)
            for alias in self._leading_to(template) if "/" in shared else ():
                other = names.with_instance(alias, instance) if names.kind(alias) == names.TEMPLATE else alias
                if names.instance_of(other) == instance and self.find(other) == shared:
                    return f"{other} would be known by this name, too, but has the file {shared}: link it to {name}"
        links = self._links_by_target(names.suffix(file))
        target = (self._root.link(path) or "") if self._is_link(path) else ""
        others = [alias for alias in links.get(file, ()) if alias != file and self._lookup(alias).startswith("/")]
        # The file's name is a name of the unit there.
        if ((target and target.rpartition("/")[2] != file) or others) and 0 < self.release() < 250:
            linked = f"the link to {target}" if not others else f"{others[0]}, a link to another file of that name,"
            return f"systemd {self.release()} takes {linked} for an alias: link it under its own name"
        return ""

    def wanted_by(self, target: str, among: set[str]) -> set[str]:
        """Those of the units that TARGET.wants/ and TARGET.requires/ of any directory name."""
        found: set[str] = set()
        for entry in (target + ".wants", target + ".requires"):
            for directory, present in self._places.items():
                if entry in present:
                    try:
                        found |= among.intersection(self._root.names(f"{directory}/{entry}"))
                    except (OSError, Unreadable):
                        continue
        return found

    def load_dropins(self, name: str) -> Unit:
        """What drop-ins alone would make of a unit of that name, which need not exist (yet)."""
        unit = Unit(name, "")
        unit.dropins = self._find_dropins(unit, [name])
        for dropin in unit.dropins:
            self._apply(unit, dropin, fragment=False)
        return unit

    def _index(self) -> None:
        """Note every name in the search path, and nothing about it: few will be asked for."""
        for directory in self._path:
            if directory.startswith("/lib/") and self._root.link("/lib") is not None:
                continue  # the same as /usr/lib, once more
            try:
                entries = self._root.entries(directory)
            except (OSError, Unreadable) as error:
                if self._root.link(directory) is None:  # a link in a circle is no directory
                    self.unreadable = (directory, str(error))
                continue
            if entries:
                self._places[directory] = entries
                self._extended.update([name[:-2] for name in entries if name[-2:] == ".d"])

    def _lookup(self, name: str) -> str:
        """The first search directory that has a unit of this name, the name it is an alias of, or ""."""
        found = self._ids.get(name)
        if found is None:
            found = ""
            for directory, present in self._places.items():
                if name in present:
                    found = self._link_target(directory, name) if present[name] else directory
                    if found:
                        break
            self._ids[name] = found
        return found

    def release(self) -> int:
        """The release of systemd that is installed, 0 where it does not show."""
        for directory in ("/usr/lib/systemd", "/lib/systemd", "/usr/lib64/systemd"):
            for name in self._root.files(directory, ".so"):
                number = name[len("libsystemd-shared-") : -len(".so")].partition(".")[0]
                if name.startswith("libsystemd-shared-") and number.isdigit():
                    return int(number)
        return 0

    def _is_link(self, path: str) -> bool:
        directory, _, name = path.rpartition("/")
        return self._places[directory][name]

    def _has_one_name(self, name: str, path: str) -> bool:
        """Whether a unit is what nearly every unit is: a file of its own name that no link says."""
        return (
            "@" not in name
            and path.endswith(f"/{name}")
            and name not in self._links_by_target(names.suffix(name))
            and not self._is_link(path)
        )

    def _aliases(self, real: str) -> list[str]:
        """The names of links that lead to a unit."""
        if real not in self._links_by_target(names.suffix(real)) and "@" not in real:
            return []
        found: list[str] = []
        for name in self._leading_to(real, names.template_of(real)):
            path = self._resolve(name)
            if path and self._real_name(name, path) == real:
                found.append(name)
        return found

    def _leading_to(self, *targets: str) -> list[str]:
        """The names of links that say one of the targets, and of those that say one of these, and so on."""
        links = self._links_by_target(names.suffix(targets[0]))
        instance = names.instance_of(targets[0])
        waiting = [*targets]
        found: dict[str, None] = {}
        while waiting:
            for name in links.get(waiting.pop(), ()):
                if name not in found:
                    found[name] = None
                    waiting.append(name)
                    if instance and names.kind(name) == names.TEMPLATE:
                        waiting.append(names.with_instance(name, instance))
        return [name for name in found if not self._lookup(name).startswith("/")]

    def _links_by_target(self, suffix: str) -> dict[str, list[str]]:
        """The names of all links, by the last part of what each says; whether it means that is another question."""
        known = self._links.get(suffix)
        if known is None:
            known = self._links[suffix] = {}
            for directory, present in self._places.items():
                for name, is_link in present.items():
                    if is_link and name.endswith(suffix):
                        target = (self._root.link(f"{directory}/{name}") or "").rpartition("/")[2]
                        known.setdefault(target, []).append(name)
        return known

    def _link_target(self, directory: str, entry: str) -> str:
        """What a link in the search path means: the name it is an alias of, or (a linked unit, a mask) its directory.

        "" for what systemd ignores: an alias of another type or to itself, and a circular link.
        """
        target = self._root.link(f"{directory}/{entry}")
        if target is None:
            self.unreadable = (f"{directory}/{entry}", "the link cannot be read")
            return ""
        target = _normal(target if target.startswith("/") else f"{directory}/{target}")
        if f"{target}/" in self._inside:
            return ""
        if not target.startswith(self._inside):
            parent, _, last = target.rpartition("/")
            try:
                target = f"{self._root.follow(parent)}/{last}"
            except OSError:
                return ""
            if not target.startswith(self._inside):
                return directory
        real = target[target.rindex("/") + 1 :]
        return real if _may_alias(entry, real) else ""

    def _fragment(self, name: str) -> str:
        """The file that defines a unit, or masks it; "" where there is none."""
        path = self._resolve(name)
        return self._resolve(names.template_of(name)) if not path and "@" in name else path

    def _resolve(self, name: str) -> str:
        """The fragment path behind any chain of aliases, "" where it breaks off."""
        found = self._lookup(name)
        for _ in range(_FOLLOW_MAX):
            if not found or found.startswith("/"):
                return found and f"{found}/{name}"
            name = found
            found = self._lookup(name)
            if not found:
                name = names.template_of(name)
                found = self._lookup(name)
        return ""

    def _real_name(self, name: str, path: str) -> str:
        """The unit's main name: its fragment's, with the instance put in."""
        real = path[path.rindex("/") + 1 :]
        if "@" in real and names.kind(real) == names.TEMPLATE and names.kind(name) == names.INSTANCE:
            return names.with_instance(real, names.instance_of(name))
        return real

    def _all_names(self, name: str, path: str) -> list[str]:
        """The real name, then in byte order every alias (find_fragment's set, of which systemd keeps no order)."""
        real = self._real_name(name, path)
        fragment = path[path.rindex("/") + 1 :]
        found = {name}
        instance = names.instance_of(name)
        for known in {name, real, fragment}:
            for alias in self._aliases(known):
                if instance and names.kind(alias) == names.TEMPLATE:
                    alias = names.with_instance(alias, instance)
                    # An instance of the alias that has a file of its own is somebody else.
                    other = self._resolve(alias)
                    if other and other.rpartition("/")[2] != fragment:
                        continue
                found.add(alias)
        found.discard(real)
        return [real, *sorted(found)]

    def _find_dropins(self, unit: Unit, unit_names: list[str]) -> list[str]:
        """The drop-ins of all names, by basename: the first directory wins, then byte order."""
        owners = (*unit_names, names.suffix(unit.name))
        found = [(owner, directory) for owner in owners for directory in self._directories(owner)]
        chosen: dict[str, str] = {}
        by_name: dict[str, str] = {}
        for owner, directory in found:
            try:
                entries = self._conf_files(directory, owner == unit.name)
            except (OSError, Unreadable) as error:
                if unit.unreadable is None:
                    unit.unreadable = (directory, 0, str(error))
                continue
            if entries and owner != unit.name and names.kind(owner) == names.INSTANCE and unit.path[-9:-8] == "@":
                # 247 does not take them where the instance has no file of its own, later releases do.
                unit.unreadable = (directory, 0, f"whether it counts for {unit.name} depends on the release")
            for entry in entries:
                if entry not in chosen:
                    chosen[entry] = f"{directory}/{entry}"
                    by_name[entry] = owner
                elif "." in owner and by_name[entry] != owner and unit.unreadable is None:
                    # Two of the unit's names bring one file name: systemd's choice depends on a hash.
                    reason = f"also in {directory}: which of the two applies is not defined, rename one"
                    unit.unreadable = (chosen[entry], 0, reason)
        order = sorted(chosen, key=byte_order) if len(found) > 1 else chosen
        return [chosen[entry] for entry in order]

    def _directories(self, owner: str) -> list[str]:
        """The directories of drop-ins for a name or a type, in the order of the search path, then of the names."""
        owners = names.dropin_names(owner) if "." in owner else (owner,)
        extended = [name + ".d" for name in owners if name in self._extended]
        if not extended:
            return extended
        places = self._places.items()
        return [f"{directory}/{name}" for directory, present in places for name in extended if name in present]

    def _conf_files(self, directory: str, only_once: bool) -> list[str]:
        """The names of the drop-ins in a directory, in byte order. only_once: whether nobody will ask again."""
        entries = self._listed.get(directory)
        if entries is None:
            entries = self._root.files(directory, ".conf")
            if not only_once:
                self._listed[directory] = entries
        return entries

    def _apply(self, unit: Unit, path: str, fragment: bool) -> bool:
        """Add what a file says to a unit. False where that is nothing: a link to nothing, a fragment that masks."""
        parsed = self._parsed.get(path)
        if parsed is None:
            try:
                text = self._root.read(path)
            except (OSError, Unreadable) as error:
                unit.unreadable = (path, 0, str(error))
                return not fragment or not self._root.is_null(path)
            if text is None or (fragment and not text):
                return False
            parsed = self._texts.get(text)
            if parsed is None:
                parsed = syntax.parse(text, self._wanted)
                if not fragment and len(self._texts) < _TEXTS_MAX:
                    self._texts[text] = parsed
            if not fragment and unit.name not in path:
                # Of a directory that other units have as well.
                self._parsed[path] = parsed
        own = "Socket" if unit.name.endswith(".socket") else "Service"
        for section in parsed.sections:
            if section.name == own:
                into = unit.service
            elif section.name == "Unit":
                into = unit.unit
            else:
                continue
            for key, value, line in section.assignments:
                setting = Setting(value, path, line)
                reason = _take(key, setting) if key in _WITH_SYNTAX and into is unit.service else ""
                if reason == IGNORED:
                    continue
                if reason:
                    # Here systemd gives up: on the unit where this is its fragment, else on the rest of the drop-in.
                    if key not in _KNOWN_TO_ALL:
                        unit.unreadable = (path, line, f"{key}= is not known to every release of systemd, and {reason}")
                    elif fragment:
                        unit.refused = (path, line, f"{key}={value}: {reason}")
                    elif setting.commands:
                        into.setdefault(key, []).append(setting)
                    return True
                if key in into:
                    into[key].append(setting)
                else:
                    into[key] = [setting]
        if parsed.untold and unit.unreadable is None:
            unit.unreadable = (path, *parsed.untold)
        if parsed.broken and fragment:
            unit.refused = (path, *parsed.broken)
        return True


IGNORED = "ignored"
_WITH_SYNTAX = frozenset((*EXEC_SETTINGS, "WorkingDirectory"))
_KNOWN_TO_ALL = _WITH_SYNTAX - {"ExecReloadPost"}


def _take(key: str, setting: Setting) -> str:
    """Parse a value with a syntax of its own. Why systemd stops reading the file there (-ENOEXEC), or IGNORED."""
    value = setting.value
    if key != "WorkingDirectory":
        if value:
            setting.commands, bad = command.parse(value)
            for one in setting.commands:
                one.file, one.line = setting.file, setting.line
            if bad is not None and bad.fatal:
                return str(bad)
    else:
        directory = value[1:] if value.startswith("-") else value
        if directory and directory != "~" and (directory[0] not in "/%" or ".." in directory.split("/")):
            return IGNORED if value.startswith("-") else "not an absolute path without .."
    return ""


def _search_path(environment: str) -> tuple[str, ...]:
    """$SYSTEMD_UNIT_PATH, to which the usual path is appended where it ends in a colon (systemd.unit(5))."""
    if not environment:
        return SEARCH_PATH
    # PID 1's working directory is "/".
    given = [_normal(f"/{part}") for part in environment.split(":") if part]
    return tuple(dict.fromkeys((*given, *(SEARCH_PATH if environment.endswith(":") else ()))))


def _may_alias(name: str, target: str) -> bool:
    """unit_validate_alias_symlink_and_warn(): the same type, and plain to plain, instance to the same or a template."""
    to_kind = names.kind(target)
    suffix = names.suffix(name)
    if not to_kind or name == target or suffix != names.suffix(target) or suffix not in names.MAY_ALIAS:
        return False
    from_kind = names.kind(name)
    if from_kind == names.INSTANCE and to_kind == names.INSTANCE:
        return names.instance_of(name) == names.instance_of(target)
    return from_kind == to_kind or (from_kind == names.INSTANCE and to_kind == names.TEMPLATE)


def _normal(path: str) -> str:
    """The path without "//", "." and ".."."""
    if "//" not in path and "/." not in path:
        return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)
