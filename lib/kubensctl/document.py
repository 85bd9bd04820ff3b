"""The file that kubensctl writes, through configparser.

configparser knows a section of one name once; this file has a section for each namespace. So the file is read
as a row of documents with one section each, and written as such. The backport from PyPI is used where it is installed:
it is one and the same on every Python. The standard library's does as well, because of what comes out kubensctl
lets the generator's own reader say whether it is what was meant, before it is written.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kubensctl.failure import Failure

if TYPE_CHECKING:
    import configparser
else:
    try:
        from backports import configparser
    except ImportError:
        import configparser

# A namespace: the kind of its section, and its name.
Place = tuple[str, str]
MOUNT, NETWORK = "MountNamespace", "NetworkNamespace"
# The settings of each kind that list units.
LISTS = {MOUNT: ("Wrap", "Env"), NETWORK: ("Services",)}
HEADER = """\
# Kept by kubensctl(1): wrap, env, release, join and leave write this file anew, and comments in it are lost.
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

    def _sections(self) -> Iterator[tuple[Place, configparser.SectionProxy]]:
        for parser in self._parsers:
            for section in LISTS:
                if parser.has_section(section):
                    default = "kubens" if section == MOUNT else ""
                    yield (section, parser[section].get("Name") or default), parser[section]

    def members(self) -> set[tuple[Place, str]]:
        """(namespace, unit) for all that stands in the file."""
        return {
            (place, unit)
            for place, section in self._sections()
            for key in LISTS[place[0]]
            for unit in _units(section, key)
        }

    def places(self) -> set[Place]:
        """The namespaces that the file has anything to say of."""
        return {place for place, _ in self._sections()}

    def add(self, place: Place, key: str, unit: str) -> None:
        section = self._section(place)
        _set(section, key, [*_units(section, key), unit])

    def remove(self, place: Place, key: str, unit: str) -> None:
        for found, section in self._sections():
            if found == place and unit in _units(section, key):
                _set(section, key, [listed for listed in _units(section, key) if listed != unit])

    def set_types(self, place: Place, types: Sequence[str]) -> None:
        """Say what a network namespace is made of."""
        _set(self._section(place), "Types", types)

    def _section(self, place: Place) -> configparser.SectionProxy:
        """The first section of a namespace, made where there is none."""
        found = [section for named, section in self._sections() if named == place]
        if found:
            return found[0]
        self._read([f"[{place[0]}]\n", f"Name={place[1]}\n"], 0)
        return self._section(place)

    def text(self) -> str:
        """The whole file. A section that says nothing but its name is left out: it would still make a namespace."""
        parts = [HEADER]
        for parser in self._parsers:
            if all(section in LISTS and set(parser[section]) <= {"Name"} for section in parser.sections()):
                continue
            written = io.StringIO()
            parser.write(written, space_around_delimiters=False)
            parts.append("\n" + written.getvalue().rstrip("\n") + "\n")
        return "".join(parts)


def _units(section: configparser.SectionProxy, key: str) -> list[str]:
    """The list as written, each with the suffix that is understood."""
    return [word if "." in word else f"{word}.service" for word in section.get(key, "").split()]


def _set(section: configparser.SectionProxy, key: str, words: Sequence[str]) -> None:
    if words:
        section[key] = " ".join(words)
    else:
        section.pop(key, None)
