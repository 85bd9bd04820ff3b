"""`kubensctl check`: the strict reading of the configuration, and of the units that it names."""

from __future__ import annotations

import argparse
import json
import sys

from kubens.files import Root
from kubens.finding import ERROR, NOTICE, Finding
from kubensctl import bash, other_generators, planning, report, selinux, terminal, verify
from kubensctl.planning import Planned
from kubensctl.verbs import Verbs, add_json, add_root

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
        reason = "kubens=0 is on the kernel command line: nothing is generated; remove it there"
        findings.append(Finding(NOTICE, "", 0, "", reason))
    for namespace in planned.all_namespaces:
        for unit, _ in planned.loaded(namespace):
            findings += other_generators.findings(planned, unit, namespace)
    findings += bash.findings(planned.root)
    findings += selinux.findings(planned)
    if not planned.root.path:
        present = [unit.name for namespace in planned.all_namespaces for unit, _ in planned.loaded(namespace)]
        findings += verify.findings(planned, present)
    return findings


def _verdict(planned: Planned, findings: list[Finding]) -> str:
    namespaces = planned.all_namespaces
    count = sum(len(planned.members(namespace)) for namespace in namespaces)
    looked_at = f"{_plural(len(namespaces), 'namespace')}, {_plural(count, 'service')}"
    return f"{looked_at}: {report.summary(findings) or 'nothing to mend'}."


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
