"""JSON, strictly, before it means anything: every value knows its path.

A key may be there only once, numbers keep all of their digits, and size, depth and lengths are bounded before
anything is done with them.
"""

from __future__ import annotations

import json

from kubens.pods.errors import ManifestError
from kubens.pods.escape import is_utf8

TEXT_MAX = 4 * 1024 * 1024
DEPTH_MAX = 32
LIST_MAX = 1024

DIGITS = frozenset("0123456789")


class Pairs(list[tuple[str, object]]):
    """An object's members as they were written, twice where they were written twice."""


class Number(str):
    """A number as it was written: int() of a hostile one takes minutes, float() rounds."""

    __slots__ = ()


class Node:
    """A JSON value and where it is. Its methods give it as the type that the schema wants, or refuse."""

    __slots__ = ("path", "value")

    def __init__(self, value: object, path: str) -> None:
        self.value = value
        self.path = path

    def refuse(self, reason: str) -> ManifestError:
        return ManifestError(self.path, reason)

    def get(self, name: str) -> Node | None:
        """A member, None where it is absent or null. Go finds members whatever their case."""
        if not isinstance(self.value, dict):
            raise self.refuse("must be an object")
        value = self.value.get(name.lower())
        return None if value is None else Node(value, f"{self.path}.{name}")

    def need(self, name: str) -> Node:
        node = self.get(name)
        if node is None:
            raise ManifestError(f"{self.path}.{name}", "is missing")
        return node

    def items(self, name: str) -> list[Node]:
        """The elements of a member that is a list; none where it is absent."""
        node = self.get(name)
        if node is None:
            return []
        if not isinstance(node.value, list):
            raise node.refuse("must be a list")
        return [Node(value, f"{node.path}[{index}]") for index, value in enumerate(node.value)]

    def string(self) -> str:
        if not isinstance(self.value, str) or isinstance(self.value, Number):
            raise self.refuse("must be a string")
        if "\0" in self.value:
            raise self.refuse("has a NUL")
        return self.value

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.refuse("must be true or false")
        return self.value

    def integer(self, low: int, high: int) -> int:
        if not isinstance(self.value, Number):
            raise self.refuse("must be a number")
        digits = self.value
        if not DIGITS.issuperset(digits) or len(digits) > 20 or not low <= int(digits) <= high:
            shown = digits if len(digits) <= 20 else f"a number of {len(digits)} characters"
            raise self.refuse(f"{shown} is not a whole number between {low} and {high}")
        return int(digits)


def parse(text: str) -> Node:
    """The document's value; ManifestError where it is no JSON or breaks a bound."""
    if len(text) > TEXT_MAX:
        raise ManifestError("$", f"is longer than {TEXT_MAX} characters")
    try:
        value = json.loads(
            text, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ManifestError("$", f"no JSON: {error.msg} in {place}") from None
    except RecursionError:
        raise ManifestError("$", f"is nested more than {DEPTH_MAX} deep") from None
    return Node(_checked(value, "$", 0), "$")


def _no_constant(name: str) -> object:
    raise ManifestError("$", f"{name} is no JSON number")


def _checked(value: object, path: str, depth: int) -> object:
    """The value, its objects as dicts of lower-case keys; depth, lengths, keys and characters are checked."""
    if depth > DEPTH_MAX:
        raise ManifestError(path, f"is nested more than {DEPTH_MAX} deep")
    if isinstance(value, Pairs):
        return _checked_members(value, path, depth)
    if isinstance(value, list):
        if len(value) > LIST_MAX:
            raise ManifestError(path, f"has {len(value)} elements; {LIST_MAX} are allowed")
        return [_checked(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, str) and not is_utf8(value):
        raise ManifestError(path, "has half of a surrogate pair, which is no character")
    return value


def _checked_members(pairs: Pairs, path: str, depth: int) -> dict[str, object]:
    if len(pairs) > LIST_MAX:
        raise ManifestError(path, f"has {len(pairs)} members; {LIST_MAX} are allowed")
    members: dict[str, object] = {}
    for key, value in pairs:
        plain = key.isascii() and key.isidentifier()
        place = f"{path}.{key}" if plain else f"{path}[{json.dumps(key)}]"
        if key.lower() in members:
            raise ManifestError(place, "is there twice (upper and lower case are the same)")
        members[key.lower()] = _checked(value, place, depth + 1)
    return members
