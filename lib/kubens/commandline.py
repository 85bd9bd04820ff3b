"""Takes apart a command line that is more than a path and plain arguments; command.parse() loads it for such.

As config_parse_exec() in src/core/load-fragment.c and extract_first_word() in src/basic/extract-word.c do it.
"""

from __future__ import annotations

from kubens.command import UNKNOWN_PREFIXES, Command
from kubens.syntax import BLANKS, UNSAFE

_BLANK_OR_END = ("", " ", "\t", "\n", "\r")
_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "s": " ",
}  # fmt: skip

# What makes a word more than its characters up to the next blank.
_SPECIAL = frozenset("\"'\\\t\n\r")


class BadCommand(ValueError):
    """systemd would not take the line. fatal: the unit does not load then; otherwise the line is dropped."""

    def __init__(self, reason: str, fatal: bool) -> None:
        super().__init__(reason)
        self.fatal = fatal


def parse(value: str) -> tuple[list[Command], BadCommand | None]:
    """As command.parse()."""
    commands: list[Command] = []
    position = 0
    try:
        while position < len(value):
            command, position = _one(value, position)
            if command is not None:
                commands.append(command)
    except BadCommand as bad:
        return commands, bad
    return commands, None


def _one(value: str, start: int) -> tuple[Command | None, int]:
    position = _skip_blanks(value, start)
    if position == len(value):
        return None, position
    try:
        first, position = _next_word(value, position)
    except ValueError:
        # In the program: systemd drops the line, and the unit goes on.
        raise BadCommand("unbalanced quotes", fatal=False) from None
    position = _skip_blanks(value, position)
    if first == ";":
        return None, position
    marks, named, program = _take_marks(first)
    if "|" in marks:
        # A release that knows it checks nothing here, one that does not checks something else; see execs.untold().
        return Command(marks, program, "", value[position:]), len(value)
    ignore = "-" in marks
    if not program:
        raise BadCommand("no program after the prefixes", fatal=not ignore)
    if not UNSAFE.isdisjoint(program):
        raise BadCommand(f"special characters in the program {program!r}", fatal=not ignore)
    if program.endswith("/"):
        raise BadCommand(f"the program {program!r} is a directory", fatal=not ignore)
    if program[0] in UNKNOWN_PREFIXES and "/" in program:
        # Any may be a prefix one day; see execs.untold().
        return Command(marks, program, "", value[position:]), len(value)
    # What a specifier brings is not known; what stands before it is.
    if not program.startswith("/") and ("/" in program.partition("%")[0] or program in (".", "..")):
        raise BadCommand(f"the program {program!r} is neither absolute nor a plain name", fatal=not ignore)
    argv0 = ""
    begin = end = position
    while position < len(value):
        if value[position] == ";" and value[position + 1 : position + 2] in _BLANK_OR_END:
            position = _skip_blanks(value, position + 1)
            break
        word = position
        if value.startswith("\\;", position) and value[position + 2 : position + 3] in _BLANK_OR_END:
            end = position + 2
        else:
            try:
                _, end = _next_word(value, position)
            except ValueError:
                raise BadCommand("unbalanced quotes", fatal=not ignore) from None
        position = _skip_blanks(value, end)
        if named and not argv0:
            argv0 = value[word:end]
            begin = end = position
    if named and not argv0:
        raise BadCommand("no argv[0] after @", fatal=not ignore)
    return Command(marks, program, argv0, value[begin:end]), position


def _take_marks(word: str) -> tuple[str, bool, str]:
    """Prefixes without "@", whether "@" was among them, what is left. Each counts once ("!" twice), in any order."""
    marks = ""
    named = False
    for position, mark in enumerate(word):
        if mark == "@" and not named:
            named = True
        elif (
            (mark in "-:|" and mark not in marks)
            or (mark == "+" and "+" not in marks and "!" not in marks)
            or (mark == "!" and "+" not in marks and marks.count("!") < 2)
        ):
            marks += mark
        else:
            return marks, named, word[position:]
    return marks, named, ""


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in BLANKS:
        position += 1
    return position


def _next_word(text: str, position: int) -> tuple[str, int]:
    """The word that begins here (not at a blank), unquoted, and the position behind it. Raises ValueError: unbalanced.

    As extract_first_word(EXTRACT_UNQUOTE|EXTRACT_CUNESCAPE) and, where that fails, once more with
    EXTRACT_UNESCAPE_RELAX, which leaves an escape that is none as it stands.
    """
    end = text.find(" ", position)
    if end < 0:
        end = len(text)
    # Nearly every word is plain.
    if _SPECIAL.isdisjoint(text[position:end]):
        return text[position:end], end
    end = position
    word = [text[position:end]]
    position = end
    quote = ""
    while position < len(text):
        c = text[position]
        if c == "\\":
            plain, position = _unescape(text, position + 1)
            word.append(plain)
            continue
        if quote:
            if c == quote:
                quote = ""
            else:
                word.append(c)
        elif c in "\"'":
            quote = c
        elif c in BLANKS:
            break
        else:
            word.append(c)
        position += 1
    if quote:
        raise ValueError("unbalanced quotes")
    return "".join(word), position


def _unescape(text: str, position: int) -> tuple[str, int]:
    """What stands for a backslash and what follows it, C style (cunescape_one), and the position behind that."""
    c = text[position : position + 1]
    if c in _ESCAPES:
        return _ESCAPES[c], position + 1
    for mark, digits, allowed, base, largest in _NUMBERS:
        if mark and c != mark:
            continue
        begin = position + len(mark)
        number = text[begin : begin + digits]
        if len(number) < digits or not allowed.issuperset(number):
            continue
        code = int(number, base)
        if not 0 < code <= largest or 0xD800 <= code <= 0xDFFF:
            continue
        if digits < 4 and code > 0x7F:
            # A byte, perhaps one of several that make a character.
            return bytes((code,)).decode("utf-8", "surrogateescape"), begin + digits
        return chr(code), begin + digits
    # No escape: backslash and character stay as they are.
    return "\\" + c, position + len(c)


_HEX = frozenset("0123456789abcdefABCDEF")
_NUMBERS = (
    ("x", 2, _HEX, 16, 0xFF),
    ("u", 4, _HEX, 16, 0xFFFF),
    ("U", 8, _HEX, 16, 0x10FFFF),
    ("", 3, frozenset("01234567"), 8, 0xFF),
)
