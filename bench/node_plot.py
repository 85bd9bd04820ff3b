"""The plot of `make bench-node`: what grows with the number of pods on the host, and does not in the namespace. SVG."""

from __future__ import annotations

from typing import Any

from plot import COST, GRID, INK, SAVED, TARGET, line, text

WIDTH, HEIGHT = 760, 300
TOP, BOTTOM = 66, 240
# The key of each panel's figure, its title, and what it is to be multiplied by.
PANELS = (
    ("start", "PID 1's CPU at start, ms", 1e3),
    ("churn", "PID 1's CPU at churn, ms", 1e3),
    ("reload", "daemon-reload, ms", 1e3),
)
DASHES = ("", "6 4", "2 3")


def draw(results: list[dict[str, Any]]) -> str:
    """The text of an SVG file."""
    versions = list(dict.fromkeys(result["systemd"] for result in results))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    step = WIDTH / len(PANELS)
    for number, (key, title, scale) in enumerate(PANELS):
        left = number * step + 50
        parts += panel(results, versions, key, title, scale, left, (number + 1) * step - 30)
    legend = ", ".join(f"systemd {version} {('solid', 'dashed', 'dotted')[n]}" for n, version in enumerate(versions))
    parts.append(text(WIDTH / 2, HEIGHT - 10, f"on the host brown, wrapped blue; {legend}", "middle", TARGET))
    return "\n".join([*parts, "</svg>"]) + "\n"


def panel(
    results: list[dict[str, Any]],
    versions: list[str],
    key: str,
    title: str,
    scale: float,
    left: float,
    right: float,
) -> list[str]:
    """One measurement over the number of pods, both axes linear and from zero."""
    pods_max = max(result["pods"] for result in results)
    largest = max(result[key] for result in results) * scale
    parts = [text(left - 30, 28, title, "start", weight="bold")]
    for fraction in (0.0, 0.5, 1.0):
        y = BOTTOM - (BOTTOM - TOP) * fraction
        parts.append(line([(left, y), (right, y)], GRID))
        parts.append(text(left - 6, y + 4, f"{largest * fraction:.0f}", "end"))
    for pods in sorted({result["pods"] for result in results}):
        parts.append(text(left + (right - left) * pods / pods_max, BOTTOM + 18, f"{pods}", "middle"))
    parts.append(text((left + right) / 2, BOTTOM + 34, "pods", "middle"))
    for number, version in enumerate(versions):
        for wrapped in (False, True):
            points = [
                (
                    left + (right - left) * result["pods"] / pods_max,
                    BOTTOM - (BOTTOM - TOP) * result[key] * scale / largest,
                )
                for result in results
                if (result["systemd"], result["wrapped"]) == (version, wrapped)
            ]
            drawn = line(points, COST if wrapped else SAVED, 2)
            parts.append(drawn.replace("/>", f' stroke-dasharray="{DASHES[number]}"/>') if number else drawn)
    return parts
