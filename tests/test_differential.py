"""Exactly what systemd would run: random unit trees, in which systemd itself says what it makes of each unit.

`python3 -m differential` in this directory tries more of them, on any release, and makes what it finds small.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from differential import records
from differential.shrink import minimum
from differential.trial import Trial
from differential.worlds import SEARCH_PATH, World, sane_world, world, world_with_search_path
from kubens import names
from machine import Machine, lowers

# One for each release, so that a check sees several; the program tries more.
SEEDS = ("1", "6", "3", "4")


def test_units_are_read_and_wrapped_as_systemd_has_them(machine: Callable[..., Machine], lower: str) -> None:
    node = machine(lower)
    node.boot()
    trial = Trial(node)
    seed = SEEDS[lowers().index(lower) % len(SEEDS)]
    result = trial.run(world(seed))
    assert not result.mismatches, f"{seed=} " + trial.shrunk(world(seed), result.mismatches[0])
    assert len(result.wrapped) > 30


def test_units_of_another_search_path(machine: Callable[..., Machine], lower: str) -> None:
    """$SYSTEMD_UNIT_PATH of PID 1, which its generators inherit."""
    node = machine(lower, arguments=[f"--setenv=SYSTEMD_UNIT_PATH={SEARCH_PATH}"])
    node.boot()
    trial = Trial(node, SEARCH_PATH)
    tree = world_with_search_path("1")
    result = trial.run(tree)
    assert not result.mismatches, trial.shrunk(tree, result.mismatches[0])
    assert len(result.wrapped) > 30


def test_wrapped_units_run_with_the_same(machine: Callable[..., Machine], lower: str) -> None:
    """Arguments, argv[0], environment, directory, user, order and result; the mount namespace alone is another."""
    result = records.compare(machine(lower), sane_world("2"))
    assert not result.mismatches
    assert result.counts["run"] > 40
    assert result.counts["records"] > 60


def test_a_defect_is_found_and_made_small(machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    node = machine()
    node.boot()
    trial = Trial(node)
    monkeypatch.setattr(names, "dropin_names", lambda name: [name])
    small = world(SEEDS[0], 40)
    result = trial.run(small)
    mismatch = next(one for one in result.mismatches if one.what == "drop-ins")
    report = trial.shrunk(small, mismatch)
    assert report.startswith(str(mismatch)[:20])
    assert report.count("\n    /") <= 4


def test_a_tool_that_leaves_traces_is_seen(machine: Callable[..., Machine]) -> None:
    """Once all records agree, one who never disagrees would not be noticed."""
    node = machine()
    node.write("/usr/bin/env", '#!/bin/sh\ncd "$2"; shift 2; TRACE=1 exec "$@"\n', 0o755)
    units = {"bad.service": "WorkingDirectory=/tmp", "good.service": "WorkingDirectory=/"}
    text = "[Service]\nType=oneshot\nExecStart=/opt/kubens/record\n"
    tree = {f"/etc/systemd/system/{name}": f"{text}{setting}\n".encode() for name, setting in units.items()}
    result = records.compare(node, World(tree, {name: name for name in units}))
    assert [(one.unit, one.what) for one in result.mismatches] == [("bad.service", "environment when run")]


def test_worlds_are_reproducible() -> None:
    assert world("1", 20) == world("1", 20)
    assert world("1", 20) != world("2", 20)


@pytest.mark.parametrize("needed", [{3}, {0, 9}, {2, 3, 7}, set(range(10))])
def test_minimum_finds_what_is_needed(needed: set[int]) -> None:
    assert minimum(list(range(10)), lambda items: needed <= set(items)) == sorted(needed)
