"""The place in a file that a finding is about: the generator keeps lines only, people want the very word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kubens.files import Root
from kubens.finding import Finding
from kubens.pods import place

_BLANKS = " \t"


@dataclass(frozen=True)
class Place:
    """line, column: from 1. text: the whole line. length: of what is meant, in characters."""

    line: int
    column: int
    length: int
    text: str


def locate(root: Root, finding: Finding) -> Place | None:
    """Where the finding points; None where it is about no line, or the file is gone."""
    in_json = finding.file.endswith(".json")
    if not finding.line and not in_json:
        return None
    try:
        text = root.read(finding.file) or ""
    except OSError:
        return None
    if in_json:
        return _locate_in_json(text, finding)
    lines = list(_logical_line(text, finding.line))
    if not lines:
        return None
    for search in _searches(finding):
        found = [(number, line, match) for number, line in lines for match in search.finditer(line)]
        if found:
            # What stands there twice is meant where it does for the second time.
            number, line, match = found[-1 if finding.reason.startswith("listed twice") else 0]
            return Place(number, match.start(1) + 1, len(match[1]), line)
    number, line = lines[0]
    bare = line.strip(_BLANKS)
    return Place(number, line.index(bare) + 1, max(len(bare), 1), line)


def _locate_in_json(text: str, finding: Finding) -> Place | None:
    """By the JSONPath in the reason, or by what the parser says of a text that is no JSON."""
    told = re.search(r" in line (\d+), column (\d+)", finding.reason)
    if told:
        lines = [*text.split("\n"), ""]
        return Place(int(told[1]), int(told[2]), 1, lines[int(told[1]) - 1])
    found = place.find(text, place.path_of(finding.reason)) if finding.reason.startswith("$") else None
    if found is None:
        return None
    offset, length = found
    begin = text.rfind("\n", 0, offset) + 1
    return Place(text.count("\n", 0, offset) + 1, offset - begin + 1, length, text[begin:].partition("\n")[0])


def _logical_line(text: str, number: int) -> Iterator[tuple[int, str]]:
    """The lines that systemd.syntax(7) joins to the one with this number, comments between them left out."""
    # As kubens.syntax counts them.
    text = text.replace("\r\n", "\n").replace("\n\r", "\n").replace("\r", "\n").replace("\0", "\n")
    for here, line in enumerate(text.split("\n")[number - 1 :], number):
        if line.strip(_BLANKS)[:1] in ("#", ";") and here > number:
            continue
        yield here, line
        if (len(line) - len(line.rstrip("\\"))) % 2 == 0:
            return


def _searches(finding: Finding) -> Iterator[re.Pattern[str]]:
    """What to look for, the most telling first; group 1 is what is meant."""
    reason = finding.reason
    unit = re.escape(finding.unit)
    stem = re.escape(finding.unit.removesuffix(".service"))
    setting = re.match(r"(?:unknown setting )?([A-Za-z]+)=(\S*)", reason)
    if setting:
        key, value = setting[1], setting[2].rstrip(":,")
        if reason.startswith("unknown"):
            yield re.compile(rf"^\s*({re.escape(key)})\s*=")
        for text in dict.fromkeys((_value(reason), value)):
            if text:
                yield re.compile(rf"^\s*{re.escape(key)}\s*=.*?({re.escape(text)})")
                yield re.compile(rf"(?<!\S)({re.escape(text)})(?!\S)")
        yield re.compile(rf"^\s*({re.escape(key)})\s*=")
    if finding.unit:
        yield re.compile(rf"(?<![^\s=])({unit}|{stem})(?!\S)")


def _value(reason: str) -> str:
    """A value of several words, up to the verb that the sentences of kubens.sandbox go on with."""
    found = re.match(r"[A-Za-z]+=(.*?) (?:gives|keeps|sets|is|cannot)\b", reason)
    return found[1] if found else ""
