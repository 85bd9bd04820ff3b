"""The file that kubensctl writes, through configparser.

configparser knows a section of one name once; this file has a [MountNamespace] for each namespace. So the file is read
as a row of documents with one section each, and written as such. The backport from PyPI is used where it is installed:
it is one and the same on every Python. The standard library's does as well, because of what comes out kubensctl
lets the generator's own reader say whether it is what was meant, before it is written.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from kubensctl.failure import Failure

if TYPE_CHECKING:
    import configparser
else:
    try:
        from backports import configparser
    except ImportError:
        import configparser

SECTION = "MountNamespace"
HEADER = """\
# Kept by kubensctl(1): wrap, env and release write this file anew, and comments in it are lost.
# What you want to write by hand belongs into another file of this directory: kubens.conf(5).
"""


class Document:
    """What stands in the file, changed in memory. Raises Failure for what configparser does not take."""

    def __init__(self, text: str, path: str) -> None:
        self._path = path
        self._parsers: list[configparser.ConfigParser] = []
        lines: list[str] = []
        start = 0
        for number, line in enumerate(text.splitlines(keepends=True)):
            if line.startswith("["):
                self._read(lines, start)
                lines, start = [], number
            lines.append(line)
        self._read(lines, start)

    def _read(self, lines: list[str], start: int) -> None:
        parser = configparser.ConfigParser(
            delimiters=("=",),
            comment_prefixes=("#", ";"),
            strict=True,
            empty_lines_in_values=False,
            default_section="",
            interpolation=None,
        )
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        try:
            # Blank lines in front, so that an error names the line of the file.
            parser.read_string("\n" * start + "".join(lines), self._path)
        except configparser.Error as error:
            reason = error.message.replace("\n", " ").replace("'", "")
            raise Failure(f"{reason}: kubensctl writes this file, mend or remove what it did not write") from None
        if parser.sections():
            self._parsers.append(parser)

    def _named(self, name: str) -> list[configparser.SectionProxy]:
        """The sections of a namespace."""
        return [
            parser[SECTION]
            for parser in self._parsers
            if parser.has_section(SECTION) and (parser[SECTION].get("Name") or "kubens") == name
        ]

    def members(self) -> set[tuple[str, str]]:
        """(namespace, unit) for all that stands in the file."""
        return {
            (parser[SECTION].get("Name") or "kubens", unit)
            for parser in self._parsers
            if parser.has_section(SECTION)
            for key in ("Wrap", "Env")
            for unit in _units(parser[SECTION], key)
        }

    def add(self, name: str, key: str, unit: str) -> None:
        sections = self._named(name)
        if not sections:
            self._read([f"[{SECTION}]\n", f"Name={name}\n"], 0)
            sections = self._named(name)
        _set(sections[0], key, [*_units(sections[0], key), unit])

    def remove(self, name: str, key: str, unit: str) -> None:
        for section in self._named(name):
            if unit in _units(section, key):
                _set(section, key, [listed for listed in _units(section, key) if listed != unit])

    def text(self) -> str:
        """The whole file. A section that says nothing but its name is left out: it would still make a namespace."""
        parts = [HEADER]
        for parser in self._parsers:
            if parser.sections() == [SECTION] and set(parser[SECTION]) <= {"Name"}:
                continue
            written = io.StringIO()
            parser.write(written, space_around_delimiters=False)
            parts.append("\n" + written.getvalue().rstrip("\n") + "\n")
        return "".join(parts)


def _units(section: configparser.SectionProxy, key: str) -> list[str]:
    """The list as written, each with the suffix that is understood."""
    return [word if "." in word else f"{word}.service" for word in section.get(key, "").split()]


def _set(section: configparser.SectionProxy, key: str, units: list[str]) -> None:
    if units:
        section[key] = " ".join(units)
    else:
        section.pop(key, None)
