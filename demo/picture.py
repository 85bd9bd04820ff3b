"""Turns what a terminal would show into a picture: coloured text on standard input, SVG on standard output.

Fonts differ in how they draw frames and bars, so these are drawn as lines; of the words, the width is set.
"""

from __future__ import annotations

import re
import sys
from xml.sax.saxutils import escape

from screen import STYLES, WIDTH

CELL, ROW, MARGIN = 8.4, 18.0, 20.0  # pixels
FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
BACKGROUND, FOREGROUND = "#14181f", "#d5dae3"
COLOURS = {"red": "#f07178", "green": "#8fce6a", "yellow": "#e9b354", "cyan": "#6cc7d6"}
DIM = "#737d8c"

# From the middle of the cell to these of its edges: (columns, rows).
_LEFT, _RIGHT, _UP, _DOWN = (-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)
CORNERS = {
    "│": (_UP, _DOWN),
    "╭": (_RIGHT, _DOWN),
    "╮": (_LEFT, _DOWN),
    "╰": (_RIGHT, _UP),
    "╯": (_LEFT, _UP),
}
BARS = {"█": 1.0, "▌": 0.5}

# systemctl's colours, which are kubensctl's, come first: they are longer.
_CODES = {"38;5;185": "yellow", "38;5;245": "dim", **{code: name for name, code in STYLES.items()}}
_CODE = re.compile("|".join(_CODES))
_SEQUENCE = re.compile("\x1b\\[([0-9;]*)m")
# Frames, bars, words: each kind is drawn in its own way.
_RUN = re.compile(f"─+|[{''.join(CORNERS)}]|[{''.join(BARS)}]+|[^─{''.join(CORNERS)}{''.join(BARS)}]+")


def main() -> None:
    # What a line that is written over says first is seen by nobody.
    rows = [line.rpartition("\r")[2] for line in sys.stdin.read().strip("\n").split("\n")]
    width, height = WIDTH * CELL + 2 * MARGIN, len(rows) * ROW + 2 * MARGIN
    print(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="{FONT}" font-size="14">'
    )
    print(f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>')
    for number, row in enumerate(rows):
        draw_row(row, MARGIN + number * ROW)
    print("</svg>")


def draw_row(row: str, top: float) -> None:
    styles: list[str] = []
    column = 0
    # Text and, at every other place, the codes that change its style.
    for index, part in enumerate(_SEQUENCE.split(row)):
        if index % 2:
            styles = [_CODES[code] for code in _CODE.findall(part)]
            continue
        for run in _RUN.findall(part):
            draw_run(run, MARGIN + column * CELL, top, styles)
            column += len(run)


def draw_run(run: str, left: float, top: float, styles: list[str]) -> None:
    colour = next((COLOURS[style] for style in styles if style in COLOURS), DIM if "dim" in styles else FOREGROUND)
    x, y = left + CELL / 2, top + ROW / 2
    if run[0] == "─":
        print(f'<path d="M{left:.1f} {y:.1f}h{len(run) * CELL:.1f}" stroke="{colour}"/>')
    elif run in CORNERS:
        (c1, r1), (c2, r2) = CORNERS[run]
        path = f"M{x + c1 * CELL:.1f} {y + r1 * ROW:.1f}Q{x:.1f} {y:.1f} {x + c2 * CELL:.1f} {y + r2 * ROW:.1f}"
        print(f'<path d="{path}" stroke="{colour}" fill="none"/>')
    elif run[0] in BARS:
        width = sum(BARS[block] for block in run) * CELL
        print(f'<rect x="{left:.1f}" y="{top + 3:.1f}" width="{width:.1f}" height="{ROW - 6:.1f}" fill="{colour}"/>')
    elif run.strip():
        words = run.lstrip()
        left += (len(run) - len(words)) * CELL
        words = words.rstrip()
        weight = ' font-weight="bold"' if "bold" in styles else ""
        print(
            f'<text x="{left:.1f}" y="{top + 13:.1f}" textLength="{len(words) * CELL:.1f}" '
            f'fill="{colour}"{weight} xml:space="preserve">{escape(words)}</text>'
        )


if __name__ == "__main__":
    main()
