"""Which file a unit's name leads to: the search path, links, aliases, instances, and where drop-ins are.

As src/basic/unit-file.c (unit_file_build_name_map, unit_file_find_fragment) and src/shared/dropin.c do it, except for
the generator directories, which systemd empties before it runs generators: what is in them is not input.
"""

from __future__ import annotations

from kubens import names
from kubens.files import Unreadable, byte_order

TYPE_CHECKING = False
if TYPE_CHECKING:
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


class Lookup:
    """The names in the search path below a root. search_path: $SYSTEMD_UNIT_PATH.

    unreadable: what of the search path itself cannot be read, and why: nothing is certain then.
    """

    def __init__(self, root: Root, search_path: str = "") -> None:
        self.root = root
        self.unreadable: tuple[str, str] | None = None
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
        self._index()

    def find(self, name: str) -> str:
        """The fragment of a unit, "" where there is none, "masked" for a mask."""
        path = self.fragment(name)
        return "masked" if path and self.root.is_null(path) else path

    def fragment(self, name: str) -> str:
        """The file that defines a unit, or masks it; "" where there is none."""
        path = self._resolve(name)
        return self._resolve(names.template_of(name)) if not path and "@" in name else path

    def has_one_name(self, name: str, path: str) -> bool:
        """Whether a unit is what nearly every unit is: a file of its own name that no link says."""
        return (
            "@" not in name
            and path.endswith(f"/{name}")
            and name not in self._links_by_target(names.suffix(name))
            and not self._is_link(path)
        )

    def real_name(self, name: str, path: str) -> str:
        """The unit's main name: its fragment's, with the instance put in."""
        real = path[path.rindex("/") + 1 :]
        if "@" in real and names.kind(real) == names.TEMPLATE and names.kind(name) == names.INSTANCE:
            return names.with_instance(real, names.instance_of(name))
        return real

    def all_names(self, name: str, path: str) -> list[str]:
        """The real name, then in byte order every alias (find_fragment's set, of which systemd keeps no order)."""
        real = self.real_name(name, path)
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

    def ambiguity(self, name: str, path: str) -> str:
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
        target = (self.root.link(path) or "") if self._is_link(path) else ""
        others = [alias for alias in links.get(file, ()) if alias != file and self._locate(alias).startswith("/")]
        # The file's name is a name of the unit there.
        if ((target and target.rpartition("/")[2] != file) or others) and 0 < self.release() < 250:
            linked = f"the link to {target}" if not others else f"{others[0]}, a link to another file of that name,"
            return f"systemd {self.release()} takes {linked} for an alias: link it under its own name"
        return ""

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

    def dropin_directories(self, owner: str) -> list[str]:
        """The directories of drop-ins for a name or a type, in the order of the search path, then of the names."""
        owners = names.dropin_names(owner) if "." in owner else (owner,)
        extended = [name + ".d" for name in owners if name in self._extended]
        if not extended:
            return extended
        places = self._places.items()
        return [f"{directory}/{name}" for directory, present in places for name in extended if name in present]

    def wanted_by(self, target: str, among: set[str]) -> set[str]:
        """Those of the units that TARGET.wants/ and TARGET.requires/ of any directory name."""
        found: set[str] = set()
        for entry in (target + ".wants", target + ".requires"):
            for directory, present in self._places.items():
                if entry in present:
                    try:
                        found |= among.intersection(self.root.names(f"{directory}/{entry}"))
                    except (OSError, Unreadable):
                        continue
        return found

    def add(self, name: str, directory: str) -> bool:
        """Count in a file that will be written to a directory. False where there is a unit of that name already."""
        if self._locate(name):
            return False
        self._ids[name] = directory
        self._places.setdefault(directory, {})[name] = False
        return True

    def release(self) -> int:
        """The release of systemd that is installed, 0 where it does not show."""
        for directory in ("/usr/lib/systemd", "/lib/systemd", "/usr/lib64/systemd"):
            for name in self.root.files(directory, ".so"):
                number = name[len("libsystemd-shared-") : -len(".so")].partition(".")[0]
                if name.startswith("libsystemd-shared-") and number.isdigit():
                    return int(number)
        return 0

    def _index(self) -> None:
        """Note every name in the search path, and nothing about it: few will be asked for."""
        for directory in self._path:
            if directory.startswith("/lib/") and self.root.link("/lib") is not None:
                continue  # the same as /usr/lib, once more
            try:
                entries = self.root.entries(directory)
            except (OSError, Unreadable) as error:
                if self.root.link(directory) is None:  # a link in a circle is no directory
                    self.unreadable = (directory, str(error))
                continue
            if entries:
                self._places[directory] = entries
                self._extended.update([name[:-2] for name in entries if name[-2:] == ".d"])

    def _locate(self, name: str) -> str:
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

    def _resolve(self, name: str) -> str:
        """The fragment path behind any chain of aliases, "" where it breaks off."""
        found = self._locate(name)
        for _ in range(_FOLLOW_MAX):
            if not found or found.startswith("/"):
                return found and f"{found}/{name}"
            name = found
            found = self._locate(name)
            if not found:
                name = names.template_of(name)
                found = self._locate(name)
        return ""

    def _link_target(self, directory: str, entry: str) -> str:
        """What a link in the search path means: the name it is an alias of, or (a linked unit, a mask) its directory.

        "" for what systemd ignores: an alias of another type or to itself, and a circular link.
        """
        target = self.root.link(f"{directory}/{entry}")
        if target is None:
            self.unreadable = (f"{directory}/{entry}", "the link cannot be read")
            return ""
        target = _normal(target if target.startswith("/") else f"{directory}/{target}")
        if f"{target}/" in self._inside:
            return ""
        if not target.startswith(self._inside):
            parent, _, last = target.rpartition("/")
            try:
                target = f"{self.root.follow(parent)}/{last}"
            except OSError:
                return ""
            if not target.startswith(self._inside):
                return directory
        real = target[target.rindex("/") + 1 :]
        return real if _may_alias(entry, real) else ""

    def _is_link(self, path: str) -> bool:
        directory, _, name = path.rpartition("/")
        return self._places[directory][name]

    def _known_as(self, name: str) -> str:
        """The real name of what a name leads to; the name itself where that is another unit's, or leads nowhere."""
        path = self.find(name)
        if "/" not in path:
            return name
        real = self.real_name(name, path)
        return real if self.find(real) == path else name

    def _aliases(self, real: str) -> list[str]:
        """The names of links that lead to a unit."""
        if real not in self._links_by_target(names.suffix(real)) and "@" not in real:
            return []
        found: list[str] = []
        for name in self._leading_to(real, names.template_of(real)):
            path = self._resolve(name)
            if path and self.real_name(name, path) == real:
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
        return [name for name in found if not self._locate(name).startswith("/")]

    def _links_by_target(self, suffix: str) -> dict[str, list[str]]:
        """The names of all links, by the last part of what each says; whether it means that is another question."""
        known = self._links.get(suffix)
        if known is None:
            known = self._links[suffix] = {}
            for directory, present in self._places.items():
                for name, is_link in present.items():
                    if is_link and name.endswith(suffix):
                        target = (self.root.link(f"{directory}/{name}") or "").rpartition("/")[2]
                        known.setdefault(target, []).append(name)
        return known


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
