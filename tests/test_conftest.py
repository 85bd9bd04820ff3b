"""The rule for tests that cannot run here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from machine import CHECKOUT

TESTS = """
import pytest

@pytest.mark.needs("no-such-program", "sh", "no-such-program")
def test_that_cannot_run():
    raise AssertionError

@pytest.mark.needs("sh")
def test_that_can_run():
    pass

@pytest.mark.xfail
def test_that_is_known_to_fail():
    raise AssertionError
"""


IMPORT = """
import pytest
pytest.importorskip("no_such_module")
"""


@pytest.mark.parametrize(
    ("ci", "content", "outcome"),
    [
        pytest.param("", TESTS, "1 passed, 1 skipped, 1 xfailed", id="needs"),
        pytest.param("true", TESTS, "1 passed, 1 xfailed, 1 error", id="needs-CI"),
        pytest.param("", IMPORT, "1 skipped", id="import"),
        pytest.param("true", IMPORT, "1 error", id="import-CI"),
    ],
)
def test_what_cannot_run_is_skipped(ci: str, content: str, outcome: str, tmp_path: Path) -> None:
    (tmp_path / "test_needs.py").write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "conftest", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(CHECKOUT / "tests")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert outcome in done.stdout.splitlines()[-1]
    assert "no-such-program" in done.stdout or "no_such_module" in done.stdout
