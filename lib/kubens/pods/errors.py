"""What is refused, and where it is written."""

from __future__ import annotations


class PodError(ValueError):
    """The pod cannot become units or arguments; the text says why and what to do."""


class ManifestError(PodError):
    """A manifest is refused.

    path is where the fault is, as a JSONPath of RFC 9535: `$.apps[0].name`. `$` is the whole document. line: where it
    is known already, or 0.
    """

    def __init__(self, path: str, reason: str, line: int = 0) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
        self.line = line
