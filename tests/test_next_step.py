"""That the check for next steps, which every tree that the tests generate from goes through, can fail."""

from __future__ import annotations

import pytest

from next_step import has_next_step


@pytest.mark.parametrize(
    "reason",
    [
        "not a unit name, ignored",
        "not installed, not wrapped",
        "what systemd would run cannot be told: Permission denied",
        "is ordered before network.target, which kubens.service waits for: they would wait for each other",
        "Name= is missing, section ignored",
        "cannot be read: [Errno 13] Permission denied",
    ],
)
def test_what_says_none(reason: str) -> None:
    assert not has_next_step(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "not a unit name, ignored: mend or remove it",
        "is masked, so nothing is wrapped: systemctl unmask kubens.service",
        "PrivateTmp=yes gives the service a mount namespace: reset it in a drop-in, or set AllowSandboxLoss=yes",
        "namespace kubens: none of its services is wrapped until this is mended",
    ],
)
def test_what_says_one(reason: str) -> None:
    assert has_next_step(reason)
