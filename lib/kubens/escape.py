"""The one way for text to reach a unit file: systemd.syntax(7) and systemd.service(5), "COMMAND LINES"."""

from __future__ import annotations

_NEEDS_QUOTES = frozenset(" ;\"'\\")


class Unwritable(ValueError):
    """The text cannot stand in a unit file at all (a control character)."""


def check(text: str) -> str:
    """The text itself, when it can stand in a unit file as one line. Raises Unwritable."""
    if not text.isprintable():
        for c in text:
            if c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff":
                raise Unwritable(f"character {ord(c):#04x} cannot stand in a unit file")
    return text


def value(text: str) -> str:
    """A literal value of a setting that expands specifiers."""
    return check(text).replace("%", "%%")


def word(text: str) -> str:
    """A literal word in a command line, quoted where it must be; specifiers and variables are not expanded."""
    return raw_word(text.replace("%", "%%").replace("$", "$$"))


def raw_word(text: str) -> str:
    """A word in a command line in which specifiers and variables keep their meaning."""
    check(text)
    if text and _NEEDS_QUOTES.isdisjoint(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
