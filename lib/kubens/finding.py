"""What the generator and the tools have to say about something that an administrator wrote."""

from __future__ import annotations

ERROR = "error"
WARNING = "warning"
NOTICE = "notice"


class Finding:
    """One thing to say, with the place it is about and the next step in its reason.

    severity: ERROR (something was refused), WARNING (something was ignored or weakened), NOTICE (nothing to do).
    file: absolute path as the machine sees it, or "" where no file is to blame. line: from 1, or 0.
    unit: the unit it is about, or "".
    """

    __slots__ = ("file", "line", "reason", "severity", "unit")

    def __init__(self, severity: str, file: str, line: int, unit: str, reason: str) -> None:
        self.severity = severity
        self.file = file
        self.line = line
        self.unit = unit
        self.reason = reason

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
        return printable(": ".join(part for part in (place, self.unit, self.reason) if part))

    def __repr__(self) -> str:
        return f"<{self.severity} {self}>"


def printable(text: str) -> str:
    """One line that shows what people wrote, which may hold anything."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(c: str) -> str:
    code = ord(c)
    # An undecodable byte, as the decoder leaves it.
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
