"""Whole trees in, exactly what is generated from them out: golden/NAME/root and golden/NAME/expected.

golden/NAME/findings is what is said about it, the exit status on the first line. A new example is a new directory;
`KUBENS_GOLDEN=write pytest tests/test_golden.py` writes what is expected as it comes out now, for `git diff` to show.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from machine import CHECKOUT
from trees import BASE, State, build, generate, snapshot

GOLDEN = CHECKOUT / "tests/golden"
EXAMPLES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


# What systemd runs generators with.
UMASK = 0o022


def without_modes(states: dict[str, State]) -> dict[str, State]:
    """Git keeps no modes; the type of a file is in what it contains."""
    return {path: (stat.S_IFMT(mode), content) for path, (mode, content) in states.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, tmp_path: Path) -> None:
    root, expected = tmp_path / "root", GOLDEN / name / "expected"
    shutil.copytree(GOLDEN / name / "root", root, symlinks=True)
    build(root, {path: content for path, content in BASE.items() if not (root / path[1:]).exists()})
    before = os.umask(UMASK)
    try:
        done = generate(root, tmp_path / "output")
    finally:
        os.umask(before)
    findings = "".join(f"{line}\n" for line in (str(done.status), *done.lines))
    if os.environ.get("KUBENS_GOLDEN") == "write":
        shutil.rmtree(expected, ignore_errors=True)
        shutil.copytree(done.output, expected, symlinks=True)
        (GOLDEN / name / "findings").write_text(findings)
    assert findings == (GOLDEN / name / "findings").read_text()
    found = snapshot(done.output)
    assert without_modes(found) == without_modes(snapshot(expected))
    modes = {(stat.S_IFMT(mode), stat.S_IMODE(mode)) for mode, _ in found.values() if not stat.S_ISLNK(mode)}
    assert modes == {(stat.S_IFREG, 0o644), (stat.S_IFDIR, 0o755)}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6
