"""Columns and paragraphs as terminals of any width get them."""

from __future__ import annotations

import io

import pytest

from kubensctl.terminal import Terminal

ROWS = [[("UNIT", ""), ("", "")], [("a.service", ""), ("systemctl restart a.service", "")]]


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def _table(columns: int, monkeypatch: pytest.MonkeyPatch, fold: bool = True) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    screen = _Screen()
    Terminal(screen).table(ROWS, indent=2, fold=fold)
    return screen.getvalue().split("\n")


def test_what_fits_stands_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _table(80, monkeypatch) == ["  UNIT", "  a.service  systemctl restart a.service", ""]
    assert _table(40, monkeypatch) == ["  UNIT", "  a.service  systemctl restart a.service", ""]


def test_what_does_not_fit_stands_below(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _table(39, monkeypatch) == ["  UNIT", "  a.service", "      systemctl restart a.service", ""]
    assert _table(5, monkeypatch)[:3] == ["  UNIT", "  a.service", "      systemctl restart a.service"]
    assert _table(5, monkeypatch, fold=False) == _table(80, monkeypatch)
