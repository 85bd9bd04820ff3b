"""The lines of a manifest that findings are about, looked for once there are any."""

from __future__ import annotations

from kubens.pods.jsonscan import behind_blanks, string_at, value_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubens.finding import Finding


def mark(finding: Finding, text: str) -> None:
    """Set the line of a finding whose reason begins with a JSONPath, where it has none."""
    if not finding.line and finding.reason.startswith("$"):
        found = find(text, path_of(finding.reason))
        if found is not None:
            finding.line = text.count("\n", 0, found[0]) + 1


def path_of(reason: str) -> str:
    return reason.partition(": ")[0]


def find(text: str, path: str) -> tuple[int, int] | None:
    """Where in a JSON text the value at a JSONPath is, or the innermost that there is: offset and length.

    What is no string or number is shown by its name. None where the text cannot be told apart.
    """
    try:
        return _find(text, path.lower())
    except (ValueError, LookupError, RecursionError):
        return None


def _find(text: str, path: str) -> tuple[int, int]:
    here, value = "$", behind_blanks(text, 0)
    shown = (value, 1)
    while here != path and text[value] in "{[":
        inner = [
            one for one in _inner(text, value, here) if path == one[0] or path.startswith((f"{one[0]}.", f"{one[0]}["))
        ]
        if not inner:
            break
        # What is there twice is meant where it is for the second time.
        here, value, shown = inner[-1]
    return shown


def _inner(text: str, place: int, path: str) -> Iterator[tuple[str, int, tuple[int, int]]]:
    """The members of an object, or the elements of a list: path, offset of the value, what to show of it."""
    opening, index = text[place], 0
    place = behind_blanks(text, place + 1)
    while text[place] not in "}]":
        begin, name = place, ""
        if opening == "{":
            name, place = string_at(text, place)
            shown = (begin, place - begin)
            place = behind_blanks(text, behind_blanks(text, place) + 1)
            inner = (
                f"{path}.{name}"
                if name.isascii() and name.isidentifier()
                else f"{path}[{text[begin : shown[1] + begin]}]"
            )
        else:
            inner, shown = f"{path}[{index}]", (begin, 1)
        value, (_, end) = place, value_at(text, place)
        if text[value] not in "{[":
            shown = (value, end - value)
        yield inner.lower(), value, shown
        index += 1
        place = behind_blanks(text, end)
        if text[place] == ",":
            place = behind_blanks(text, place + 1)
