"""Text for a terminal: colours where they are wanted, boxes and bars in 80 columns."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from itertools import zip_longest
from typing import TextIO

WIDTH = 80

# Select Graphic Rendition, ECMA-48. The terminal's own sixteen colours, so that its theme is kept.
STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_ESCAPE = re.compile("\x1b\\[[0-9;]*m")
_ASCII = str.maketrans("╭╮╰╯─│▼█▌✓✗→·…", "++++-|v##*x>..")


class Screen:
    """Writes to a stream, in colour if it is a terminal or FORCE_COLOR says so, unless NO_COLOR does (no-color.org)."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        wanted = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colours = not os.environ.get("NO_COLOR") and bool(wanted or os.environ.get("FORCE_COLOR"))
        self.is_live = self._colours and stream.isatty()
        self._unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"

    def style(self, text: str, *styles: str) -> str:
        """Text in the styles, or as it is where no colours are wanted."""
        if not self._colours or not text:
            return text
        return f"\x1b[{';'.join(STYLES[style] for style in styles)}m{text}\x1b[0m"

    def line(self, text: str = "") -> None:
        self.write(text + "\n")

    def write(self, text: str) -> None:
        self._stream.write(text if self._unicode else text.translate(_ASCII))
        self._stream.flush()

    def rule(self, title: str) -> None:
        self.line()
        self.line(self.style(title, "bold") + " " + self.style("─" * (WIDTH - len(title) - 1), "dim"))

    def box(self, title: str, lines: Sequence[str], width: int, *styles: str) -> list[str]:
        """The lines in a frame of this style, `width` columns wide altogether."""
        edge = self.style("│", *styles)
        top = self.style("╭─ ", *styles) + self.style(title, "bold", *(style for style in styles if style != "dim"))
        top += " " + self.style("─" * (width - len(title) - 5) + "╮", *styles)
        inner = [f"{edge} {pad(line, width - 4)} {edge}" for line in lines]
        return [top, *inner, self.style("╰" + "─" * (width - 2) + "╯", *styles)]

    def bar(self, value: float, full: float, width: int, *styles: str) -> str:
        """A bar of at most `width` columns, to half a column; what is not nothing shows."""
        halves = max(round(2 * width * value / full), 1) if value and full else 0
        return self.style("█" * (halves // 2) + "▌" * (halves % 2), *styles)


def visible(text: str) -> int:
    """The columns that a text takes."""
    return len(_ESCAPE.sub("", text))


def pad(text: str, width: int) -> str:
    return text + " " * (width - visible(text))


def beside(left: Sequence[str], right: Sequence[str], width: int, gap: int) -> list[str]:
    """Two columns; the left one is `width` wide."""
    return [pad(one, width) + " " * gap + other for one, other in zip_longest(left, right, fillvalue="")]
