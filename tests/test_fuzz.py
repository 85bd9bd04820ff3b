"""A part of `make fuzz` that is the same each time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fuzz_configuration import Broken, Systemd, fuzz, read, scratch


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("seed", range(20261122, 20261125))
def test_whatever_is_configured_what_comes_out_is_what_was_meant(seed: int) -> None:
    directory = scratch()
    assert fuzz(250, seed, directory) > 100
    shutil.rmtree(directory)


@pytest.mark.parametrize(
    "text", ["[Service]\nA=b\\\nC=d\n", "A=b\n", "[Service]\nb\n", "[Service]\nA=b\rC=d\n", "[X]\n"]
)
def test_the_reader_of_the_fuzzer_sees_what_is_wrong(text: str) -> None:
    with pytest.raises(Broken):
        read(text)


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("x.service", "[Service]\nExecStart=/bin/true\n"),
        ("x@.service", "[Service]\nExecStart=/bin/true %i\n"),
        ("x.service.d/zz.conf", "[Service]\nExecStart=/bin/true\n"),
        (".kubens/n/dropins/zz.conf/x.socket", "[Unit]\nAfter=a.service\n"),
    ],
)
def test_systemd_is_asked_about_each_text(tmp_path: Path, path: str, good: str) -> None:
    systemd = Systemd(tmp_path / "units")
    systemd.add(path, good, "the first")
    systemd.answer()
    systemd.add(path, f"{good}Unit\n", "the second")
    with pytest.raises(Broken, match=r"the second.*Missing '='"):
        systemd.answer()
