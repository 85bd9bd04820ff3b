"""`kubensctl check`: the strict reading of the configuration, and of the units that it names."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from kubens import execs, names, sandbox, syntax, units, wrap
from kubens.config import WRAP, MountNamespace
from kubens.files import Root, Unreadable
from kubens.finding import ERROR, NOTICE, WARNING, Finding
from kubens.units import Unit
from kubensctl import planning, report, terminal
from kubensctl.planning import GENERATED, Planned
from kubensctl.verbs import Verbs, add_json, add_root

# All three directories of generators; ours is the first. systemd.generator(7).
GENERATOR_DIRECTORIES = (GENERATED, GENERATED + ".early", GENERATED + ".late")
# On a node with hundreds of units, one that hangs must not hang us.
_VERIFY_TIMEOUT = 60


EXAMPLES = """\
  kubensctl check                       this machine
  kubensctl check --root /mnt           the system that is mounted there
  kubensctl check ./new.conf            a file before it is put into /etc/kubens

Exit status: 0 no errors, 1 errors."""


def declare(verbs: Verbs) -> None:
    verb = verbs.add("check", "say what is wrong with the configuration and the units it names", EXAMPLES, run)
    verb.add_argument("files", metavar="FILE", nargs="*", help="read these instead of what is configured")
    add_root(verb)
    add_json(verb)


def run(arguments: argparse.Namespace) -> int:
    root = Root(arguments.root)
    planned = planning.make(root, arguments.files)
    findings = all_findings(planned)
    if arguments.json:
        json.dump([as_json(finding) for finding in findings], sys.stdout, indent=2)
        print()
    else:
        out = terminal.standard_output()
        report.show(out, root, findings)
        out.line(_verdict(planned, findings))
    return 1 if any(finding.severity == ERROR for finding in findings) else 0


def as_json(finding: Finding) -> dict[str, str | int]:
    return {
        "severity": finding.severity,
        "file": finding.file,
        "line": finding.line,
        "unit": finding.unit,
        "reason": finding.reason,
    }


def all_findings(planned: Planned) -> list[Finding]:
    """What the generator would say, and what it has no time to look at."""
    findings = list(planned.plan.findings)
    if planned.switched_off:
        reason = "kubens=0 is on the kernel command line: nothing is generated, everything runs as without kubens"
        findings.append(Finding(NOTICE, "", 0, "", reason))
    for namespace in planned.namespaces:
        for unit, mode in members(planned, namespace):
            findings += _other_generators(planned.root, unit, namespace)
            if mode == WRAP:
                findings += _domain_changes(planned, unit, namespace)
    if not planned.root.path:
        findings += _verified(planned)
    return findings


def members(planned: Planned, namespace: MountNamespace) -> list[tuple[Unit, str]]:
    """The units of a namespace as systemd has them, instances of templates included, with their mode."""
    found: dict[str, tuple[Unit, str]] = {}
    for name, member in planned.members(namespace).items():
        for listed in (name, *planned.inventory.instances.get(name, ())):
            unit = planned.inventory.units.get(listed)
            if unit is not None:
                found.setdefault(unit.name, (unit, member.mode))
    return list(found.values())


def _verdict(planned: Planned, findings: list[Finding]) -> str:
    namespaces = planned.namespaces
    count = sum(len(planned.members(namespace)) for namespace in namespaces)
    looked_at = f"{_plural(len(namespaces), 'namespace')}, {_plural(count, 'service')}"
    return f"{looked_at}: {report.summary(findings) or 'nothing to mend'}."


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _other_generators(root: Root, unit: Unit, namespace: MountNamespace) -> list[Finding]:
    """Drop-ins that other generators made of a member: ours cannot see them while they are made, nor they ours."""
    found = []
    keys = {*namespace.wrap_commands, *sandbox.KEYS}
    for path in _generated_dropins(root, unit.name):
        try:
            parsed = syntax.parse(root.read(path) or "")
        except (OSError, Unreadable):
            continue
        for section in parsed.sections:
            for key, _, line in section.assignments if section.name == "Service" else ():
                if key in keys:
                    reason = _other_generator(key, path, wrap.dropin_name([unit]), namespace)
                    found.append(Finding(WARNING, path, line, unit.name, reason))
    return found


def _other_generator(key: str, path: str, ours: str, namespace: MountNamespace) -> str:
    if key not in namespace.wrap_commands:
        return f"{key}= is set by another generator, whose output kubens cannot take into account: set it in /etc"
    name = path.rpartition("/")[2]
    if name.encode(errors="surrogateescape") > ours.encode(errors="surrogateescape"):
        return f"{key}= is set by another generator, after {ours}: the service runs outside; set it in /etc"
    return f"{key}= is set by another generator, and again by {ours}, which cannot know of it: set it in /etc"


def _generated_dropins(root: Root, unit: str) -> list[str]:
    ours = _our_files(root)
    found = []
    for directory in GENERATOR_DIRECTORIES:
        for name in (*names.dropin_names(unit), names.suffix(unit)):
            try:
                entries = root.files(f"{directory}/{name}.d", ".conf")
            except (OSError, Unreadable):
                continue
            found += [f"{directory}/{name}.d/{entry}" for entry in entries]
    return [path for path in dict.fromkeys(found) if path not in ours]


def _our_files(root: Root) -> set[str]:
    """The drop-ins that the last reload made, which are links (kubens.write)."""
    found = set()
    for namespace in _names(root, f"{GENERATED}/.kubens"):
        for name in _names(root, f"{GENERATED}/.kubens/{namespace}/dropins"):
            for unit in _names(root, f"{GENERATED}/.kubens/{namespace}/dropins/{name}"):
                found.add(f"{GENERATED}/{unit}.d/{name}")
    return found


def _names(root: Root, directory: str) -> list[str]:
    try:
        return root.names(directory)
    except (OSError, Unreadable):
        return []


def _domain_changes(planned: Planned, unit: Unit, namespace: MountNamespace) -> list[Finding]:
    """SELinux moves a process into a domain when PID 1 executes a file of a certain type; now that is nsenter."""
    found: list[Finding] = []
    if not planned.root.path and not os.path.exists("/sys/fs/selinux/enforce"):
        return found
    front = "/usr/bin/nsenter"
    if namespace.when_missing == "host":
        front = planned.inventory.kubensenter or front
    new = _file_type(planned.root, front)
    for key in namespace.wrap_commands:
        for command in execs.commands(unit, key):
            program = command.program
            if not program.startswith("/"):
                program = planned.inventory.programs.get((program, execs.search_path(unit)), "")
            old = _file_type(planned.root, program)
            if old and new and old != new:
                reason = (
                    f"{program} is {old} for SELinux and {front}, which is put in front of it, {new}: the service may "
                    f"run in another domain; look with ps -Z, or list it in Env= if it can enter by itself"
                )
                found.append(Finding(WARNING, command.file, command.line, unit.name, reason))
    return found


def _file_type(root: Root, path: str) -> str:
    """The SELinux type that a file is labelled with, "" where it has none: USER:ROLE:TYPE[:LEVEL]."""
    try:
        label = os.getxattr(root.path + root.follow(path), "security.selinux")
    except OSError:
        return ""
    fields = label.rstrip(b"\0").decode("utf-8", "replace").split(":")
    return fields[2] if len(fields) > 2 else ""


def _verified(planned: Planned) -> list[Finding]:
    """What `systemd-analyze verify` says of the units as they would be, and does not say of them as they are."""
    program = shutil.which("systemd-analyze")
    if program is None or not planned.plan.trees or planned.switched_off:
        return []
    with tempfile.TemporaryDirectory(prefix="kubensctl-") as output:
        if planned.write(output):
            return []
        present = [unit.name for namespace in planned.namespaces for unit, _ in members(planned, namespace)]
        # A template says nothing until it has an instance.
        present = [unit for unit in present if names.kind(unit) != names.TEMPLATE]
        own = [path for tree in planned.plan.trees for path in tree.files if "/" not in path]
        known = set(_verify(program, present, "")) if present else set()
        said = [line for line in _verify(program, [*own, *present], output) if line not in known]
    return [_verify_finding(line.replace(output, GENERATED)) for line in dict.fromkeys(said)]


def _verify(program: str, unit_names: list[str], output: str) -> list[str]:
    """The lines that verify writes, with the generator's output where systemd would have it: before /usr/local/lib."""
    place = units.SEARCH_PATH.index("/usr/local/lib/systemd/system")
    path = [*units.SEARCH_PATH[:place], output, *units.SEARCH_PATH[place:]]
    environment = {
        **os.environ, "SYSTEMD_UNIT_PATH": ":".join(filter(None, path)), "SYSTEMD_LOG_LEVEL": "warning",
        "SYSTEMD_LOG_TARGET": "console", "SYSTEMD_LOG_COLOR": "0", "SYSTEMD_LOG_LOCATION": "0", "LC_ALL": "C",
    }  # fmt: skip
    try:
        done = subprocess.run(
            [program, "verify", "--man=no", *unit_names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_VERIFY_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line for line in done.stdout.splitlines() if line]


def _verify_finding(line: str) -> Finding:
    """FILE:LINE: REASON, UNIT: REASON or just a reason."""
    place = re.match(r"(/[^:]+):(\d+): (.*)", line)
    if place:
        return Finding(WARNING, place[1], int(place[2]), "", f"systemd-analyze verify: {place[3]}")
    unit, colon, reason = line.partition(": ")
    if colon and names.kind(unit):
        return Finding(WARNING, "", 0, unit, f"systemd-analyze verify: {reason}")
    return Finding(WARNING, "", 0, "", f"systemd-analyze verify: {line}")
