"""Where in an app something may be mounted, and that nothing hides anything else. Pure."""

from __future__ import annotations

from kubens.pods.errors import ManifestError, PodError
from kubens.pods.escape import target


def located_target(path: str, where: str) -> str:
    """escape.target, with the JSON path in its refusal."""
    try:
        return target(path)
    except PodError as error:
        raise ManifestError(where, str(error)) from None


def overlap(places: list[tuple[str, str]]) -> ManifestError | None:
    """What is wrong with mounts at these paths, which come with their JSON paths."""
    placed = sorted(places, key=lambda place: place[0].split("/"))
    for (above, first), (below, second) in zip(placed, placed[1:]):
        if below == above or below.startswith(above.rstrip("/") + "/"):
            return ManifestError(second, f"{below} overlaps with {above} of {first}")
    return None
