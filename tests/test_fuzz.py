"""A part of `make fuzz` that is the same each time."""

from __future__ import annotations

import shutil

import pytest

from fuzz_configuration import Broken, fuzz, read, scratch


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("seed", range(20261122, 20261126))
def test_whatever_is_configured_what_comes_out_is_what_was_meant(seed: int) -> None:
    directory = scratch()
    fuzz(500, seed, directory)
    shutil.rmtree(directory)


@pytest.mark.parametrize(
    "text", ["[Service]\nA=b\\\nC=d\n", "A=b\n", "[Service]\nb\n", "[Service]\nA=b\rC=d\n", "[X]\n"]
)
def test_the_reader_of_the_fuzzer_sees_what_is_wrong(text: str) -> None:
    with pytest.raises(Broken):
        read(text)
