"""The linters as tests. What they look at is what git knows or would add."""

from __future__ import annotations

import subprocess
import sys

import pytest

from machine import CHECKOUT


def _files() -> list[str]:
    """The files of the checkout, whoever owns it."""
    git = ("git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(git, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, text=True).stdout
    paths = [CHECKOUT / name for name in names.split("\0") if name]
    return [str(path.relative_to(CHECKOUT)) for path in paths if path.is_file() and not path.is_symlink()]


def _scripts(*interpreters: str) -> list[str]:
    return [name for name in _files() if _interpreter(name) in interpreters]


def _interpreter(name: str) -> str:
    """The program that runs a file: `bash` where it begins with `#!/usr/bin/env bash` or `#!/bin/bash -e`."""
    with (CHECKOUT / name).open("rb") as file:
        line = file.readline(200).decode(errors="replace")
    if not line.startswith("#!"):
        return ""
    programs = [word.rpartition("/")[2] for word in line[2:].split()]
    return programs[1] if programs[0] == "env" else programs[0]


def _passes(*command: str) -> None:
    done = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)


def test_ruff() -> None:
    modules = [name for name in _files() if name.endswith(".py")]
    _passes(sys.executable, "-m", "ruff", "check", "--no-cache", *modules, *_scripts("python3"))


def test_mypy() -> None:
    _passes(sys.executable, "-m", "mypy")


def test_mypy_of_scripts() -> None:
    # One at a time: each is the module `__main__`.
    for script in _scripts("python3"):
        _passes(sys.executable, "-m", "mypy", script)


@pytest.mark.needs("shellcheck")
def test_shellcheck() -> None:
    scripts = _scripts("sh", "bash")
    assert ".ci/run" in scripts
    _passes("shellcheck", *scripts)


@pytest.mark.needs("shellcheck")
def test_shellcheck_of_types() -> None:
    # Read by libexec/kubens-netns, which makes use of what they set.
    types = [name for name in _files() if name.startswith("conf/netns/") and name.endswith(".sh")]
    assert types
    _passes("shellcheck", "--shell=bash", "--exclude=SC2034", *types)


def test_codespell() -> None:
    _passes(sys.executable, "-m", "codespell_lib", *_files())
