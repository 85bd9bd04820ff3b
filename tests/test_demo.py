"""`make demo`: it shows what it says, as people like it and as pipes do."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from machine import CHECKOUT

pytestmark = pytest.mark.needs("root", "namespaces", "nspawn")


def test_the_demonstration() -> None:
    environment = {**os.environ, "FORCE_COLOR": "1", "PYTHONUTF8": "1"}
    environment.pop("NO_COLOR", None)
    shown = _run("demo.py", environment=environment)
    _is_drawn(shown)
    plain = _without_colours(shown)
    assert all(len(line.rstrip()) <= 80 for line in plain.splitlines())
    # The members are in the second box on the right, the host keeps PID 1 and the shell.
    _, _, right = plain.partition("kubens ──────────────")
    assert [name for name in ("systemd", "a shell", "kubens ", "containerd") if name in right]
    assert "new mounts come in" in plain
    assert "none gets out" in plain


def test_colours_are_left_out_of_pipes_and_where_they_are_not_wanted() -> None:
    script = "from screen import Screen; print(Screen().style('word', 'green'))"
    for variables, coloured in (({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)):
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT / "demo"), **variables}
        command = [sys.executable, "-B", "-c", script]
        shown = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        assert ("\x1b" in shown) == coloured
