"""`kubensctl compile`: ahead of time what the generator would make, for machines that cannot run it."""

from __future__ import annotations

import argparse

from kubens.finding import Finding
from kubensctl import static, terminal
from kubensctl.failure import Failure
from kubensctl.formats import Options, butane, cloud_init, daemonset, ignition, machineconfig, units
from kubensctl.verbs import Verbs, add_root

_TEXTS = {
    "ignition": ignition,
    "butane": butane,
    "machineconfig": machineconfig,
    "cloud-init": cloud_init,
    "daemonset": daemonset,
}

EXAMPLES = """\
  kubensctl compile --root /mnt --format units --output /mnt
  kubensctl compile --root tree --format ignition --output kubens.ign
  kubensctl compile --root tree --format machineconfig --role master

The units say what they were made from. kubens-compiled.service fails at boot when that has changed."""


def declare(verbs: Verbs) -> None:
    verb = verbs.add("compile", "write static units, for machines without the generator", EXAMPLES, run)
    add_root(verb, "compile for the machine below DIR, from its units and its /etc/kubens")
    summaries = {"units": units, **_TEXTS}
    help = "; ".join(f"{name}: {module.SUMMARY}" for name, module in summaries.items())
    verb.add_argument("--format", choices=summaries, required=True, help=help)
    verb.add_argument("--output", metavar="PATH", help="write there, instead of to standard output")
    verb.add_argument("--role", default=Options.role, help="the pool of a machineconfig, worker by default")


def run(arguments: argparse.Namespace) -> int:
    to_files = arguments.format == "units"
    if to_files and arguments.output is None:
        raise Failure("--format=units needs --output, the directory to write below")
    try:
        made = static.make(arguments.root)
    except static.Refused as refused:
        _report(refused.findings)
        raise
    _report(made.findings)
    if to_files:
        units.write(made, arguments.output.rstrip("/"))
        return 0
    text = _TEXTS[arguments.format].text(made, Options(arguments.role))
    terminal.write(text, arguments.output)
    return 0


def _report(findings: list[Finding]) -> None:
    errors = terminal.standard_error()
    for finding in findings:
        errors.line(f"kubensctl: {finding.severity}: {finding}")
