"""The one exception that ends a run with a plain message."""

from __future__ import annotations


class Failure(Exception):
    """What kubensctl was asked for cannot be done; the reason is for people, in one line, with the next step."""
