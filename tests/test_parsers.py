"""The parsers of unit files and command lines: what was written is what is read, whatever stands there."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubens import command, escape, syntax

# What has a meaning somewhere, more often than chance would have it.
TOKENS = st.sampled_from(
    ("\\", "\\\n", "\n", "\r\n", "\r", "\0", "\t", " ", ";", " ; ", "\\;", "#", "%", "%%", "%i", "$", "${A}", '"', "'")
    + ("=", "[", "]", "[Service]\n", "ExecStart=", "@", "-", "+", "!", ":", "|", "/", "/bin/true", "\udcff", "\u2028")
    + ("\\x41", "\\x", "\\u00e9", "\\ud800", "\\U00110000", "\\101", "\\400", "\\s", "\\q", "\ufeff", "\ufdd0", "é")
)
TEXTS = st.lists(TOKENS | st.text(max_size=3), max_size=40).map("".join)
# A value as the parser of unit files hands it on: not empty.
LINES: st.SearchStrategy[str] = TEXTS.map(lambda text: text.strip(syntax.BLANKS)).filter(bool)

KEYS = st.text("ABCdef", min_size=1, max_size=8)
_LETTERS = "abcXYZ089 -_/.:=%$\"'@+!|é€[]"
VALUES = st.text(_LETTERS, max_size=20).map(str.strip)
NAMES = st.sampled_from(("Unit", "Service", "Install", "X-Mine"))
FILES = st.lists(st.tuples(NAMES, st.lists(st.tuples(KEYS, VALUES), max_size=5)), max_size=4)
BLANKS = st.text(" \t", max_size=3)
# What may stand between the lines of a value without being part of it.
COMMENTS = st.sampled_from(("", "# comment\n", "; comment\n", "  # comment \\\n", "#\n;\n"))


@given(TEXTS)
def test_any_text_is_a_unit_file(text: str) -> None:
    parsed = syntax.parse(text)
    lines = len(text.replace("\0", "\n").replace("\r", "\n").split("\n"))
    numbers = [number for _, _, assignments in parsed.sections for _, _, number in assignments]
    assert all(1 <= number <= lines for number in numbers + [number for number, _ in parsed.problems])
    for _, _, assignments in parsed.sections:
        for key, value, _ in assignments:
            assert key
            assert not {"\n", "\r", "\0"} & {*key, *value}


@given(FILES, st.data())
def test_what_is_written_is_read(file: list[tuple[str, list[tuple[str, str]]]], data: st.DataObject) -> None:
    """However it is indented, continued, commented, and whatever its lines end with."""
    text = ""
    for name, settings in file:
        text += f"{data.draw(BLANKS)}[{name}]{data.draw(BLANKS)}\n{data.draw(COMMENTS)}"
        for key, value in settings:
            blanks = [data.draw(BLANKS) for _ in range(4)]
            text += f"{blanks[0]}{key}{blanks[1]}={blanks[2]}{_continued(value, data)}{blanks[3]}\n"
    text = text.replace("\n", data.draw(st.sampled_from(("\n", "\r\n"))))
    if data.draw(st.booleans()):
        text = text.rstrip("\r\n")
    parsed = syntax.parse(text)
    found = [(name, [(key, value) for key, value, _ in assignments]) for name, _, assignments in parsed.sections]
    assert found == file
    assert not parsed.problems
    assert parsed.broken is None


def _continued(value: str, data: st.DataObject) -> str:
    """The value with one of its blanks written as the end of a line."""
    blanks = [place for place, c in enumerate(value) if c == " "]
    if not blanks or not data.draw(st.booleans()):
        return value
    place = data.draw(st.sampled_from(blanks))
    # A line that begins like a comment would be one.
    if value[place + 1 : place + 2] in ("#", ";"):
        return value
    return f"{value[:place]}\\\n{data.draw(COMMENTS)}{value[place + 1 :]}"


MARKS = st.permutations(["-", "@", ":", "+"]).flatmap(lambda marks: st.integers(0, 4).map(lambda n: "".join(marks[:n])))
PROGRAMS = st.text("abc/.;=# é%$", max_size=8).map(lambda text: f"/{text}".rstrip("/. ") or "/x")
RAW_WORDS = st.text("abc%$\\\"' ;", max_size=8).map(escape.raw_word) | st.sampled_from(
    ("a", "\\;", "'single \\' quoted'", '"a;b"', "x;", ";x", "$FOO", "${FOO}", "%n", "\\x41", "é", '""', "a'b c'd")
)


@given(LINES)
def test_any_text_is_a_command_line(text: str) -> None:
    commands, bad = command.parse(text)
    for one in commands:
        assert "|" in one.marks or (one.program and not one.program.endswith("/"))
        assert {*one.marks} <= {*"-:|+!"}
        assert one.arguments in text
        assert one.argv0 in text
    assert bad is None or str(bad)


@given(st.lists(st.tuples(MARKS, PROGRAMS, st.lists(RAW_WORDS, max_size=5)), min_size=1, max_size=3), st.booleans())
def test_commands_are_read_as_written(written: list[tuple[str, str, list[str]]], quoted: bool) -> None:
    """With the marks inside the quotes or before them."""
    line, expected = [], []
    for marks, program, words in written:
        words = ["argv0", *words] if "@" in marks else words
        first = escape.raw_word(marks + program) if quoted else marks + escape.raw_word(program)
        line.append(" ".join([first, *words]))
        named, arguments = ("argv0", words[1:]) if "@" in marks else ("", words)
        expected.append((marks.replace("@", ""), program, named, " ".join(arguments)))
    commands, bad = command.parse("  ;\t".join(line))
    assert bad is None
    assert [(one.marks, one.program, one.argv0, one.arguments) for one in commands] == expected


@given(LINES)
def test_a_command_written_again_is_the_same(text: str) -> None:
    """Which wrapping relies on: the raw text of arguments means the same behind another program."""
    for one in command.parse(text)[0]:
        # A file with a line that is no UTF-8 does not load, and what runs through a shell is refused as a whole.
        if "|" in one.marks or any("\ud800" <= c <= "\udfff" for c in text):
            continue
        words = ["/usr/bin/nsenter", escape.raw_word(one.program), *filter(None, (one.argv0, one.arguments))]
        [again], bad = command.parse(one.marks + " ".join(words))
        assert bad is None
        assert again.marks == one.marks
        assert again.arguments == " ".join(words[1:])


@pytest.mark.parametrize("unit", ["A=b\n", "[S]\n", "A=\\\n", "\\\n#\n", "x\n", "\udcff\n", "\r", "\\\\\\\n"])
def test_unit_files_are_read_in_linear_time(unit: str) -> None:
    _is_linear(lambda count: syntax.parse("[Service]\n" + unit * count))


@pytest.mark.parametrize("unit", ["a ", "; ", "/a ; ", '"a b" ', "\\x41", "\\;  ", "'", "\\", "-", "@", "%i", "\t"])
def test_command_lines_are_read_in_linear_time(unit: str) -> None:
    _is_linear(lambda count: command.parse("/bin/true " + unit * count))
    _is_linear(lambda count: command.parse(unit * count))


def _is_linear(parse: Callable[[int], object]) -> None:
    """Four times the input takes about four times the steps; time itself would depend on what else runs."""
    few, many = _steps(lambda: parse(200)), _steps(lambda: parse(800))
    assert many <= 5 * few + 500


def _steps(call: Callable[[], object]) -> int:
    """How many lines of Python run."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
