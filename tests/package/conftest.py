"""Fixtures for the tests of packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from package import build_packages


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_packages(tmp_path_factory.mktemp("packages"))
