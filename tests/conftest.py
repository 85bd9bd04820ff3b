"""What the tests share: machines, and the rule for tests that cannot run here.

A test says what it needs: `@pytest.mark.needs("root", "nspawn", "strace")`. Where that is missing it is
skipped with the reason. Under CI=true nothing may be missing, and a skip for whatever reason is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from machine import Machine, lowers

CI = os.environ.get("CI") == "true"
# Whether what takes long is done on all releases, too.
ALL = os.environ.get("KUBENS_RELEASES") == "all"


def _root() -> bool:
    return os.geteuid() == 0


def _namespaces() -> bool:
    """Root in a container is often not allowed to."""
    return subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True).returncode == 0


# A need that is not listed here is a program.
NEEDS: dict[str, Callable[[], bool]] = {
    "root": _root,
    "namespaces": _namespaces,
    "nspawn": lambda: shutil.which("systemd-nspawn") is not None,
}


@cache
def _is_there(need: str) -> bool:
    return NEEDS[need]() if need in NEEDS else shutil.which(need) is not None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*what): root, namespaces, nspawn, or the names of programs")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "machine" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.needs("root", "namespaces", "nspawn"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = [need for mark in item.iter_markers("needs") for need in mark.args if not _is_there(need)]
    if missing:
        pytest.skip(f"needs {', '.join(dict.fromkeys(missing))}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, None]:
    outcome = yield
    _forbid_skips(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, None]:
    outcome = yield
    _forbid_skips(outcome.get_result())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """lower: the root of each release. each_lower: in `make check` that of the machine's own alone."""
    for name, found in (("lower", lowers()), ("each_lower", lowers() if ALL else ["/"])):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, found, ids=lambda path: os.path.basename(path) or "host")


# Real container runtimes and virtual machines take trees that `make check-node` and `make check-vm` alone make; these
# say where they are.
_TREES = {"node": "KUBENS_NODES", "vm": "KUBENS_VMS"}
collect_ignore = [folder for folder, trees in _TREES.items() if trees not in os.environ]


def _forbid_skips(report: pytest.TestReport | pytest.CollectReport) -> None:
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI=true: {report.longrepr}"


@pytest.fixture
def machine() -> Iterator[Callable[..., Machine]]:
    """Makes machines, to be booted by the test and closed after it: `machine(lower, kmsg=True, …)`."""
    with ExitStack() as machines:
        yield lambda *arguments, **options: machines.enter_context(Machine(*arguments, **options))
