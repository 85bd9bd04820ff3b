"""`kubensctl selinux`: the policy that SELinux' own lacks for services that are wrapped, and for the generator."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator

from kubens import selinux
from kubens.config import LIVE, WRAP
from kubens.files import Root
from kubens.finding import ERROR, Finding
from kubens.netns_units import RUNNER
from kubens.selinux import Start, domain
from kubens.units import Unit
from kubensctl import planning, terminal
from kubensctl.failure import Failure
from kubensctl.planning import Planned
from kubensctl.verbs import Verbs

EXAMPLES = """\
  kubensctl selinux
  kubensctl selinux --output kubens.cil

It is loaded with: semodule -i kubens.cil; systemctl daemon-reload; systemctl restart kubens.
Nothing but a comment comes out where the policy lacks nothing."""

GENERATORS = ("/usr/lib/systemd/system-generators", "/usr/local/lib/systemd/system-generators")
_READ = {"file": ("getattr", "open", "read"), "lnk_file": ("getattr", "read")}
# On an object with this context, of this class: these permissions.
Needed = tuple[str, str, tuple[str, ...]]
_LEVEL = re.compile(r"(s\d+)(?::(.+))?")


def declare(verbs: Verbs) -> None:
    verb = verbs.add("selinux", "write what SELinux' policy lacks for services that are wrapped", EXAMPLES, run)
    verb.add_argument("--output", metavar="PATH", help="write there, instead of to standard output")


def run(arguments: argparse.Namespace) -> int:
    planned = planning.make(Root())
    rules: dict[str, None] = {}
    for unit, starts in _wrapped(planned):
        of_starts = [rule for start in starts for rule in _of_start(start)]
        rules.update(dict.fromkeys((*_of_generator(unit, starts), *of_starts)))
    if planned.namespaces:
        rules.update(dict.fromkeys(_of_mounts(planned)))
    rules.update(dict.fromkeys(_of_records(planned)))
    title = "; SELinux' policy lacks nothing for the services that are wrapped"
    if rules:
        title = "; What SELinux' policy lacks for kubens: kubensctl selinux. Load it with semodule -i."
    text = "\n".join((title, *rules)) + "\n"
    terminal.write(text, arguments.output)
    return 0


def findings(planned: Planned) -> list[Finding]:
    """What whoever asks can read, and the generator cannot: units, and what is recorded of what lives."""
    generator = "" if planned.root.path else _generator()
    if not generator:
        return []
    found = []
    for unit, _ in _wrapped(planned):
        for path, label in _files(unit):
            if _missing(generator, label, "file", _READ["file"]):
                reason = f"reading a file of type {domain(label)}, so nothing is wrapped"
                found.append(_kept_from(generator, path, unit.name, reason))
    if any(_missing(generator, *needed) for needed in _records(planned)):
        reason = "reading what is recorded of what lives, so a reload loses it"
        found.append(_kept_from(generator, LIVE, "", reason))
    return found


def _kept_from(generator: str, path: str, unit: str, what: str) -> Finding:
    step = "load the policy that `kubensctl selinux` writes"
    return Finding(ERROR, path, 0, unit, f"SELinux keeps the generator, in {domain(generator)}, from {what}: {step}")


def _wrapped(planned: Planned) -> Iterator[tuple[Unit, list[Start]]]:
    for namespace in planned.namespaces:
        for unit, mode in planned.loaded(namespace):
            if mode == WRAP:
                yield unit, selinux.starts(planned.root, planned.inventory, unit, namespace)


def _generator() -> str:
    """The context in which PID 1 runs the generator, where that is another one than its own; else ""."""
    try:
        first = selinux.read("/proc/1/attr/current")
        labels = (selinux.label(Root(), f"{directory}/kubens-generator") for directory in GENERATORS)
        label = next((label for label in labels if label), "")
        context = selinux.executed(first, [label]) if label else ""
    except OSError:
        return ""
    return context if domain(context) != domain(first) else ""


def _files(unit: Unit) -> list[tuple[str, str]]:
    """The files that a unit is read from, with their labels."""
    labelled = ((path, selinux.label(Root(), path)) for path in (unit.path, *unit.dropins))
    return [(path, label) for path, label in labelled if label]


def _of_generator(unit: Unit, starts: list[Start]) -> Iterator[str]:
    """That it may read the unit, and ask what becomes of its domain."""
    generator = _generator()
    if not generator:
        return
    needed = [(label, kind, _READ[kind]) for _, label in _files(unit) for kind in _READ]
    if starts:
        label = selinux.label(Root(), f"{selinux.FILE_SYSTEM}/create")
        needed += [
            (selinux.read("/proc/1/attr/current"), "process", ("getattr",)),
            (selinux.read("/proc/1/attr/current"), "dir", ("search",)),
            (selinux.read("/proc/1/attr/current"), "file", _READ["file"]),
            (label, "dir", ("getattr", "search")),
            (label, "file", ("getattr", "open", "read", "write")),
            (label, "security", ("compute_create",)),
        ]
    yield from _lacking(generator, needed)


def _of_mounts(planned: Planned) -> Iterator[str]:
    """That mount(8), as the unit of a namespace runs it, may mount on what that makes below /run."""
    tools = planned.inventory.tools
    labels = [selinux.label(Root(), tools[name]) for name in ("sh", "mount")]
    below = selinux.label(Root(), "/run")
    if not all(labels) or not below:
        return
    shell = selinux.executed(selinux.read("/proc/1/attr/current"), labels[:1])
    mount = selinux.executed(shell, labels[1:])
    made = [(selinux.created(shell, below, kind), kind, ("mounton",)) for kind in ("dir", "file")]
    yield from _lacking(mount, made)


def _of_records(planned: Planned) -> Iterator[str]:
    """That the generator may read what is recorded of what lives."""
    generator = _generator()
    if generator:
        yield from _lacking(generator, _records(planned))


def _records(planned: Planned) -> list[Needed]:
    """What reading the records takes, which shells of units make below /run, and the runner of network namespaces."""
    programs = []
    if planned.namespaces or planned.configuration.has_pods:
        programs.append(planned.inventory.tools["sh"])
    if planned.configuration.has_networks:
        programs.append(RUNNER)
    below = selinux.label(Root(), "/run")
    needed: list[Needed] = []
    for label in filter(None, (selinux.label(Root(), program) for program in programs)):
        maker = selinux.executed(selinux.read("/proc/1/attr/current"), [label])
        directory = selinux.created(maker, below, "dir")
        needed.append((directory, "dir", ("getattr", "open", "read", "search")))
        needed += [(selinux.created(maker, directory, kind), kind, _READ[kind]) for kind in _READ]
    return needed


def _of_start(start: Start) -> Iterator[str]:
    """What the policy has for PID 1 when it executes the program, for the domain of nsenter(1) as well.

    Raises Failure.
    """
    if not start.before:
        raise Failure("the kernel's policy could not be asked: are you root, and is SELinux on?")
    file, entered, wanted, after = start.types[0], domain(start.entered), domain(start.before), domain(start.after)
    if after not in (entered, wanted):
        reason = f"the policy sends {start.program}, executed by {entered}, to {after}: that would have to be taken out"
        raise Failure(reason)
    if after != wanted:
        yield f"(typetransition {entered} {file} process {wanted})"
        yield f"(allow {entered} {file} (file (getattr open read map execute)))"
        yield f"(allow {entered} {wanted} (process (transition siginh noatsecure rlimitinh)))"
        yield f"(allow {wanted} {entered} (process (sigchld)))"
        yield f"(allow {wanted} {entered} (fd (use)))"
        yield f"(allow {wanted} {entered} (fifo_file (getattr read write append ioctl lock)))"
        yield f"(allow {wanted} {entered} (unix_stream_socket (getattr read write append ioctl)))"
    level = start.before.split(":", 3)[3:]
    if level and level != start.after.split(":", 3)[3:]:
        yield f"(rangetransition {entered} {file} process {_range(level[0])})"


def _lacking(source: str, needed: Iterable[Needed]) -> Iterator[str]:
    """A rule for each of them that the policy does not give, or not all of it."""
    for target, kind, permissions in needed:
        missing = _missing(source, target, kind, permissions)
        if missing:
            yield f"(allow {domain(source)} {domain(target)} ({kind} ({' '.join(missing)})))"


def _missing(source: str, target: str, kind: str, permissions: tuple[str, ...]) -> list[str]:
    """Those of the permissions on objects of a class that the policy does not give. Raises OSError."""
    directory = f"{selinux.FILE_SYSTEM}/class/{kind}"
    answer = selinux.ask("access", f"{source} {target} {selinux.read(f'{directory}/index')}")
    allowed = int(answer.split()[0], 16)
    return [name for name in permissions if not allowed >> int(selinux.read(f"{directory}/perms/{name}")) - 1 & 1]


def _range(text: str) -> str:
    """LOW[-HIGH] of a context, as SELinux' Common Intermediate Language has it."""
    low, _, high = text.partition("-")
    return f"({_level(low)} {_level(high or low)})"


def _level(text: str) -> str:
    found = _LEVEL.fullmatch(text)
    if found is None:
        raise Failure(f"{text} is a level that cannot be told: write the policy by hand")
    sensitivity, categories = found.groups()
    if not categories:
        return f"({sensitivity})"
    parts = [re.sub(r"(c\d+)\.(c\d+)", r"(range \1 \2)", part) for part in categories.split(",")]
    return f"({sensitivity} ({' '.join(parts)}))"
