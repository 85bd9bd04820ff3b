"""The two loggers of stage1, both on stderr: what everybody must see, and chatter."""

from __future__ import annotations

import sys

PREFIX = "stage1: "


class Logger:
    """Prints lines with stage1's prefix. debug: errors are printed with their whole chain of causes."""

    __slots__ = ("debug", "discard")

    def __init__(self) -> None:
        self.debug = False
        self.discard = False

    def print(self, message: str) -> None:
        if not self.discard:
            print(PREFIX + message, file=sys.stderr)

    def error(self, message: str, error: BaseException) -> None:
        """Print message with the innermost cause of error; in debug mode with every cause, one a line."""
        causes = [error]
        while causes[-1].__cause__ is not None:
            causes.append(causes[-1].__cause__)
        if not self.debug:
            self.print(f"{message}: {causes[-1]}")
            return
        self.print(f"{message}:")
        for depth, cause in enumerate(causes, 1):
            self.print("  " * depth + str(cause))


log = Logger()
diag = Logger()


def init_debug(debug: bool) -> None:
    """Set up both loggers. Before the first call, diag prints."""
    log.debug = diag.debug = debug
    diag.discard = not debug
