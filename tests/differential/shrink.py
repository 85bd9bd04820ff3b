"""Make a failing world small: delta debugging over its pieces, then over the lines of each piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from differential.worlds import World

T = TypeVar("T")


def shrink(world: World, fails: Callable[[World], bool]) -> World:
    """The smallest world found in which `fails` still holds. It holds for the given one."""

    def with_pieces(paths: list[str]) -> World:
        return world._replace(pieces={path: world.pieces[path] for path in paths})

    world = with_pieces(minimum(list(world.pieces), lambda paths: fails(with_pieces(paths))))
    for path, piece in world.pieces.items():
        if isinstance(piece, bytes):

            def with_lines(lines: list[bytes], path: str = path, world: World = world) -> World:
                return world._replace(pieces={**world.pieces, path: b"".join(lines)})

            lines = minimum(
                piece.splitlines(keepends=True),
                lambda lines, with_lines=with_lines: fails(with_lines(lines)),  # type: ignore[misc]
            )
            world = with_lines(lines)
    return world


def minimum(items: list[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """A part of the items for which `fails` holds, and for which it holds no more when one more is taken away."""
    size = len(items)
    while size:
        size = min(size, len(items))
        start = 0
        while start < len(items):
            left = items[:start] + items[start + size :]
            if fails(left):
                items = left
            else:
                start += size
        size //= 2
    return items
