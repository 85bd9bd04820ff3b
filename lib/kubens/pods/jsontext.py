"""JSON, strictly, before it means anything: every value knows its path.

A key may be there only once, numbers keep all of their digits, and size, depth and lengths are bounded before
anything is done with them.
"""

from __future__ import annotations

from kubens.pods.errors import ManifestError
from kubens.pods.escape import is_utf8
from kubens.pods.jsonscan import Number, Pairs, document

TEXT_MAX = 4 * 1024 * 1024
# Nearly all are shorter. What is longer json reads sooner, although it has to be imported.
SCANNED_MAX = 32 * 1024
DEPTH_MAX = 32
LIST_MAX = 1024

DIGITS = frozenset("0123456789")


class Members(dict[str, object]):
    """An object's members by name; by the name in lower case where case does not count, as in Go.

    spelled: the names as they were written. asked: those that a reader has had a use for.
    """

    __slots__ = ("any_case", "asked", "spelled")

    def __init__(self, any_case: bool) -> None:
        super().__init__()
        self.any_case = any_case
        self.spelled: dict[str, str] = {}
        self.asked: set[str] = set()

    def ask(self, name: str) -> object:
        key = name.lower() if self.any_case else name
        self.asked.add(key)
        return self.get(key)


class Node:
    """A JSON value and where it is. Its methods give it as the type that the schema wants, or refuse."""

    __slots__ = ("path", "value")

    def __init__(self, value: object, path: str) -> None:
        self.value = value
        self.path = path

    def refuse(self, reason: str) -> ManifestError:
        return ManifestError(self.path, reason)

    def get(self, name: str) -> Node | None:
        """A member, None where it is absent or null."""
        if not isinstance(self.value, Members):
            raise self.refuse("must be an object")
        value = self.value.ask(name)
        return None if value is None else Node(value, f"{self.path}.{name}")

    def skip(self, name: str) -> None:
        """Have no use for a member, whatever is in it, and say nothing of it."""
        if isinstance(self.value, Members):
            self.value.pop(name.lower() if self.value.any_case else name, None)

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
    """The document's value; ManifestError where it is no JSON or breaks a bound. Case does not count in keys."""
    return check(load(text), any_case=True)


def load(text: str) -> object:
    """The document as it was written, its objects as Pairs: nothing is checked but that it is JSON, and its length."""
    if len(text) > TEXT_MAX:
        raise ManifestError("$", f"is longer than {TEXT_MAX} characters")
    try:
        found = document(text) if len(text) <= SCANNED_MAX else None
        return _load_by_json(text) if found is None else found[0]
    except RecursionError:
        raise ManifestError("$", f"is nested more than {DEPTH_MAX} deep") from None


def _load_by_json(text: str) -> object:
    try:
        import json
    except ImportError:
        reason = "cannot be read, this Python has no module json: install python3, not python3-minimal alone"
        raise ManifestError("$", reason) from None
    try:
        return json.loads(
            text, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ManifestError("$", f"no JSON: {error.msg} in {place}", error.lineno) from None


def check(value: object, any_case: bool) -> Node:
    """What load() gave, its bounds, keys and characters checked."""
    return Node(_checked(value, "$", 0, any_case), "$")


def unasked(node: Node) -> list[str]:
    """The paths of members that no reader had a use for and that say anything; nothing below one of them."""
    found: list[str] = []
    if isinstance(node.value, Members):
        for key, value in node.value.items():
            path = _member(node.path, node.value.spelled[key])
            if key in node.value.asked:
                found += unasked(Node(value, path))
            elif value not in (None, False, "", [], {}):
                found.append(path)
    elif isinstance(node.value, list):
        for index, value in enumerate(node.value):
            found += unasked(Node(value, f"{node.path}[{index}]"))
    return found


def _no_constant(name: str) -> object:
    raise ManifestError("$", f"{name} is no JSON number")


def _checked(value: object, path: str, depth: int, any_case: bool) -> object:
    """The value, its objects as Members; depth, lengths, keys and characters are checked."""
    if depth > DEPTH_MAX:
        raise ManifestError(path, f"is nested more than {DEPTH_MAX} deep")
    if isinstance(value, Pairs):
        return _checked_members(value, path, depth, any_case)
    if isinstance(value, list):
        if len(value) > LIST_MAX:
            raise ManifestError(path, f"has {len(value)} elements; {LIST_MAX} are allowed")
        return [_checked(item, f"{path}[{index}]", depth + 1, any_case) for index, item in enumerate(value)]
    if isinstance(value, str) and not is_utf8(value):
        raise ManifestError(path, "has half of a surrogate pair, which is no character")
    return value


def _checked_members(pairs: Pairs, path: str, depth: int, any_case: bool) -> Members:
    if len(pairs) > LIST_MAX:
        raise ManifestError(path, f"has {len(pairs)} members; {LIST_MAX} are allowed")
    members = Members(any_case)
    for name, value in pairs:
        place = _member(path, name)
        key = name.lower() if any_case else name
        if key in members:
            case = " (upper and lower case are the same)" if any_case else ""
            raise ManifestError(place, f"is there twice{case}")
        members[key] = _checked(value, place, depth + 1, any_case)
        members.spelled[key] = name
    return members


def _member(path: str, name: str) -> str:
    if name.isascii() and name.isidentifier():
        return f"{path}.{name}"
    import json

    return f"{path}[{json.dumps(name)}]"
