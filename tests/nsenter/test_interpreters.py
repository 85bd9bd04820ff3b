"""Every Python that is at hand, and what an import costs.

At hand are python3.9 to python3.14 on PATH, and those that $KUBENS_PYTHONS lists, separated by blanks.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from machine import CHECKOUT

LIB = CHECKOUT / "lib"
SMOKE = Path(__file__).with_name("smoke.py")
# Milliseconds of processor time above those of `import subprocess`.
LIMIT = 3.0

IMPORT = """
import gc, subprocess, sys, time
gc.disable()  # a collection of what was imported before may fall into this import or into a later one
before = set(sys.modules)
began = time.process_time()
import kubens.nsenter
took = time.process_time() - began
print(took * 1000, *sorted(name for name in set(sys.modules) - before if not name.startswith("kubens")))
"""


def interpreters() -> list[str]:
    names = [f"python3.{minor}" for minor in range(9, 15)]
    given = os.environ.get("KUBENS_PYTHONS", "").split()
    # The name may be there and no Python behind it: pyenv(1) has such.
    found = [path for path in map(shutil.which, names) if path and runs(path)]
    return list(dict.fromkeys([sys.executable, *found, *given]))


def runs(interpreter: str) -> bool:
    return subprocess.run([interpreter, "-c", ""], capture_output=True).returncode == 0


@pytest.mark.needs("root", "namespaces")
@pytest.mark.parametrize("interpreter", interpreters())
def test_interpreter(interpreter: str, world: Path) -> None:
    command = [interpreter, "-X", "dev", str(SMOKE), str(LIB), str(world / "mnt"), str(world / "net")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("inside 3.")


@pytest.mark.parametrize("interpreter", interpreters())
def test_import(interpreter: str, tmp_path: Path) -> None:
    """Byte-compiled, as it is installed. One good run will do: what else the machine does is no fault of ours."""
    shutil.copytree(LIB / "kubens", tmp_path / "kubens", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([interpreter, "-m", "compileall", "-q", str(tmp_path)], check=True)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}

    def measure() -> float:
        done = subprocess.run([interpreter, "-c", IMPORT], env=environment, capture_output=True, check=True)
        took, *modules = done.stdout.decode().split()
        assert set(modules) <= {"__future__", "fcntl"}
        return float(took)

    assert any(measure() < LIMIT for _ in range(100))
