"""`kubensctl wrap`, `env` and `release`: who belongs to which namespace, in the one file that is kubensctl's own."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence

from kubens import config, names
from kubens.config import ENV, WRAP, Configuration, MountNamespace
from kubens.files import Root, Unreadable
from kubens.finding import ERROR, Finding
from kubensctl import changes, manager, plan, planning, report, terminal
from kubensctl.document import Document
from kubensctl.failure import Failure
from kubensctl.planning import Draft, Planned
from kubensctl.verbs import Parser, Verbs, add_root

DIRECTORY = "/etc/kubens"
FILE = DIRECTORY + "/50-kubensctl.conf"
_KEYS = {WRAP: "Wrap", ENV: "Env"}
RELEASE = "release"
DEFAULT = "kubens"


_SUMMARIES = {
    WRAP: "have services started in the namespace, by putting nsenter in front of their commands",
    ENV: "have services told of the namespace by $KUBENSMNT, to enter it by themselves",
    RELEASE: "take services out of their namespace",
}
_EXAMPLES = {
    WRAP: """\
  kubensctl wrap --now k3s
  kubensctl wrap --namespace blue buildkit""",
    ENV: "  kubensctl env --now crio",
    RELEASE: "  kubensctl release --now k3s",
}


def declare(verbs: Verbs) -> None:
    for name, summary in _SUMMARIES.items():
        verb = verbs.add(name, summary, _EXAMPLES[name], run)
        verb.add_argument("units", metavar="UNIT", nargs="+", help="a service; .service is understood")
        default = "the one that they are in" if name == RELEASE else DEFAULT
        verb.add_argument("--namespace", metavar="NAME", help=f"the namespace, {default} by default")
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
    units = list(dict.fromkeys(map(_service_name, arguments.units)))
    out = terminal.standard_output()
    # Before anything is changed: what cannot be reloaded shall not wait for the next boot in silence.
    bus = None if root.path or (arguments.dry_run and not arguments.now) else manager.connect()
    with _locked(root, arguments.dry_run):
        old = _read(root)
        document = _parse(root, old or "")
        touched = _edit(document, root, arguments.verb, units, arguments.namespace)
        new = document.text()
        planned = _check(root, old or "", new, arguments.verb, units, touched)
        if arguments.dry_run:
            plan.show_lines(out, plan.unified(FILE, old, new))
        elif touched and new != old:
            replace(root.path + FILE, new)
    for unit, name in touched.items():
        out.line(f"{unit}: {_outcome(arguments, name, changed=new != old)}")
    if bus is None or (arguments.dry_run and not arguments.now):
        return 0
    # What is declared elsewhere may still have to be brought in.
    namespaces = list(dict.fromkeys(touched.values())) or [arguments.namespace or DEFAULT]
    return changes.Changes(out, bus, planned, arguments.now, arguments.dry_run).apply(
        namespaces, arguments.verb == RELEASE
    )


def _outcome(arguments: argparse.Namespace, name: str, changed: bool) -> str:
    would = "would be " if arguments.dry_run else "" if changed else "already "
    if arguments.verb == RELEASE:
        return f"{would}released from {name}"
    return f"{would}declared for {name}, by {_KEYS[arguments.verb]}= in {FILE}"


def _service_name(text: str) -> str:
    name = text if names.kind(text) else text + ".service"
    if not names.kind(name):
        raise Failure(f"{text}: not a unit name")
    if names.suffix(name) != "service":
        raise Failure(f"{name}: not a service; only services run commands")
    return name


def _read(root: Root) -> str | None:
    if root.link(FILE) is not None:
        raise Failure(f"{FILE} is a link, which kubensctl does not write through: remove it, or edit by hand")
    try:
        return root.read(FILE, config.SIZE_MAX)
    except (OSError, Unreadable) as error:
        raise Failure(f"{FILE}: {error}") from None


def _parse(root: Root, text: str) -> Document:
    """The file as configparser has it, which must be as the generator has it. Raises Failure."""
    document = Document(text, FILE)
    read = Configuration()
    config.read_file(read, Draft(root, FILE, text), FILE)
    members = {(namespace.name, unit) for namespace in read.mount_namespaces.values() for unit in namespace.members}
    if members != document.members():
        doubtful = ", ".join(sorted({unit for _, unit in members ^ document.members()}))
        raise Failure(f"{FILE} was edited by hand, and is not clear about {doubtful}: one line for each list")
    return document


def _edit(document: Document, root: Root, verb: str, units: Sequence[str], namespace: str | None) -> dict[str, str]:
    """Change the document; the namespace of each unit that it was changed for. All of them or none: raises Failure."""
    elsewhere = config.load(Draft(root, FILE, ""))
    live = config.load_live(root).mount_namespaces
    touched = {}
    for unit in units:
        if verb == RELEASE:
            touched[unit] = _release(document, elsewhere, live, unit, namespace)
        elif _declare(document, elsewhere, unit, verb, namespace or DEFAULT):
            touched[unit] = namespace or DEFAULT
    return touched


def _declare(document: Document, elsewhere: Configuration, unit: str, mode: str, name: str) -> bool:
    """False where that is what is declared already, somewhere else."""
    problem = config.bad_namespace_name(name)
    if problem:
        raise Failure(f"--namespace {name} {problem}")
    for other, key, place in _declarations(elsewhere, unit):
        if other != name:
            raise Failure(f"{unit} is in namespace {other} by {place}: remove it there first")
        if key != mode:
            raise Failure(f"{unit} is in {_KEYS[key]}= at {place}, and not in a file of kubensctl's: change it there")
        terminal.standard_error().line(f"kubensctl: {unit} is declared so already, by {place}")
        return False
    for other, listed in document.members():
        if listed == unit and other != name:
            raise Failure(f"{unit} is in namespace {other}: first: kubensctl release {unit}")
    for key in _KEYS.values():
        document.remove(name, key, unit)
    document.add(name, _KEYS[mode], unit)
    return True


def _release(
    document: Document, elsewhere: Configuration, live: dict[str, MountNamespace], unit: str, name: str | None
) -> str:
    """Take the unit out; the namespace that it was in, or is in still because that lives."""
    places = [place for other, _, place in _declarations(elsewhere, unit) if name in (None, other)]
    if places:
        raise Failure(f"{unit} is declared in {places[0]}, which is not kubensctl's to edit: remove it there")
    declared = sorted(found for found, listed in document.members() if listed == unit and name in (None, found))
    for found in declared:
        for key in _KEYS.values():
            document.remove(found, key, unit)
    kept = [found for found in live if unit in live[found].members and name in (None, found)]
    if declared or kept:
        return (declared or kept)[0]
    raise Failure(f"{unit} is not declared" + (f" for namespace {name}" if name else " anywhere"))


def _declarations(configuration: Configuration, unit: str) -> list[tuple[str, str, str]]:
    """(namespace, mode, FILE:LINE) wherever the unit is a member."""
    return [
        (namespace.name, member.mode, f"{member.file}:{member.line}")
        for namespace in configuration.mount_namespaces.values()
        for member in namespace.members.values()
        if member.unit == unit
    ]


def _check(root: Root, old: str, new: str, verb: str, units: Sequence[str], touched: dict[str, str]) -> Planned:
    """The plan with the new text. Raises Failure unless the generator reads it as meant, and refuses nothing for it."""
    after = planning.make(Draft(root, FILE, new))
    for unit in units:
        found = {(name, mode) for name, mode, _ in _declarations(after.configuration, unit)}
        meant = {(touched[unit], verb)} if unit in touched and verb != RELEASE else set()
        if unit in touched and found != meant:
            raise Failure(f"another file overrules {FILE} for {unit}: kubensctl check, and mend it there")
    known = {(finding.unit, finding.reason) for finding in _errors(planning.make(Draft(root, FILE, old)).plan.findings)}
    fresh = [finding for finding in _errors(after.plan.findings) if (finding.unit, finding.reason) not in known]
    if fresh:
        # The last word on the namespace is about a line that is not written.
        report.show(terminal.standard_error(), after.root, [finding for finding in fresh if finding.file != FILE])
        raise Failure("nothing is changed: the namespace would be refused as a whole")
    return after


def _errors(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == ERROR]


@contextlib.contextmanager
def _locked(root: Root, read_only: bool) -> Iterator[None]:
    """Two kubensctl at once must not each write what the other did not know."""
    if read_only:
        yield
        return
    try:
        os.makedirs(root.path + DIRECTORY, mode=0o755, exist_ok=True)
        directory = os.open(root.path + DIRECTORY, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Failure(f"{root.path}{DIRECTORY}: {error.strerror}") from None
    if not os.access(root.path + DIRECTORY, os.W_OK):
        raise Failure(f"{root.path}{DIRECTORY} cannot be written to; try as root")
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def replace(path: str, text: str) -> None:
    """Put a file in place; interrupted at any time, it is the old or the new one. The caller holds the lock."""
    directory, name = os.path.split(path)
    # Hidden, so the generator does not read it; always the same, so that an interrupted run leaves one at most.
    draft = f"{directory}/.{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
