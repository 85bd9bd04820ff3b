"""Units for a machine without the generator: what it would make there, with the digests of what that was made from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import kubens
from kubens import config, inventory, names, plan, render
from kubens.config import Configuration
from kubens.files import Root, Unreadable
from kubens.finding import WARNING, Finding
from kubens.inventory import Inventory
from kubens.units import Unit
from kubensctl.failure import Failure

DIRECTORY = "/etc/systemd/system"
# Says at boot which of the files that the others were made from are others now.
CHECK = "kubens-compiled.service"
# The beginning of all that we write, by which we know it when we read the machine again.
MARK = "# Made by kubensctl(1), compile"
GENERATORS = (
    "/usr/lib/systemd/system-generators/kubens-generator",
    "/usr/local/lib/systemd/system-generators/kubens-generator",
)
# Where kubensenter goes on a machine that has none; /usr/local is what CoreOS, too, leaves to its administrators.
KUBENSENTER = "/usr/local/bin/kubensenter"


@dataclass
class StaticUnit:
    """text: "" where the machine has the unit, and only drop-ins are added. wanted_by: the targets that start it."""

    text: str = ""
    dropins: dict[str, str] = field(default_factory=dict)
    wanted_by: list[str] = field(default_factory=list)


@dataclass
class Static:
    """All that is to be put on the machine: units by name, and executable files by path. findings: without errors."""

    units: dict[str, StaticUnit] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def unit(self, name: str) -> StaticUnit:
        return self.units.setdefault(name, StaticUnit())


class Refused(Failure):
    """The machine's configuration cannot be compiled; findings says why."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("nothing is compiled until this is mended")
        self.findings = findings


def compiled(root: Root) -> Iterator[str]:
    """The files on a machine that were compiled for it."""
    for name in root.names(DIRECTORY):
        path = f"{DIRECTORY}/{name}"
        inner = [f"{path}/{entry}" for entry in root.files(path, ".conf")] if name.endswith(".d") else [path]
        for file in inner:
            if root.is_file(file) and (root.read(file) or "").startswith(MARK):
                yield file


class _Host(Root):
    """The machine as it is without what was compiled for it before, and with what comes along."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._compiled = frozenset(compiled(Root(path)))

    def entries(self, path: str) -> dict[str, bool]:
        return {name: link for name, link in super().entries(path).items() if f"{path}/{name}" not in self._compiled}

    def names(self, path: str) -> list[str]:
        return [name for name in super().names(path) if f"{path}/{name}" not in self._compiled]

    def is_executable(self, path: str) -> bool:
        return path == KUBENSENTER or super().is_executable(path)


def make(path: str) -> Static:
    """Compile for the machine whose root directory is at path. Raises Refused, Failure."""
    root = _Host(path)
    configuration = config.load(root)
    for what, configured in (("network namespaces", configuration.has_networks), ("pods", configuration.has_pods)):
        if configured:
            raise Failure(f"{what} are configured, and need programs of kubens on the machine: install it there")
    if not configuration.mount_namespaces:
        raise Failure(f"{path or '/'}: no namespace is configured (kubens.conf(5))")
    for namespace in configuration.mount_namespaces.values():
        namespace.recorded = False
    taken = inventory.take(root, configuration, Configuration())
    made = plan.plan(configuration, taken)
    if made.has_errors:
        raise Refused(made.findings)
    static = Static(findings=[*made.findings, *_generator(root)])
    sources = _Sources(root, taken)
    for tree in made.trees:
        for file, text in tree.files.items():
            _add(static, file, text, sources)
        for link in tree.links:
            target, _, name = link.partition(".wants/")
            static.unit(name).wanted_by.append(target)
    for unit in static.units.values():
        if unit.text:
            unit.text += _install(unit.wanted_by)
    if any(namespace.when_missing == "host" for namespace in configuration.mount_namespaces.values()):
        _bring_kubensenter(static, taken)
    static.units[CHECK] = _check(sources.words(taken), taken.tools)
    return static


def _generator(root: Root) -> list[Finding]:
    """Nothing is amiss while it finds no configuration; else it finds the units that we made in its way."""
    found = [path for path in GENERATORS if root.exists(path)]
    reason = "the generator is installed there as well: keep either it, or /etc/kubens, from the machine"
    return [Finding(WARNING, path, 0, "", reason) for path in found]


def _add(static: Static, path: str, text: str, sources: _Sources) -> None:
    directory, _, name = path.rpartition("/")
    if not directory:
        static.unit(name).text = _headed(text, [])
        return
    unit = directory.removesuffix(".d")
    static.unit(unit).dropins[name] = _headed(text, sources.lines(unit))


def _headed(text: str, sources: list[str]) -> str:
    """The text with a header of ours in the place of the generator's."""
    _, _, body = text.partition("\n")
    header = f"{MARK}, version {kubens.__version__}. Do not edit: compile again.\n"
    return header + "".join(f"# from {line}\n" for line in sources) + body


