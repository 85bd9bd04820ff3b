"""Whether a finding says what to do next: the house wants it of each, and all that tests let happen are looked at."""

from __future__ import annotations

import re

# What an administrator is told to do, at the beginning of a clause.
VERBS = ("choose", "convert", "empty", "give", "install", "keep", "link", "list", "look", "make", "mend", "order",
         "put", "quote", "remove", "rename", "report", "reset", "set", "take", "write")  # fmt: skip
COMMANDS = ("kubectl", "kubensctl", "kubens-pod", "systemctl")
_STEP = re.compile(rf"(?:^|[:;,] |\b(?:or|and) )(?:{'|'.join(VERBS)})\b|(?:: |; )(?:{'|'.join(COMMANDS)}) ")
# Of one that follows from others, those say it.
_FOLLOWS = "until this is mended"


def has_next_step(reason: str) -> bool:
    return _STEP.search(reason) is not None or _FOLLOWS in reason


def without_next_step(lines: list[str]) -> list[str]:
    """Those of the lines that the generator or kubensctl wrote which leave people alone."""
    found = [re.sub(r"^(?:error|warning|notice): ", "", line) for line in lines]
    return [line for line in found if not line.startswith("usage:") and not has_next_step(line)]
