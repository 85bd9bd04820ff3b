"""Packages for Python and for RPM: they are built, and what checks such packages takes them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from kubens import __version__
from machine import CHECKOUT


def test_wheel_and_sdist(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    source = tmp_path / "source"
    # A copy of what git knows: building leaves files beside the sources.
    for name in filter(None, listed.split("\0")):
        if not name.startswith("tests/") and (CHECKOUT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((CHECKOUT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "build", "--outdir", tmp_path, source], check=True, stdout=subprocess.DEVNULL)
    (wheel,) = tmp_path.glob("kubens-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"kubens/py.typed", "kubens/pods/__init__.py", "kubensctl/main.py", "kubensctl/formats/units.py"} <= names
    assert any(name.endswith("/scripts/kubensenter") for name in names)
    assert any(name.endswith("/entry_points.txt") for name in names)
    (sdist,) = tmp_path.glob("kubens-*.tar.gz")
    with tarfile.open(sdist) as archive:
        # The wheel was made from it, so what it needs is there; and what `make install` of it needs.
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "generator/kubens-generator", "conf/services.conf", "libexec/kubens-netns", "LICENSE"} <= names
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", wheel, sdist], check=True)


@pytest.mark.needs("rpmbuild", "rpmlint")
def test_rpm(tmp_path: Path) -> None:
    """rpmlint has no error to tell of the spec, or `make rpm` fails."""
    command = ["make", "--silent", f"--directory={CHECKOUT}", "--old-file=packages", "rpm", f"BUILD={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (package,) = tmp_path.glob("rpm/RPMS/noarch/*.rpm")
    assert package.name == f"kubens-{__version__}-1.noarch.rpm"
    listed = _query(package, "--list").splitlines()
    assert "/usr/lib/systemd/system-generators/kubens-generator" in listed
    assert "/usr/share/man/man1/kubensctl.1" in listed
    assert not [path for path in listed if path.endswith(".pyc")]
    assert _query(package, "--configfiles") == "/etc/kubens/services.conf\n"


def _query(package: Path, what: str) -> str:
    command = ["rpm", "--query", what, "--package", str(package)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
