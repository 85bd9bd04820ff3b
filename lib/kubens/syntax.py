"""The syntax of unit files, systemd.syntax(7), as src/shared/conf-parser.c reads it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    # Key, value, and the number of the line.
    Assignment = tuple[str, str, int]
    # Of a [Name] header: the name, the number of its line, and what stands below it.
    Section = tuple[str, int, list[Assignment]]

BLANKS = " \t\n\r"

# A longer line makes systemd give up on the file (LONG_LINE_MAX).
LINE_MAX = 1024 * 1024


# What the name of a section and the path of a program must not hold: string_is_safe().
UNSAFE = frozenset(
    "\"'\\\x7f\0\x01\x02\x03\x04\x05\x06\a\b\t\n\v\f\r\x0e\x0f"
    "\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"
)

# Most headers are one of these, and what nobody asks for is mostly one of those.
_HEADERS = frozenset(("[Unit]", "[Service]", "[Install]"))
_COMMON = frozenset(
    ("After", "Delegate", "Description", "Documentation", "Environment", "EnvironmentFile", "KillMode",
     "LimitNOFILE", "OOMScoreAdjust", "Requires", "Restart", "RestartSec", "StartLimitInterval", "TasksMax", "WantedBy",
     "Wants")
)  # fmt: skip


class Parsed:
    """A file's sections in order; `problems` as (line, reason): what systemd would warn of and ignore.

    broken: (line, reason) where systemd gives up on the rest of the file, or None. untold: where some releases do.
    """

    __slots__ = ("broken", "problems", "sections", "untold")

    def __init__(self) -> None:
        self.sections: list[Section] = []
        self.problems: list[tuple[int, str]] = []
        self.broken: tuple[int, str] | None = None
        self.untold: tuple[int, str] | None = None

    def begin(self, name: str, line: int) -> list[Assignment]:
        """Begin a section; where its assignments belong."""
        assignments: list[Assignment] = []
        self.sections.append((name, line, assignments))
        return assignments


def parse(text: str, wanted: frozenset[str] | None = None) -> Parsed:
    """Read a whole file (decoded with surrogateescape). Never raises; a line number is that of a line's start.

    wanted: the keys of which assignments are kept, and nothing else that means nothing is noted; None for all.
    """
    # No line of a short text is too long, and each of an ASCII text is valid.
    doubtful = len(text) > LINE_MAX // 4 or not text.isascii()
    if wanted is not None and not doubtful:
        found = _parse_plain(text, wanted)
        if found is not None:
            return found
    parsed = Parsed()
    assignments: list[Assignment] | None = None
    for number, logical in _logical_lines(text):
        line = logical.strip(BLANKS)
        first = line[:1]
        if first in "#;":  # or ""
            continue
        if doubtful and (reason := _unacceptable(line)):
            parsed.broken = (number, reason)
            return parsed
        if first == "[":
            if line == "[]" or (line[-1] == "]" and not UNSAFE.isdisjoint(line[1:-1])):
                parsed.untold = (number, f"whether {line[:80]!r} is a section depends on the release: mend it")
                return parsed
            if line[-1] != "]":
                parsed.broken = (number, f"invalid section header {line[:80]!r}")
                return parsed
            assignments = parsed.begin(line[1:-1], number)
        elif assignments is None:
            parsed.problems.append((number, "assignment outside of a section, line ignored"))
        else:
            key, equals, value = line.partition("=")
            if equals and key:
                key = key.rstrip(BLANKS)
                if wanted is None or key in wanted:
                    assignments.append((key, value.lstrip(BLANKS), number))
            else:
                parsed.problems.append((number, "no KEY=VALUE, line ignored"))
    return parsed


def _parse_plain(text: str, wanted: frozenset[str]) -> Parsed | None:
    """As parse() does it, sooner, where every line is as nearly all lines are; None where one is not.

    Sections without wanted assignments are left out.
    """
    parsed = Parsed()
    header: tuple[str, int] | None = None
    assignments: list[Assignment] | None = None
    for number, line in _logical_lines(text):
        if not line:
            continue
        key, equals, value = line.partition("=")
        if key in wanted:
            if equals and header:
                if assignments is None:
                    assignments = parsed.begin(*header)
                assignments.append((key, value.strip(BLANKS), number))
        elif key in _COMMON:
            continue
        elif key in _HEADERS and not equals:
            header = key[1:-1], number
            assignments = None
        elif not key or key[0] in "[ \t" or (key[-1] in BLANKS and key[0] not in "#;"):
            return None
    return parsed


def _logical_lines(text: str) -> Iterable[tuple[int, str]]:
    """Lines with their continuations, as (number of the first line, text). Comments and blank lines may be left."""
    if "\r" in text or "\0" in text:
        text = text.replace("\r\n", "\n").replace("\n\r", "\n").replace("\r", "\n").replace("\0", "\n")
    if text.startswith("\ufeff"):
        text = text[1:]
    if "\\" not in text or not ("\\\n" in text or text.endswith("\\")):
        return enumerate(text.split("\n"), 1)
    return _join_lines(text)


def _join_lines(text: str) -> list[tuple[int, str]]:
    found = []
    held: list[str] = []
    start = number = 0
    for line in text.split("\n"):
        number += 1
        bare = line.strip(BLANKS)
        if bare and bare[0] in "#;":
            continue
        if held:
            held.append(line)
        elif bare:
            start = number
        else:
            continue
        if line.endswith("\\") and (len(line) - len(line.rstrip("\\"))) % 2:
            # The backslash becomes a blank; a list, not one growing string, keeps this linear.
            held[-1:] = [line[:-1] + " "]
            continue
        found.append((start, "".join(held) or line))
        held = []
    found.append((start, "".join(held)))
    return found


def _unacceptable(line: str) -> str:
    """Why systemd gives up on a file that has this line, "" where it does not."""
    if len(line) > LINE_MAX // 4 and len(line.encode("utf-8", "surrogateescape")) > LINE_MAX:
        return "line longer than 1 MiB"
    return "" if line.isascii() or _valid_text(line) else "not valid UTF-8"


def _valid_text(text: str) -> bool:
    """Whether systemd accepts the line (utf8_is_valid): no stray bytes and no non-characters."""
    for c in text:
        code = ord(c)
        if 0xD800 <= code <= 0xDFFF or 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE:
            return False
    return True


# limits.h: of a path, with the byte at its end, and of each name in it.
_PATH_MAX, _NAME_MAX = 4096, 255


def is_too_long(path: str, specifier: int = 1) -> bool:
    """Whether no file can have the path, as path_is_valid() has it. specifier: how many bytes each "%" may become."""
    lengths = [
        len(name.encode("utf-8", "surrogateescape")) + name.count("%") * (specifier - 1) for name in path.split("/")
    ]
    return max(lengths) > _NAME_MAX or sum(lengths) + len(lengths) > _PATH_MAX


def words(value: str) -> list[str]:
    """A list as systemd splits it: at blanks alone, not at whatever Unicode calls a space."""
    if value and " " not in value and "\t" not in value:
        return [value]
    return [word for word in value.replace("\t", " ").split(" ") if word]


BOOLEANS = {
    "1": True, "yes": True, "y": True, "true": True, "t": True, "on": True,
    "0": False, "no": False, "n": False, "false": False, "f": False, "off": False,
}  # fmt: skip


def boolean(text: str) -> bool | None:
    """parse_boolean() of systemd; None where the text is none."""
    return BOOLEANS.get(text.lower())
