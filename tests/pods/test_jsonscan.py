"""The scanner takes what json takes, and nothing else: json itself is asked for each text."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from kubens.pods import jsonscan
from kubens.pods.jsonscan import Number, Pairs

# What the scanner leaves to json, which takes it.
LEFT = ["7", "-0", "0.5e-3", "[NaN]", "[-Infinity]"]
RIGHT = [
    '"text"', '""', '"Grüße, \u200b\x7f\U0001f600"', r'"\"\\\/\b\f\n\r\t"', r'"a\u0026\u00E4\u0000z"', r'"\\"',
    r'"\ud83d\ude00"', r'"\ud800"', r'"\ud800\ud800\udc00\udc00"', r'"\ud800\u0041"', "true", "false", "null", "[]",
    "{}", "[0,-0,7,-12,0.5,1e3,1E+3,-2.50e-10]", '{"a":{"b":[1,{"c":null}]},"a":2}',
    ' \t\r\n{ "a" \n:\t1 , "b":[ true ,\rfalse ] } \n', '{"":""}', '["\u2028"]', "[" * 40 + "]" * 40,
]  # fmt: skip
WRONG = [
    "", " ", "{", "[", '"', "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1]]", "[1]x", r'"\ud800\u00"', "{1:2}", '{"a"}',
    '{"a":}', '{"a":1,}', '{"a" 1}', "{,}", "{]", "[}", "[01]", "[-]", "[-01]", "[.5]", "[1.]", "[1.e3]", "[1e]",
    "[1e+]", "[+1]", "[--1]", "[1-2]", "[1.2.3]", "[1e2e3]", "[0x1]", "[1_0]", "[\u0661]", "[1\u0662]", "[nulL]",
    "[True]", "[nul]", "[truex]", '["a\nb"]', '["\x00"]', '["\x1f\u00e4"]', r'["\x"]', r'["\u12"]', r'["\u12g4"]',
    r'["\u+123"]', r'["\u 123"]', r'["\u1_23"]', r'["\"]', "['a']", "[1]\xa0", "\ufeff[1]", '["a"', r'["a\"', "// [1]",
    '{"a":1 "b":2}',
]  # fmt: skip


def by_json(text: str) -> tuple[object] | None:
    try:
        return (json.loads(text, object_pairs_hook=Pairs, parse_int=Number, parse_float=Number),)
    except json.JSONDecodeError:
        return None


def exactly(value: object) -> str:
    """Types and all."""
    if isinstance(value, list):
        return f"{type(value).__name__}({', '.join(map(exactly, value))})"
    if isinstance(value, tuple):
        return f"({', '.join(map(exactly, value))})"
    return f"{type(value).__name__} {value!r}"


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right_is_as_json_has_it(text: str) -> None:
    assert exactly(jsonscan.document(text)) == exactly(by_json(text))


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_left_to_json(text: str) -> None:
    assert by_json(text) is None
    assert jsonscan.document(text) is None


@pytest.mark.parametrize("text", LEFT)
def test_so_is_what_manifests_do_not_have(text: str) -> None:
    assert jsonscan.document(text) is None


def test_a_text_that_is_nested_without_end() -> None:
    with pytest.raises(RecursionError):
        jsonscan.document("[" * 100_000)


def test_whatever_becomes_of_a_manifest() -> None:
    """Characters are taken out, doubled and replaced; where the scanner has an answer, json has the same."""
    pod = (Path(__file__).parent / "pod.json").read_text()
    texts = [pod, json.dumps(json.loads(pod), separators=(",", ":")), *RIGHT, *WRONG, *LEFT]
    rng = random.Random(8259)
    taken = 0
    for _ in range(8000):
        text = rng.choice(texts)
        for _ in range(rng.randrange(1, 3)):
            at = rng.randrange(len(text) + 1)
            with_what = rng.choice(["", *'{}[]",:\\u0e.-+t \n\x01ü', "\\u00e9", "null", text[at : at + 5] * 2])
            text = text[:at] + with_what + text[at + rng.randrange(3) :]
        found = jsonscan.document(text)
        if found is not None:
            taken += 1
            assert exactly(found) == exactly(by_json(text)), text
    assert taken > 400


@pytest.mark.parametrize("escape", [r"\n", r"\"", r"\u00e9"])
def test_a_string_of_escapes_costs_its_length(escape: str) -> None:
    """And not the square of that: characters are counted that it looks through for a quote or a backslash."""
    steps = 0

    class Counted(str):
        def find(self, *arguments: Any) -> int:
            nonlocal steps
            found = super().find(*arguments)
            steps += (found if found >= 0 else arguments[2]) - arguments[1]
            return found

        def index(self, *arguments: Any) -> int:
            nonlocal steps
            found = super().index(*arguments)
            steps += found - arguments[1]
            return found

    text = Counted(f'["{escape * 5000}"]')
    assert jsonscan.document(text) == ([json.loads(f'"{escape}"') * 5000],)
    assert steps <= 3 * len(text)
