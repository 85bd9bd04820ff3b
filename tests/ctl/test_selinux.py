"""The policy that `kubensctl selinux` writes, of what the kernel says; tests/vm has a kernel that says it."""

from __future__ import annotations

import pytest

from kubens.selinux import Start, domain
from kubensctl import selinux
from kubensctl.failure import Failure


def start(before: str, entered: str, after: str) -> Start:
    made = Start(None, "/usr/bin/kubelet", "/usr/bin/nsenter", ("kubelet_exec_t", "bin_t"))  # type: ignore[arg-type]
    made.before, made.entered, made.after = (f"system_u:system_r:{context}" for context in (before, entered, after))
    return made


def test_a_service_that_would_stay_in_the_domain_of_nsenter() -> None:
    rules = list(selinux._of_start(start("kubelet_t:s0", "enter_t:s0", "enter_t:s0")))
    assert rules[0] == "(typetransition enter_t kubelet_exec_t process kubelet_t)"
    assert "(allow enter_t kubelet_t (process (transition siginh noatsecure rlimitinh)))" in rules
    assert not any("rangetransition" in rule for rule in rules)


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("s0-s0:c0.c1023", "((s0) (s0 ((range c0 c1023))))"),
        ("s0:c1,c3.c5", "((s0 (c1 (range c3 c5))) (s0 (c1 (range c3 c5))))"),
    ],
)
def test_a_level(level: str, said: str) -> None:
    rules = list(selinux._of_start(start(f"kubelet_t:{level}", "enter_t:s0", "kubelet_t:s0")))
    assert rules == [f"(rangetransition enter_t kubelet_exec_t process {said})"]


def test_a_policy_that_cannot_be_added_to() -> None:
    with pytest.raises(Failure, match="sends /usr/bin/kubelet, executed by enter_t, to other_t"):
        list(selinux._of_start(start("kubelet_t:s0", "enter_t:s0", "other_t:s0")))


def test_contexts() -> None:
    assert [domain(text) for text in ("u:r:t:s0-s0:c0.c1023", "u:r:t", "kernel", "")] == ["t", "t", "", ""]
