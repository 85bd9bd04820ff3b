"""Units for a machine without the generator: what it would make there, with the digests of what that was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import kubens
from kubens import config, inventory, names, netns, netns_units, plan, render
from kubens.config import Configuration
from kubens.files import Root
from kubens.finding import ERROR, WARNING, Finding
from kubens.lookup import Lookup
from kubensctl import carried, drift
from kubensctl.carried import Files
from kubensctl.drift import MARK
from kubensctl.failure import Failure

DIRECTORY = "/etc/systemd/system"
GENERATORS = (
    "/usr/lib/systemd/system-generators/kubens-generator",
    "/usr/local/lib/systemd/system-generators/kubens-generator",
)


@dataclass
class StaticUnit:
    """text: "" where the machine has the unit, and only drop-ins are added. wanted_by: the targets that start it."""

    text: str = ""
    dropins: dict[str, str] = field(default_factory=dict)
    wanted_by: list[str] = field(default_factory=list)


@dataclass
class Static:
    """All that is to be put on the machine: units by name, and files. findings: without errors."""

    units: dict[str, StaticUnit] = field(default_factory=dict)
    files: Files = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def unit(self, name: str) -> StaticUnit:
        return self.units.setdefault(name, StaticUnit())


class Refused(Failure):
    """The machine's configuration cannot be compiled; findings says why."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("nothing is compiled until this is mended")
        self.findings = findings


def compiled(root: Root) -> Iterator[str]:
    """The files on a machine that were compiled for it; what its administrator wrote is none of them."""
    for name in root.names(DIRECTORY):
        path = f"{DIRECTORY}/{name}"
        inner = [f"{path}/{entry}" for entry in root.files(path, ".conf")] if name.endswith(".d") else [path]
        for file in inner:
            if root.is_file(file) and (root.read(file) or "").startswith(MARK):
                yield file
    yield from carried.programs(root)


class _Host(Root):
    """The machine as it is without what was compiled for it before."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._compiled = frozenset(compiled(Root(path)))

    def entries(self, path: str) -> dict[str, bool]:
        return {name: link for name, link in super().entries(path).items() if f"{path}/{name}" not in self._compiled}

    def names(self, path: str) -> list[str]:
        return [name for name in super().names(path) if f"{path}/{name}" not in self._compiled]


def make(path: str) -> Static:
    """Compile for the machine whose root directory is at path. Raises Refused, Failure."""
    root = _Host(path)
    configuration = config.load(root)
    kinds = _kinds(root, configuration)
    if not (configuration.mount_namespaces or configuration.network_namespaces or configuration.pods or kinds):
        if any(finding.severity == ERROR for finding in configuration.findings):
            raise Refused(configuration.findings)
        raise Failure(f"{path or '/'}: no namespace is configured (kubens.conf(5))")
    _unrecorded(configuration)
    taken = inventory.take(root, configuration, Configuration())
    # It is there by then.
    taken.kubensenter = taken.kubensenter or carried.KUBENSENTER
    made = plan.plan(configuration, taken)
    if made.has_errors:
        raise Refused(made.findings)
    static = Static(findings=[*made.findings, *_generator(root)])
    sources = drift.Sources(root, taken)
    for tree in made.trees:
        for name, text in tree.units.items():
            static.unit(name).text = _headed(carried.relocated(text), [])
        for dropin, texts in tree.dropins.items():
            for name, text in texts.items():
                static.unit(name).dropins[dropin] = _headed(text, sources.lines(name))
        for link in tree.links:
            target, _, name = link.partition(".wants/")
            static.unit(name).wanted_by.append(target)
    some_may_be_outside = any(mounts.when_missing == "host" for mounts in configuration.mount_namespaces.values())
    if some_may_be_outside and taken.kubensenter == carried.KUBENSENTER:
        static.files.update(carried.kubensenter())
    if configuration.pods:
        static.files.update(carried.for_pods())
    if kinds or configuration.network_namespaces:
        _add_networks(static, root, configuration, kinds)
    for unit in static.units.values():
        if unit.text:
            unit.text += _install(unit.wanted_by)
    _add_check(static, sources, carried.etc_words(root, configuration), taken.tools)
    return static


def _unrecorded(configuration: Configuration) -> None:
    for namespace in configuration.mount_namespaces.values():
        namespace.recorded = False
    for network in configuration.network_namespaces.values():
        network.recorded = False
    for pod in configuration.pods.values():
        pod.recorded = False


def _kinds(root: Root, configuration: Configuration) -> tuple[str, ...]:
    """The types of network namespaces that somebody may start: declared, written, given variables, or enabled."""
    found = set(configuration.netns_types)
    for namespace in configuration.network_namespaces.values():
        found.update(namespace.types)
    for file in configuration.netns_files:
        found.update({file.partition(".")[0].partition("-")[0]} & {*netns.SHIPPED})
    for directory in root.names(DIRECTORY):
        if directory.endswith(".wants"):
            for name in root.names(f"{DIRECTORY}/{directory}"):
                # Only for us an instance has a file of its own.
                if name.startswith("netns-") and root.link(f"{DIRECTORY}/{directory}/{name}") != f"{DIRECTORY}/{name}":
                    found.update({name.removeprefix("netns-").partition("@")[0]} & {*netns.SHIPPED})
    return tuple(sorted(found))


def _generator(root: Root) -> list[Finding]:
    """Nothing is amiss while it finds no configuration; else it finds the units that we made in its way."""
    found = [path for path in GENERATORS if root.exists(path)]
    reason = "the generator is installed there as well: keep either it, or /etc/kubens, from the machine"
    return [Finding(WARNING, path, 0, "", reason) for path in found]


def _add_networks(static: Static, root: Root, configuration: Configuration, kinds: tuple[str, ...]) -> None:
    """The templates, which a package would have; and in full each instance that is enabled, since that says by whom."""
    lookup = Lookup(root)
    for name, text in netns_units.packaged(kinds).items():
        if not lookup.find(name):
            static.unit(name).text = _headed(carried.relocated(text), [])
    bare = netns_units.packaged(())
    for kind in kinds:
        bare.update(netns_units.generated(kind, ""))
    for namespace in configuration.network_namespaces.values():
        for name in namespace.units:
            if name in static.units and static.unit(name).wanted_by and not lookup.find(name):
                static.unit(name).text = _headed(carried.relocated(bare[names.template_of(name)]), [])
    files, findings = carried.for_networks(root, configuration, kinds)
    static.files.update(files)
    static.findings += findings


def _add_check(static: Static, sources: drift.Sources, words: list[str], tools: Mapping[str, str]) -> None:
    sources.come_along({f"{DIRECTORY}/{name}": unit.text for name, unit in static.units.items() if unit.text})
    sources.come_along({path: text for path, (_, text) in static.files.items()})
    words = [*words, *map(sources.word, static.files), *sources.words()]
    wanted_by = ["multi-user.target"]
    text = _headed(drift.service(words, tools), []) + _install(wanted_by)
    static.units[drift.NAME] = StaticUnit(text, wanted_by=wanted_by)


def _headed(text: str, sources: list[str]) -> str:
    """The text with a header of ours in the place of the generator's."""
    _, _, body = text.partition("\n")
    header = f"{MARK}, version {kubens.__version__}. Do not edit: compile again.\n"
    return header + "".join(f"# from {line}\n" for line in sources) + body


def _install(wanted_by: list[str]) -> str:
    return render.body((("Install", [("WantedBy", target) for target in wanted_by]),))
