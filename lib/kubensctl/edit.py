"""`kubensctl wrap`, `env`, `release`, `join`, `leave`: who belongs to which namespace, in the one file that is
kubensctl's own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kubens import config, names, netns
from kubens.config import ENV, JOIN, WRAP, Configuration, MountNamespace
from kubens.files import Root
from kubens.finding import ERROR, Finding
from kubens.netns import NetworkNamespace
from kubensctl import changes, manager, plan, planning, replace, report, terminal
from kubensctl.document import MOUNT, NETWORK, Document, Place
from kubensctl.failure import Failure
from kubensctl.planning import Configured, Draft, Planned
from kubensctl.verbs import Parser, Verbs, add_root

FILE = "/etc/kubens/50-kubensctl.conf"
RELEASE, LEAVE = "release", "leave"
DEFAULT = "kubens"
_KEYS = {WRAP: "Wrap", ENV: "Env", JOIN: "Services"}
_KINDS: dict[str, type[Configured]] = {MOUNT: MountNamespace, NETWORK: NetworkNamespace}
_SUMMARIES = {
    WRAP: "have services started in the namespace, by putting nsenter in front of their commands",
    ENV: "have services told of the namespace by $KUBENSMNT, to enter it by themselves",
    RELEASE: "take services out of their mount namespace",
    JOIN: "have services run in a network namespace",
    LEAVE: "take services out of a network namespace",
}
_EXAMPLES = {
    WRAP: """\
  kubensctl wrap --now k3s
  kubensctl wrap --namespace blue buildkit""",
    ENV: "  kubensctl env --now crio",
    RELEASE: "  kubensctl release --now k3s",
    JOIN: "  kubensctl join --now blue transmission",
    LEAVE: "  kubensctl leave --now blue transmission",
}


def declare(verbs: Verbs) -> None:
    for name, summary in _SUMMARIES.items():
        verb = verbs.add(name, summary, _EXAMPLES[name], run)
        if name in (JOIN, LEAVE):
            verb.add_argument("namespace", metavar="NETNS", help="the network namespace")
        else:
            default = "the one that they are in" if name == RELEASE else DEFAULT
            verb.add_argument("--namespace", metavar="NAME", help=f"the namespace, {default} by default")
        what = "a service or a socket" if name in (JOIN, LEAVE) else "a service"
        verb.add_argument("units", metavar="UNIT", nargs="+", help=f"{what}; .service is understood")
        add_changes(verb)


def add_changes(verb: Parser) -> None:
    """The options of a verb that changes what runs."""
    verb.add_argument("--now", action="store_true", help="restart what has to be restarted, in the right order")
    verb.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    add_root(verb, "edit the machine below DIR, which does not run")


def run(arguments: argparse.Namespace) -> int:
    root = Root(arguments.root)
    if arguments.now and root.path:
        raise Failure("--now restarts services of the machine that runs: leave out --root")
    verb = arguments.verb
    section = NETWORK if verb in (JOIN, LEAVE) else MOUNT
    units = list(dict.fromkeys(_unit_name(unit, section) for unit in arguments.units))
    out = terminal.standard_output()
    # Before anything is changed: what cannot be reloaded shall not wait for the next boot in silence.
    bus = None if root.path or (arguments.dry_run and not arguments.now) else manager.connect()
    with replace.locked(root, FILE, arguments.dry_run):
        old = _read(root)
        edit = Edit(root, _parse(root, old or ""), section)
        if verb in (RELEASE, LEAVE):
            touched = edit.release(units, arguments.namespace)
        else:
            touched = edit.declare(units, verb, arguments.namespace or DEFAULT)
        new = edit.document.text()
        planned = _check(root, old or "", new, section, units, touched)
        if arguments.dry_run:
            plan.show_lines(out, plan.unified(FILE, old, new))
        elif touched and new != old:
            replace.replace(root.path + FILE, new)
    for unit, (name, mode) in touched.items():
        out.line(f"{unit}: {_outcome(name, mode, arguments.dry_run, changed=new != old)}")
    if bus is None or (arguments.dry_run and not arguments.now):
        return 0
    # What is declared elsewhere may still have to be brought in.
    namespaces = list(dict.fromkeys(name for name, _ in touched.values())) or [arguments.namespace or DEFAULT]
    return changes.Changes(out, bus, planned, arguments.now, arguments.dry_run).apply(
        _KINDS[section], namespaces, verb in (RELEASE, LEAVE)
    )


def _outcome(name: str, mode: str, dry_run: bool, changed: bool) -> str:
    would = "would be " if dry_run else "" if changed else "already "
    if not mode:
        return f"{would}released from {name}"
    return f"{would}declared for {name}, by {_KEYS[mode]}= in {FILE}"


def _unit_name(text: str, section: str) -> str:
    name = text if names.kind(text) else text + ".service"
    if not names.kind(name):
        raise Failure(f"{text}: not a unit name")
    if section == NETWORK and names.suffix(name) not in ("service", "socket"):
        raise Failure(f"{name}: neither a service nor a socket")
    if section == MOUNT and names.suffix(name) != "service":
        raise Failure(f"{name}: not a service; only services run commands")
    return name


def _read(root: Root) -> str | None:
    if root.link(FILE) is not None:
        raise Failure(f"{FILE} is a link, which kubensctl does not write through: remove it, or edit by hand")
    try:
        return root.read(FILE, config.SIZE_MAX)
    except OSError as error:
        raise Failure(f"{FILE}: {error}") from None


def _parse(root: Root, text: str) -> Document:
    """The file as configparser has it, which must be as the generator has it. Raises Failure."""
    document = Document(text, FILE)
    read = Configuration()
    config.read_file(read, Draft(root, FILE, text), FILE)
    members = {
        ((section, namespace.name), unit)
        for section in _KINDS
        for namespace in _namespaces(read, section).values()
        for unit in namespace.members
    }
    if members != document.members():
        doubtful = ", ".join(sorted({unit for _, unit in members ^ document.members()}))
        raise Failure(f"{FILE} was edited by hand, and is not clear about {doubtful}: one line for each list")
    return document


def _namespaces(configuration: Configuration, section: str) -> dict[str, MountNamespace] | dict[str, NetworkNamespace]:
    return configuration.mount_namespaces if section == MOUNT else configuration.network_namespaces


# What became of a unit: the namespace that it was changed for, and its mode there; "" for none.
Outcome = tuple[str, str]


class Edit:
    """Changes of the document, all of them about namespaces of one kind. All units or none: raises Failure."""

    def __init__(self, root: Root, document: Document, section: str) -> None:
        self.document = document
        self._root = root
        self._section = section
        self._elsewhere = config.load(Draft(root, FILE, ""))
        self._live = _namespaces(config.load_live(root), section)

    def declare(self, units: Sequence[str], mode: str, name: str) -> dict[str, Outcome]:
        problem = config.bad_namespace_name(name) if self._section == MOUNT else netns.bad_name(name)
        if problem:
            raise Failure(f"{'--namespace ' if self._section == MOUNT else ''}{name} {problem}")
        place = (self._section, name)
        if self._section == NETWORK:
            self._make_known(place)
        return {unit: (name, mode) for unit in units if self._declare(place, unit, mode)}

    def _make_known(self, place: Place) -> None:
        """A network namespace is more than a name: somebody has to have said what it is made of."""
        name = place[1]
        if place in self.document.places() or name in self._elsewhere.network_namespaces:
            return
        types = _enabled_types(self._root, name)
        if not types:
            raise Failure(
                f"no network namespace {name} is configured: first declare it in a file of /etc/kubens, "
                f"with [NetworkNamespace], Name={name} and Types=; kubens.conf(5)"
            )
        self.document.set_types(place, types)

    def _declare(self, place: Place, unit: str, mode: str) -> bool:
        """False where that is what is declared already, somewhere else."""
        for other, key, where in _declarations(self._elsewhere, self._section, unit):
            if other != place[1]:
                raise Failure(f"{unit} is in namespace {other} by {where}: remove it there first")
            if key != mode:
                raise Failure(
                    f"{unit} is in {_KEYS[key]}= at {where}, and not in a file of kubensctl's: change it there"
                )
            terminal.standard_error().line(f"kubensctl: {unit} is declared so already, by {where}")
            return False
        for other_place, listed in self.document.members():
            if listed == unit and other_place[0] == place[0] and other_place != place:
                verb = "release" if self._section == MOUNT else f"leave {other_place[1]}"
                raise Failure(f"{unit} is in namespace {other_place[1]}: first: kubensctl {verb} {unit}")
        self._remove(place, unit)
        self.document.add(place, _KEYS[mode], unit)
        return True

    def release(self, units: Sequence[str], name: str | None) -> dict[str, Outcome]:
        """name: None for whichever they are in."""
        return {unit: (self._release(unit, name), "") for unit in units}

    def _release(self, unit: str, name: str | None) -> str:
        """Take the unit out; the namespace that it was in, or is in still because that lives."""
        declarations = _declarations(self._elsewhere, self._section, unit)
        places = [where for other, _, where in declarations if name in (None, other)]
        if places:
            raise Failure(f"{unit} is declared in {places[0]}, which is not kubensctl's to edit: remove it there")
        declared = sorted(
            place[1]
            for place, listed in self.document.members()
            if listed == unit and place[0] == self._section and name in (None, place[1])
        )
        for found in declared:
            self._remove((self._section, found), unit)
        kept = [found for found in self._live if unit in self._live[found].members and name in (None, found)]
        if declared or kept:
            return (declared or kept)[0]
        raise Failure(f"{unit} is not declared" + (f" for namespace {name}" if name else " anywhere"))

    def _remove(self, place: Place, unit: str) -> None:
        for key in _KEYS.values():
            self.document.remove(place, key, unit)


def _enabled_types(root: Root, name: str) -> list[str]:
    """The types that a namespace gets by `systemctl enable netns-TYPE@NAME`, in the order of their names."""
    found: dict[str, None] = {}
    for directory in ("/etc/systemd/system", "/usr/lib/systemd/system"):
        for wants in _listed(root, directory):
            for unit in _listed(root, f"{directory}/{wants}") if wants.endswith(".wants") else ():
                kind, _, instance = unit.removesuffix(".service").partition("@")
                if kind.startswith("netns-") and instance == name:
                    found[kind[len("netns-") :]] = None
    return sorted(found)


def _listed(root: Root, directory: str) -> list[str]:
    try:
        return root.names(directory)
    except OSError:
        return []


def _declarations(configuration: Configuration, section: str, unit: str) -> list[tuple[str, str, str]]:
    """(namespace, mode, FILE:LINE) wherever the unit is a member."""
    return [
        (namespace.name, member.mode, f"{member.file}:{member.line}")
        for namespace in _namespaces(configuration, section).values()
        for member in namespace.members.values()
        if member.unit == unit
    ]


def _check(root: Root, old: str, new: str, section: str, units: Sequence[str], touched: dict[str, Outcome]) -> Planned:
    """The plan with the new text. Raises Failure unless the generator reads it as meant, and refuses nothing for it."""
    after = planning.make(Draft(root, FILE, new))
    for unit in units:
        found = {(name, mode) for name, mode, _ in _declarations(after.configuration, section, unit)}
        if unit in touched and found != {touched[unit]} - {(touched[unit][0], "")}:
            raise Failure(f"another file overrules {FILE} for {unit}: kubensctl check, and mend it there")
    known = {(finding.unit, finding.reason) for finding in _errors(planning.make(Draft(root, FILE, old)).plan.findings)}
    fresh = [finding for finding in _errors(after.plan.findings) if (finding.unit, finding.reason) not in known]
    if fresh:
        # The last word on the namespace is about a line that is not written.
        report.show(terminal.standard_error(), after.root, [finding for finding in fresh if finding.file != FILE])
        whole = "the namespace would be refused as a whole" if section == MOUNT else "it would be refused"
        raise Failure(f"nothing is changed: {whole}")
    return after


def _errors(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == ERROR]
