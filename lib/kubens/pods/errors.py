"""What is refused, and where it is written."""

from __future__ import annotations


class PodError(ValueError):
    """The pod cannot become units or arguments; the text says why and what to do."""


class ManifestError(PodError):
    """A manifest is refused.

    path is where the fault is, as a JSONPath of RFC 9535: `$.apps[0].name`. `$` is the whole document.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
