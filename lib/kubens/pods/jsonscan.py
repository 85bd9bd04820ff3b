"""JSON (RFC 8259) read without json, which imports re and takes a boot longer than all else.

Nothing is accepted that json refuses. What is refused is for json to tell, and the reason.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BLANKS = " \t\n\r"
_IN_NUMBERS = "+-.0123456789Ee"
_HEX = frozenset("0123456789abcdefABCDEF")
_WORDS = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Pairs(list[tuple[str, object]]):
    """An object's members as they were written, twice where they were written twice."""


class Number(str):
    """A number as it was written: int() of a hostile one takes minutes, float() rounds."""

    __slots__ = ()


def document(text: str) -> tuple[object] | None:
    """The one value of a whole text; None where json has to say what it is. Raises RecursionError."""
    try:
        value, end = value_at(text, behind_blanks(text, 0))
    except (ValueError, LookupError):
        return None
    return None if text[end:].strip(_BLANKS) else (value,)


def value_at(text: str, at: int) -> tuple[object, int]:
    """The value that begins at a place, and where it ends. Raises ValueError, LookupError, RecursionError."""
    first = text[at]
    if first == '"':
        return string_at(text, at)
    if first == "{":
        return _elements(text, at + 1, "}", _member_at, Pairs())
    if first == "[":
        return _elements(text, at + 1, "]", value_at, [])
    if first in _IN_NUMBERS:
        return _number_at(text, at)
    word, value = _WORDS[first]
    if not text.startswith(word, at):
        raise ValueError
    return value, at + len(word)


def string_at(text: str, at: int) -> tuple[str, int]:
    """As value_at(), where only a string will do."""
    if text[at] != '"':
        raise ValueError
    begin = at + 1
    end = text.index('"', begin)
    found = raw = text[begin:end]
    if "\\" in raw:
        found, end = _unescaped(text, begin)
        raw = text[begin:end]
    if not raw.isprintable() and min(raw) < " ":
        raise ValueError
    return found, end + 1


def behind_blanks(text: str, at: int) -> int:
    """The place of the first character that is none. Raises IndexError where there is none."""
    while text[at] in _BLANKS:
        at += 1
    return at


def _elements(
    text: str, at: int, end: str, read: Callable[[str, int], tuple[Any, int]], found: list[Any]
) -> tuple[object, int]:
    """What stands between commas, up to the end of an object or a list, each read by the function given."""
    at = behind_blanks(text, at)
    while text[at] != end:
        if found:
            if text[at] != ",":
                raise ValueError
            at = behind_blanks(text, at + 1)
        one, at = read(text, at)
        found.append(one)
        at = behind_blanks(text, at)
    return found, at + 1


def _member_at(text: str, at: int) -> tuple[object, int]:
    name, at = string_at(text, at)
    at = behind_blanks(text, at)
    if text[at] != ":":
        raise ValueError
    value, at = value_at(text, behind_blanks(text, at + 1))
    return (name, value), at


def _number_at(text: str, at: int) -> tuple[Number, int]:
    end = at + 1
    while text[end] in _IN_NUMBERS:
        end += 1
    number = Number(text[at:end])
    mantissa, e, exponent = number.lower().partition("e")
    whole, point, fraction = mantissa.partition(".")
    if whole[0] == "-":
        whole = whole[1:]
    if exponent[:1] in ("+", "-"):
        exponent = exponent[1:]
    if not whole.isdigit() or (whole[0] == "0" and whole != "0"):
        raise ValueError
    if (point and not fraction.isdigit()) or (e and not exponent.isdigit()):
        raise ValueError
    return number, end


def _unescaped(text: str, at: int) -> tuple[str, int]:
    """A string that has escapes, from behind its quote; and where the other quote is."""
    parts = []
    end = text.index('"', at)
    while (backslash := text.find("\\", at, end)) >= 0:
        letter = text[backslash + 1]
        parts.append(text[at:backslash])
        at = backslash + 2
        if letter == "u":
            code, at = _code_at(text, at)
            if 0xD800 <= code < 0xDC00 and text.startswith("\\u", at):
                low, behind = _code_at(text, at + 2)
                if 0xDC00 <= low < 0xE000:
                    code, at = 0x10000 + ((code - 0xD800) << 10 | low - 0xDC00), behind
            parts.append(chr(code))
        else:
            parts.append(_ESCAPES[letter])
        if at > end:  # it was a quote; to look for the next one each time would take the square of the length
            end = text.index('"', at)
    return "".join((*parts, text[at:end])), end


def _code_at(text: str, at: int) -> tuple[int, int]:
    """What follows the u of an escape."""
    digits = text[at : at + 4]
    if len(digits) < 4 or not _HEX.issuperset(digits):
        raise ValueError
    return int(digits, 16), at + 4
