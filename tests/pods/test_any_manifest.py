"""Whatever stands in a manifest: a pod or a refusal, never a crash, and never a line that was not meant."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubens.finding import ERROR
from kubens.pods.errors import ManifestError
from kubens.pods.hostread import read
from kubens.pods.hostunits import units_of
from kubens.render import TOOLS

from .test_generated import KUBERNETES

EXAMPLES = {"appc": json.loads((Path(__file__).parent / "pod.json").read_text()), "kubernetes": KUBERNETES}
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e400, 2**64, "", " ", "0", "-1", "1e9", "9" * 30, "Mi", "\n", "a\nb=c\n[Service]",
    "%h", "$X", "\\", "/", "//", "/..", "../x", "/proc", "/dev/shm", "/run/x y", "a" * 300, "é", "\u200b", "\ufffe",
    [], {}, [[]], [{}], {"": ""}, ["a"], [None], {"a\nb": 1},
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, but the whole of it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in ((*path, key), *places(inner, (*path, key)))]


def changed(document: Any, changes: list[tuple[tuple[Any, ...], Any]]) -> Any:
    result = copy.deepcopy(document)
    for path, value in changes:
        inner = result
        try:
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # what was there has been changed already
    return result


@pytest.mark.parametrize("form", EXAMPLES)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_anywhere(form: str, data: st.DataObject) -> None:
    example = EXAMPLES[form]
    one = st.tuples(st.sampled_from(places(example)), st.sampled_from(ODD) | st.text(max_size=20))
    text = json.dumps(changed(example, data.draw(st.lists(one, min_size=1, max_size=3))))
    pod, made = read("shop", "/etc/kubens/pods/shop.json", text)
    assert made != any(finding.severity == ERROR for finding in pod.findings)
    for finding in pod.findings:
        assert finding.reason.startswith("$") and "\n" not in str(finding)
    if not made:
        return
    try:
        units = units_of(pod, TOOLS)
    except ManifestError as error:
        assert error.path.startswith("$")
        return
    assert len({unit.name for unit in units}) == len(units)
    for unit in units:
        sections = {section for section, _, _ in unit.settings}
        assert len(unit.serialize()[:-1].split("\n")) == len(unit.settings) + 2 * len(sections) - 1, unit.name
        assert sections <= {"Unit", "Service", "Socket", "Mount", "Slice"}
