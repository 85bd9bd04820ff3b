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


class Command:
    """One command of an Exec*= line.

    marks: the prefixes without "@", as they stand before the program, such as "-+" (of all that a release up to 262
    knows; "|" came with 258).
    program: the unquoted program, prefixes off, specifiers unexpanded. argv0: the raw text of the word that "@"
    made the process's name, else "". arguments: the raw text of all further words, "" where there are none.
    """

    __slots__ = ("arguments", "argv0", "file", "line", "marks", "program")

    def __init__(self, marks: str, program: str, argv0: str, arguments: str) -> None:
        self.marks = marks
        self.program = program
        self.argv0 = argv0
        self.arguments = arguments
        self.file = ""
        self.line = 0

    @property
    def expands_variables(self) -> bool:
        return ":" not in self.marks


def parse(value: str) -> tuple[list[Command], BadCommand | None]:
    """The commands of one assignment's (not empty) value, and what stops systemd from taking the rest of it."""
    mark, line = ("-", value[1:]) if value[0] == "-" else ("", value)
    if line[:1] == "/" and line.isprintable() and not ('"' in line or "'" in line or "\\" in line or ";" in line):
        # Nearly every line is one plain path and its arguments, in which there is nothing to unquote or to refuse.
        program, _, arguments = line.partition(" ")
        if program[-1] != "/":
            return [Command(mark, program, "", arguments.strip(" "))], None
    from kubens import commandline

    return commandline.parse(value)
