"""`make demo`: it shows what it says, as people like it and as pipes do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from machine import CHECKOUT


def run(*arguments: str, input: str | None = None, **variables: str) -> str:
    """What Python writes, with the variables and no others."""
    environment = {"PATH": os.environ["PATH"], "PYTHONUTF8": "1", "PYTHONPATH": str(CHECKOUT / "demo"), **variables}
    command = [sys.executable, "-B", *arguments]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, input=input, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    return done.stdout


@pytest.mark.needs("root", "namespaces", "nspawn")
def test_the_demonstration_and_its_picture() -> None:
    # It fails when it cannot show what is promised.
    coloured = run("demo/demo.py", FORCE_COLOR="1")
    plain = re.sub("\x1b\\[[0-9;]*m", "", coloured)
    assert coloured != plain
    assert "\x1b" not in plain
    assert max(len(line.rstrip()) for line in plain.splitlines()) <= 80
    assert plain.index("the host") < plain.index("new mounts come in") < plain.index("none gets out")
    counts = [int(count) for count in re.findall(r"█ (\d+)\n +after .* (\d+)", plain)[0]]
    assert counts[0] - counts[1] > 150
    words = "".join(ElementTree.fromstring(run("demo/picture.py", input=coloured)).itertext())
    assert all(word in words for word in ("containerd", "systemctl daemon-reload"))


@pytest.mark.needs("root", "namespaces", "nspawn")
def test_the_picture_of_the_status() -> None:
    shown = run("demo/status.py")
    assert re.search(r"docker\.service +wrap +\x1b\[\S+moutside", shown)
    picture = run("demo/picture.py", input=shown)
    words = "".join(ElementTree.fromstring(picture).itertext())
    assert all(word in words for word in ("kubensctl status", "containerd.service", "ve-blue1", "transmission"))
    assert picture.count("#8fce6a") > 5


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)],
)
def test_a_pipe_gets_colours_only_when_it_asks(variables: dict[str, str], coloured: bool) -> None:
    shown = run("-c", "from screen import Screen; print(Screen().style('word', 'green'))", **variables)
    assert ("\x1b" in shown) == coloured


def test_what_has_no_unicode_gets_ascii() -> None:
    script = "from screen import Screen; Screen().line('╭─ x ─╮')"
    assert run("-c", script, PYTHONIOENCODING="ascii") == "+- x -+\n"


def test_a_bar_of_something_is_never_empty() -> None:
    script = "from screen import Screen; bar = Screen().bar; print(bar(0, 9, 4), bar(1, 999, 4), bar(9, 9, 4), sep='|')"
    assert run("-c", script) == "|▌|████\n"