def _install(wanted_by: list[str]) -> str:
    return render.body((("Install", [("WantedBy", target) for target in wanted_by]),))


def _bring_kubensenter(static: Static, taken: Inventory) -> None:
    if taken.kubensenter != KUBENSENTER:
        return
    library = os.path.dirname(os.path.dirname(os.path.abspath(kubens.__file__)))
    for path in (f"{library}/../bin/kubensenter", f"{library}/../../bin/kubensenter", "/usr/bin/kubensenter"):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                static.files[KUBENSENTER] = file.read()
            return
    raise Failure("WhenMissing=host needs kubensenter(1), which is not beside this program")


class _Sources:
    """The files from which each drop-in was made, with their digests."""

    def __init__(self, root: Root, taken: Inventory) -> None:
        self._root = root
        self._units = {unit.name: unit for unit in taken.units.values() if unit is not None}
        self._digests: dict[str, str] = {}

    def lines(self, name: str) -> list[str]:
        """As sha256sum(1) writes them."""
        unit = self._units.get(name)
        return [] if unit is None else [f"{self._digest(path)}  {path}" for path in _files(unit)]

    def words(self, taken: Inventory) -> list[str]:
        """Each unit, followed by the files it was made from; those that are not there, by nothing."""
        words: list[str] = []
        for name, unit in sorted({**dict.fromkeys(taken.absent), **self._units}.items()):
            words.append(names.with_instance(name, "kubens") if names.kind(name) == names.TEMPLATE else name)
            words += [f"{self._digest(path)}:{path}" for path in _files(unit)] if unit is not None else []
        return words

    def _digest(self, path: str) -> str:
        if path not in self._digests:
            try:
                text = self._root.read(path) or ""
            except (OSError, Unreadable) as error:
                raise Failure(f"{path}: {error}") from None
            self._digests[path] = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        return self._digests[path]


def _files(unit: Unit) -> list[str]:
    """The unit's own file, and of its drop-ins those that say something that counts; it goes first."""
    counting = {setting.file for settings in (*unit.service.values(), *unit.unit.values()) for setting in settings}
    return [unit.path, *(path for path in unit.dropins if path in counting)]


# $0 finds the settings that count, $1 is MARK, then come the words of _Sources. Which files a unit has, systemd says.
_CHECK = """\
status=0; unit=; first=; known=;
say() { printf "%s\\n" "$*"; status=1; };
finish() {
[ -n "$unit" ] || return 0;
case $first$(systemctl show --property=LoadState --value "$unit") in not-found|masked) return 0 ;; esac;
path=$(readlink -f "$(systemctl show --property=FragmentPath --value "$unit")");
[ "$path" = "$first" ] || say "$unit: ${path:-nothing} is its file, and was ${first:-nowhere}";
for path in $(systemctl show --property=DropInPaths --value "$unit"); do
path=$(readlink -f "$path");
case "$known" in *" $path "*) continue ;; esac;
case $(head -n 1 "$path") in "$mark"*) continue ;; esac;
if tr "\\r\\0" "\\n\\n" <"$path" | grep -Eq "$0"; then say "$path: is new"; fi; done; };
mark=$1; shift;
for word; do case $word in
*:/*) path=$(readlink -f "${word#*:}"); first=${first:-$path}; known="$known $path ";
digest=$(sha256sum "${path:-${word#*:}}" 2>/dev/null);
[ "${digest%% *}" = "${word%%:*}" ] || say "${word#*:}: has changed" ;;
*) finish; unit=$word; first=; known= ;; esac; done; finish;
[ $status = 0 ] || echo "So the services may not run as their units say. Next, where they were made: kubensctl compile";
exit $status
"""


def _check(words: list[str], tools: Mapping[str, str]) -> StaticUnit:
    pattern = f"^[[:blank:]]*({'|'.join(sorted(inventory.KEYS))})[[:blank:]]*="
    unit = [
        ("Description", "Whether the units that kubens was compiled for are those of this system"),
        ("Documentation", "man:kubensctl(1)"),
    ]
    service = [
        ("Type", "oneshot"),
        ("RemainAfterExit", "yes"),
        ("SyslogIdentifier", "kubens-compiled"),
        ("ExecStart", render.shell(tools, _CHECK, pattern, MARK, *words)),
    ]
    wanted_by = ["multi-user.target"]
    body = render.text("", (("Unit", unit), ("Service", service)))
    return StaticUnit(_headed(body, []) + _install(wanted_by), wanted_by=wanted_by)
