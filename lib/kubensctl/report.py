"""Findings as people read them: the place, the line itself with the word underlined, the reason and the next step."""

from __future__ import annotations

from collections.abc import Iterable

from kubens.files import Root
from kubens.finding import ERROR, NOTICE, WARNING, Finding
from kubensctl import source, terminal
from kubensctl.terminal import Terminal, printable

COLOURS = {ERROR: terminal.RED, WARNING: terminal.YELLOW, NOTICE: terminal.BOLD}


def show(out: Terminal, root: Root, findings: Iterable[Finding]) -> None:
    for finding in findings:
        show_one(out, root, finding)


def show_one(out: Terminal, root: Root, finding: Finding) -> None:
    place = source.locate(root, finding)
    where = finding.file
    if place is not None:
        where += f":{place.line}:{place.column}"
    elif finding.line:
        where += f":{finding.line}"
    severity = out.paint(finding.severity, COLOURS[finding.severity])
    head = f"{out.paint(printable(where), terminal.BOLD)}: {severity}" if where else severity
    out.line(f"{head}: {printable(finding.unit)}" if finding.unit else head)
    if place is not None:
        _show_line(out, place, COLOURS[finding.severity])
    out.wrapped(printable(finding.reason), 4, "    ")


def _show_line(out: Terminal, place: source.Place, colour: str) -> None:
    start, end = place.column - 1, place.column - 1 + place.length
    before, meant = printable(place.text[:start]), printable(place.text[start:end])
    out.line(f"{place.line:7} | {before}{meant}{printable(place.text[end:])}")
    out.line(f"        | {' ' * len(before)}{out.paint('^' + '~' * (len(meant) - 1), colour)}")


def summary(findings: Iterable[Finding]) -> str:
    """ "2 errors, 1 warning"; "" where there is nothing."""
    severities = [finding.severity for finding in findings]
    counts = ((severities.count(severity), severity) for severity in (ERROR, WARNING, NOTICE))
    return ", ".join(f"{count} {severity}{'s' * (count != 1)}" for count, severity in counts if count)
