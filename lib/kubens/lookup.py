"""Which file a unit's name leads to: the search path, links, aliases, instances, and where drop-ins are.

As src/basic/unit-file.c (unit_file_build_name_map, unit_file_find_fragment) and src/shared/dropin.c do it, except for
the generator directories, which systemd empties before it runs generators: what is in them is not input.
"""

from __future__ import annotations

from kubens import names
from kubens.files import why

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

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

    inside: how the paths of what is in the search path begin. places: what is in each directory that there is, in their
    order: whether a name is a link.
    unreadable: what of the search path itself cannot be read, and why: nothing is certain then.
    """

    def __init__(self, root: Root, search_path: str = "") -> None:
        self.root = root
        self.unreadable: tuple[str, str] | None = None
        self._path = _search_path(search_path)
        odd = [part for part in search_path.split(":") if part and normal(f"/{part}") != f"/{part.strip('/')}"]
        if odd:
            # Up to 249 a link into such a directory is none into the search path.
            self.unreadable = ("$SYSTEMD_UNIT_PATH", f"{odd[0]} has empty parts or dots: write the directory itself")
        self.inside = tuple(directory + "/" for directory in self._path)
        self.places: dict[str, dict[str, bool]] = {}
        # name → the search directory that has it, or (for an alias) the name it stands for; systemd's unit_ids_map
        self._ids: dict[str, str] = {}
        # suffix → name → names of links that say it; what systemd's unit_names_map is made from
        self._links: dict[str, dict[str, list[str]]] = {}
        # suffix → whether there are drop-ins for all units of a type that begin alike (foo-.service)
        self._shares: dict[str, bool] = {}
        # What aliases.py has found out: template → instance → names of links that lead to it; a unit's real name → its
        # aliases; a file's name → links that say it and mean another file.
        self.families: dict[str, dict[str, list[str]]] = {}
        self.aliases: dict[str, list[str]] = {}
        self.others: dict[str, list[str]] = {}
        self._release = -1
        self._index()

    def find(self, name: str) -> str:
        """The fragment of a unit, "" where there is none, "masked" for a mask."""
        path = self.fragment(name)
        return "masked" if path and self.root.is_null(path) else path

    def fragment(self, name: str) -> str:
        """The file that defines a unit, or masks it; "" where there is none."""
        path = self.resolve(name)
        return self.resolve(names.template_of(name)) if not path and "@" in name else path

    def plain_fragment(self, name: str, suffix: str) -> str:
        """The fragment of a unit that is what nearly every unit is, a file of its own name that no link says, or ""."""
        for directory, present in self.places.items():
            if name in present:
                if present[name] or "@" in name or name in self.links_by_target(suffix):
                    return ""
                return f"{directory}/{name}"
        return ""

    def real_name(self, name: str, path: str) -> str:
        """The unit's main name: its fragment's, with the instance put in."""
        real = path[path.rindex("/") + 1 :]
        if "@" in real and names.kind(real) == names.TEMPLATE and names.kind(name) == names.INSTANCE:
            return names.with_instance(real, names.instance_of(name))
        return real

    def dropin_directories(self, name: str, suffix: str) -> list[str]:
        """The directories of drop-ins for a name of a unit of the type `suffix`, in the order of the search path, then
        of the names that they are for.
        """
        shares = self._shares.get(suffix)
        if shares is None:
            ending = f"-.{suffix}.d"
            shares = self._shares[suffix] = any(ending in "/".join(present) for present in self.places.values())
        if "@" in name or (shares and "-" in name):
            return self.directories(*(f"{owner}.d" for owner in names.dropin_names(name)))
        return self.directories(f"{name}.d")

    def directories(self, *entries: str) -> list[str]:
        """Where there are these entries of the search path, in its order."""
        found = []
        for directory, present in self.places.items():
            for entry in entries:
                if entry in present:
                    found.append(f"{directory}/{entry}")
        return found

    def wanted_by(self, targets: Collection[str]) -> Iterable[tuple[str, list[str]]]:
        """What TARGET.wants/ and TARGET.requires/ of any directory name, for each of the targets that has such."""
        entries = {f"{target}.{how}": target for target in targets for how in ("wants", "requires")}
        for directory, present in self.places.items():
            for entry in entries.keys() & present.keys():
                try:
                    yield entries[entry], self.root.names(f"{directory}/{entry}")
                except OSError:
                    continue

    def add(self, name: str, directory: str) -> bool:
        """Count in a file that will be written to a directory. False where there is a unit of that name already."""
        if self.locate(name):
            return False
        self._ids[name] = directory
        self.places.setdefault(directory, {})[name] = False
        return True

    @property
    def release(self) -> int:
        """The release of systemd that is installed, 0 where it does not show."""
        if self._release < 0:
            self._release = self._find_release()
        return self._release

    def _find_release(self) -> int:
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
            except OSError as error:
                if self.root.link(directory) is None:  # a link in a circle is no directory
                    self.unreadable = (directory, why(error))
                continue
            if entries:
                self.places[directory] = entries

    def locate(self, name: str) -> str:
        """The first search directory that has a unit of this name, the name it is an alias of, or ""."""
        found = self._ids.get(name)
        if found is None:
            found = ""
            for directory, present in self.places.items():
                if name in present:
                    found = directory
                    if present[name]:
                        from kubens import aliases

                        found = aliases.link_target(self, directory, name)
                    if found:
                        break
            self._ids[name] = found
        return found

    def resolve(self, name: str) -> str:
        """The fragment path behind any chain of aliases, "" where it breaks off."""
        found = self.locate(name)
        hops = 1
        while found[:1] != "/":
            if not found or hops == _FOLLOW_MAX:
                return ""
            hops += 1
            name = found
            found = self.locate(name)
            if not found:
                name = names.template_of(name)
                found = self.locate(name)
        return f"{found}/{name}"

    def is_link(self, path: str) -> bool:
        directory, _, name = path.rpartition("/")
        return self.places[directory][name]

    def links_by_target(self, suffix: str) -> dict[str, list[str]]:
        """The names of all links, by the last part of what each says; whether it means that is another question."""
        known = self._links.get(suffix)
        if known is None:
            known = self._links[suffix] = {}
            for directory, present in self.places.items():
                for name in filter(present.get, present):
                    if name.endswith(suffix):
                        target = (self.root.link(f"{directory}/{name}") or "").rpartition("/")[2]
                        known.setdefault(target, []).append(name)
        return known


def _search_path(environment: str) -> tuple[str, ...]:
    """$SYSTEMD_UNIT_PATH, to which the usual path is appended where it ends in a colon (systemd.unit(5))."""
    if not environment:
        return SEARCH_PATH
    # PID 1's working directory is "/".
    given = [normal(f"/{part}") for part in environment.split(":") if part]
    return tuple(dict.fromkeys((*given, *(SEARCH_PATH if environment.endswith(":") else ()))))


def normal(path: str) -> str:
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
