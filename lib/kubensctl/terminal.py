"""What is written for people: colours as systemctl has them, columns, and nothing that could confuse a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

from kubens import finding

# The escape sequences of systemctl (src/basic/terminal-util.h).
RED, GREEN, YELLOW, GREY, BOLD, BLUE = "0;1;31", "0;1;32", "0;1;38;5;185", "0;38;5;245", "0;1;39", "0;1;34"
PLAIN = ""

# A piece of text and its colour.
Painted = tuple[str, str]


class Terminal:
    """An output stream; plain where it is piped, $NO_COLOR is set or the terminal is dumb."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_terminal = stream.isatty()
        dumb = os.environ.get("TERM", "dumb") == "dumb" or bool(os.environ.get("NO_COLOR"))
        self.is_coloured = self.is_terminal and not dumb

    @property
    def width(self) -> int:
        """Columns to fill; 0 where lines must stay whole, for they are piped."""
        return shutil.get_terminal_size().columns if self.is_terminal else 0

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.is_coloured and colour and text else text

    def line(self, text: str = "") -> None:
        self._stream.write(text + "\n")

    def write(self, text: str) -> None:
        self._stream.write(text)

    def wrapped(self, text: str, indent: int, first: str = "", colour: str = PLAIN) -> None:
        """A paragraph behind `first`, in lines of the terminal's width; one line where there is none."""
        if not self.width:
            self.line(first + self.paint(text, colour))
            return
        margin = " " * indent
        # Words that are longer than a line are paths and commands: people copy them whole.
        wrapped = textwrap.wrap(
            text,
            max(self.width, indent + 30),
            initial_indent=" " * len(first),
            subsequent_indent=margin,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines = "\n".join(wrapped)[len(first) :].split("\n")
        self.line(first + "\n".join(self.paint(line, colour) for line in lines))

    def table(self, rows: Sequence[Sequence[Painted]], indent: int = 0, fold: bool = False) -> None:
        """Rows of painted cells, two blanks apart. fold: a last cell that does not fit gets lines of its own."""
        widths = [max(len(row[column][0]) for row in rows) for column in range(len(rows[0]) - 1)]
        left = indent + sum(widths) + 2 * len(widths)
        for row in rows:
            cells = [self.paint(text, colour) + " " * (width - len(text))
                     for (text, colour), width in zip(row, widths)]  # fmt: skip
            text, colour = row[-1]
            fits = not (fold and self.width and text) or left + len(text) <= self.width
            self.line((" " * indent + "  ".join([*cells, self.paint(text, colour) if fits else ""])).rstrip())
            if not fits:
                margin = " " * (indent + 4)
                self.wrapped(text, len(margin), margin, colour)

    def flush(self) -> None:
        self._stream.flush()


class Progress:
    """What becomes of some units: redrawn in place on a terminal, else a line whenever something changes."""

    def __init__(self, out: Terminal, units: Sequence[str]) -> None:
        self._out = out
        self._units = units
        self._width = max(map(len, units), default=0)
        self._shown: dict[str, Painted] = {}

    def update(self, texts: Mapping[str, Painted]) -> None:
        if texts == self._shown:
            return
        redraw = self._out.is_coloured
        if redraw and self._shown:
            self._out.write(f"\x1b[{len(self._units)}A")
        for unit in self._units:
            text, colour = texts[unit]
            if redraw or texts[unit] != self._shown.get(unit):
                clear = "\x1b[K" if redraw else ""
                self._out.line(f"  {unit:{self._width}}  {self._out.paint(text, colour)}{clear}")
        self._shown = dict(texts)
        self._out.flush()


def standard_output() -> Terminal:
    return Terminal(sys.stdout)


def standard_error() -> Terminal:
    return Terminal(sys.stderr)


def printable(text: str) -> str:
    """The text with everything a terminal might obey, or cannot show, written as an escape."""
    return finding.printable(text.replace("\t", "    "))


def write(text: str, path: str | None) -> None:
    """Write a whole document to a file, or to standard output where none is given. Raises OSError."""
    if path is None:
        sys.stdout.write(text)
    else:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
