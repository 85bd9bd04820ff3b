"""`pip install .` gives the library and the tools."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from machine import CHECKOUT


def test_the_wheel_holds_library_and_tools(tmp_path: Path) -> None:
    source = tmp_path / "source"
    # A copy of what git knows: building leaves files beside the sources.
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith("tests/") and (CHECKOUT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((CHECKOUT / name).read_bytes())
    wheels = tmp_path / "wheels"
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(source)]
    subprocess.run(command, check=True)
    (wheel,) = wheels.glob("kubens-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"kubens/py.typed", "kubens/render.py", "kubens/pods/__init__.py", "kubensctl/main.py"} <= names
    assert any(name.endswith("/scripts/kubensenter") for name in names)
    assert any(name.endswith("/entry_points.txt") for name in names)
