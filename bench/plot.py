"""The plot of a benchmark: how generators' time grows, and PID 1's CPU with and without a namespace. SVG."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

Rows = list[dict[str, Any]]

WIDTH, HEIGHT = 800, 340
TOP, BOTTOM = 60, 270
INK, GRID, COST, SAVED, TARGET = "#24292f", "#d0d7de", "#0969da", "#bf8700", "#8c959f"
PEER = "#57606a"
_EDGE = 'stroke="white" stroke-width="3" paint-order="stroke"'


def draw(generator: Rows, peers: Rows, pid1: Rows, conditions: str) -> str:
    """The text of an SVG file. peers: of generators, each of which `name` tells; ours is drawn from `generator`."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *growth(
            [row for row in generator if row["services"]], [row for row in peers if row["name"] != "kubens"], 60, 460
        ),
        *load(pid1, 600, 770),
        text(WIDTH / 2, HEIGHT - 10, conditions, "middle", TARGET),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def growth(rows: Rows, peers: Rows, left: float, right: float) -> list[str]:
    """Time in units of the bare interpreter over the number of services, both axes logarithmic."""
    services_max = max(row["services"] for row in rows)
    ratio_max = max([row["ratio"] for row in (*rows, *peers)] + [12])
    ratio_min = min([row["ratio"] for row in peers] + [1])

    def x(services: float) -> float:
        return left + (right - left) * math.log(services) / math.log(services_max)

    def y(ratio: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * math.log(ratio / ratio_min) / math.log(ratio_max / ratio_min)

    parts = [text(left, 28, "Generators: times the bare interpreter", "start", weight="bold")]
    for mark in (0.5, 1, 2, 5, 10, 20):
        if ratio_min <= mark <= ratio_max:
            parts.append(line([(left, y(mark)), (right, y(mark))], GRID))
            parts.append(text(left - 8, y(mark) + 4, f"{mark}", "end"))
    for services in (1, 10, 100, 1000):
        if services <= services_max:
            parts.append(text(x(services), BOTTOM + 18, f"{services}", "middle"))
    parts.append(text((left + right) / 2, BOTTOM + 36, "services, containers, mounts, jobs", "middle"))
    names = dict.fromkeys(row["name"] for row in peers)
    curves = {name: [(x(row["services"]), y(row["ratio"])) for row in peers if row["name"] == name] for name in names}
    above = 0.0
    for name, curve in sorted(curves.items(), key=lambda one: one[1][-1][1]):
        end, height = curve[-1]
        # Where curves end beside each other, a name comes below another.
        above = max(height, above + 16)
        parts += [line(curve, PEER), text(end + 6, above + 4, name, "start", PEER)]
    # The rest of them have other things than services as well.
    of_services = [row for row in rows if "," not in row["title"] or "drop-ins" in row["title"]]
    for row in of_services:
        if row.get("limit"):
            cx, cy = x(row["services"]), y(row["limit"])
            parts.append(line([(cx - 12, cy), (cx + 12, cy)], TARGET, 2))
    points = [(x(row["services"]), y(row["ratio"])) for row in of_services]
    parts.append(line(points, COST, 2))
    for (cx, cy), row in zip(points, of_services):
        parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="4" fill="{COST}"/>')
        parts.append(text(cx - 7, cy - 9, f"{row['ratio']:.2f}", "end", COST))
    parts.append(text(right, BOTTOM - 8, "grey bars: the goals", "end", TARGET))
    return parts


def load(rows: Rows, left: float, right: float) -> list[str]:
    """One bar each for a service outside and the same service inside."""
    largest = max(row["seconds"] for row in rows)
    step = (right - left) / len(rows)
    parts = [
        text(left - 20, 28, "PID 1's CPU, ms", "start", weight="bold"),
        text(left - 20, 44, "500 mounts, 300 remounts", "start", TARGET),
        line([(left - 20, BOTTOM), (right, BOTTOM)], GRID),
    ]
    for number, row in enumerate(rows):
        height = (BOTTOM - TOP - 30) * row["seconds"] / largest
        x = left + number * step
        colour = COST if number else SAVED
        parts.append(f'<rect x="{x:.1f}" y="{BOTTOM - height:.1f}" width="50" height="{height:.1f}" fill="{colour}"/>')
        parts.append(text(x + 25, BOTTOM - height - 6, f"{row['seconds'] * 1e3:.0f}", "middle", colour))
        parts.append(text(x + 25, BOTTOM + 18, row["title"], "middle"))
    return parts


def line(points: list[tuple[float, float]], colour: str, width: float = 1) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def text(x: float, y: float, content: str, anchor: str, colour: str = INK, weight: str = "normal") -> str:
    """With a white edge, so that a curve behind it does not strike it out."""
    position = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {position} fill="{colour}" font-weight="{weight}" {_EDGE}>{escape(content)}</text>'
