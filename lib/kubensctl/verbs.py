"""The verbs of the command line. Each module declares its own, with the examples that --help teaches by."""

from __future__ import annotations

import argparse
from collections.abc import Callable

# What a verb does; the exit status. It may raise Failure.
Run = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """Keeps the line breaks of examples, and takes no abbreviations: scripts would come to depend on them."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)  # type: ignore[arg-type]


class Verbs:
    """The verbs of a program, or of a group such as `kubensctl netns`. Modules add to it in `declare(verbs)`."""

    def __init__(self, parser: Parser) -> None:
        self._actions = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def add(self, name: str, summary: str, examples: str, run: Run) -> Parser:
        """A verb, which is to be given its arguments. summary: begins with a small letter, ends without a stop.

        examples: complete command lines, each behind two blanks; a paragraph below them may say more.
        """
        verb = self._parser(name, summary, f"examples:\n{examples}")
        verb.set_defaults(run=run, verb=name)
        return verb

    def group(self, name: str, summary: str) -> Verbs:
        """Verbs behind this name."""
        return Verbs(self._parser(name, summary, f"What a verb does: kubensctl {name} VERB --help."))

    def _parser(self, name: str, summary: str, epilog: str) -> Parser:
        description = summary[0].upper() + summary[1:] + "."
        return self._actions.add_parser(name, help=summary, description=description, epilog=epilog)


def add_root(verb: Parser, summary: str = "look at the machine below DIR") -> None:
    verb.add_argument("--root", metavar="DIR", default="", help=summary)


def add_json(verb: Parser) -> None:
    verb.add_argument("--json", action="store_true", help="write JSON, for programs")
