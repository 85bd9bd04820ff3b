"""`make bench`: what it says is what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

import measure
import node_cost
import node_plot
import plot
from machine import CHECKOUT


def taking(seconds: list[float]) -> Callable[[], float]:
    left = iter(seconds)
    return lambda: next(left)


def test_a_busy_moment_does_not_count() -> None:
    # Both are ten times slower for a while; one takes twice as long as the other all the time.
    assert measure.paired(taking([2, 20, 20, 20, 2]), taking([1, 10, 10, 10, 1]), 5) == (20, 10, 2)


def test_the_two_of_a_pair_take_turns_in_being_first() -> None:
    order: list[str] = []

    def run(name: str) -> Callable[[], float]:
        return lambda: float(not order.append(name))  # type: ignore[func-returns-value]

    measure.paired(run("one"), run("other"), 3)
    assert order == ["one", "other", "other", "one", "one", "other"]


def test_a_command_that_fails_is_not_measured() -> None:
    assert measure.seconds(("/bin/sh", "-c", 'test "$given" = yes'), given="yes") > 0
    with pytest.raises(subprocess.CalledProcessError):
        measure.seconds(("/bin/sh", "-c", 'test "$given" = yes'))


def test_what_valgrind_and_time_do_not_count_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert measure.instructions(("/bin/true",)) is None


@pytest.mark.needs("root", "namespaces")
def test_the_generator_is_measured_and_this_computer_left_alone(tmp_path: Path) -> None:
    before = set(Path("/etc").rglob("*kubens*"))
    # Counting instructions takes longer than all the rest.
    script = 'tool=$(command -v valgrind) && mount --bind /dev/null "$tool"; exec "$@" bench/generator.py "$0" 0.01'
    command = ["sh", "-c", script, str(tmp_path), sys.executable, "-B"]
    unshare = ["unshare", "--mount", "--propagation=private", *command]
    run = subprocess.run(unshare, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE)
    rows = json.loads(run.stdout)
    assert [row["services"] for row in rows] == [0, 0, 2, 3, 6, 7, 10, 100]
    assert rows[0]["ratio"] < rows[-1]["ratio"]
    assert list(tmp_path.iterdir()) == []
    assert set(Path("/etc").rglob("*kubens*")) == before


def test_the_plot_shows_every_number() -> None:
    counts = ((0, 1.0), (2, 1.15), (10, 1.25), (1000, 9.5))
    generator = [{"title": f"{count} Wrap", "services": count, "ratio": ratio} for count, ratio in counts]
    peers = [{"name": "other", "services": count, "ratio": count / 100} for count in (50, 500)]
    pid1 = [{"title": "not declared", "seconds": 0.105}, {"title": "wrapped", "seconds": 0.009}]
    drawn = "".join(ElementTree.fromstring(plot.draw(generator, peers, pid1, "here & now")).itertext())
    assert all(word in drawn for word in ("1.15", "1.25", "9.50", "other", "105", "9", "here & now"))


def test_the_node_s_table_and_plot_show_every_number() -> None:
    sides = [(False, 3.6), (True, 0.014)]
    results: list[node_cost.Result] = [
        {"systemd": version, "pods": pods, "wrapped": wrapped, **dict.fromkeys(node_cost.FIGURES, seconds)}
        for version in ("252", "262")
        for pods in (10, 400)
        for wrapped, seconds in sides
    ]
    table = node_cost.table(results)
    assert "| systemd 252, 10 pods | systemd 252, 400 pods | systemd 262, 10 pods | systemd 262, 400 pods |" in table
    assert table.count("3600 → 14.0") == 4 * sum(scale == 1e3 for _, _, scale in node_cost.FIGURES.values())
    assert len(ElementTree.fromstring(node_plot.draw(results)).findall(".//{*}polyline[@stroke-width='2']")) == 12
