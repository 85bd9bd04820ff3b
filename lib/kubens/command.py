"""Command lines of Exec*= settings: systemd.service(5), "COMMAND LINES", as src/core/load-fragment.c reads them.

A command is taken apart only as far as putting another program in front of it needs: the arguments stay the bytes
that somebody wrote, with their quotes, specifiers and variables.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.commandline import BadCommand

# What is no prefix up to 262, and begins no path; "$" and "%" begin what is expanded.
UNKNOWN_PREFIXES = frozenset("#&()*,;<=>?[]^`{}~")
# What is shorter is no longer than a name of a file can be, however many bytes each character has.
LONG = 64


class Command:
    """One command of an Exec*= line.

    marks: the prefixes without "@", as they stand before the program, such as "-+" (of all that a release up to 262
    knows; "|" came with 258).
    program: the unquoted program, prefixes off, specifiers unexpanded. argv0: the raw text of the word that "@"
    made the process's name, else "". arguments: the raw text of all further words, "" where there are none.
    plain: whether it is what nearly every command is: a path, and words without quotes and specifiers, of which nothing
    can be in doubt, and not nsenter(1), which enters by itself.
    """

    __slots__ = ("arguments", "argv0", "marks", "plain", "program")

    def __init__(self, marks: str, program: str, argv0: str, arguments: str, plain: bool = False) -> None:
        self.marks = marks
        self.program = program
        self.argv0 = argv0
        self.arguments = arguments
        self.plain = plain

    @property
    def expands_variables(self) -> bool:
        return ":" not in self.marks


# What so many values came to is remembered, for copies of a unit: those that come often come early.
_KNOWN_MAX = 64
_known: dict[str, list[Command]] = {}


def parse(value: str) -> tuple[list[Command], BadCommand | None]:
    """The commands of one assignment's (not empty) value, and what stops systemd from taking the rest of it."""
    known = _known.get(value)
    if known is not None:
        return known, None
    mark, text = ("-", value[1:]) if value[0] == "-" else ("", value)
    if text[:1] == "/" and text.isprintable() and not ('"' in text or "'" in text or "\\" in text or ";" in text):
        # Nearly every line is one path and its arguments, in which there is nothing to unquote or to refuse.
        program, _, arguments = text.partition(" ")
        if program[-1] != "/" and len(program) < LONG:
            plain = not ("%" in text or "$" in program or "=" in program or program.endswith((".", "/nsenter")))
            found = [Command(mark, program, "", arguments.strip(" "), plain)]
            if len(_known) < _KNOWN_MAX:
                _known[value] = found
            return found, None
    from kubens import commandline

    return commandline.parse(value)
