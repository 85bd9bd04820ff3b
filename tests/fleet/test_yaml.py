"""The YAML that we write is what PyYAML reads."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubensctl.formats import yaml_text

_CHARACTERS = st.characters(blacklist_categories=("Cs",), blacklist_characters="\x85\u2028\u2029\ufeff")
_TEXTS = st.one_of(
    st.text(_CHARACTERS),
    st.text("ab: #-\n\t'\"|>%{}[]&*!,?\\~0179eE.x"),
    st.sampled_from(("", "yes", "No", "null", "~", "1.3.0", "012", "1e3", "- a", "a: b", "a #b", "@a", "|", "a\n",
                     "a\nb\n\n", " a\nb", "a\n b\n", "a\n\n\nb", "2026-11-25", "=", "<<", "0x1F", "1:30", "/a b")),
)  # fmt: skip
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), _TEXTS)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.one_of(st.lists(inner), st.dictionaries(_TEXTS, inner)), max_leaves=20
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.one_of(st.lists(_VALUES, min_size=1), st.dictionaries(_TEXTS, _VALUES, min_size=1)))
def test_round_trip(value: Any) -> None:
    assert yaml.safe_load(yaml_text.document(value)) == value


def test_texts_stand_as_they_are() -> None:
    assert yaml_text.document({"a": [{"b": "one\n\n two\n", "c": True}, "x"], "d": {}, "e": "1.0"}) == (
        'a:\n  - b: |\n      one\n\n       two\n    c: true\n  - x\nd: {}\ne: "1.0"\n'
    )
