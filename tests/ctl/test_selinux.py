"""The policy that `kubensctl selinux` writes, of what the kernel says; tests/vm has a kernel that says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctl import tree
from kubens import selinux as kernel
from kubens.files import Root
from kubens.selinux import Start, domain
from kubensctl import planning, selinux
from kubensctl.failure import Failure

MOUNT = "[MountNamespace]\nWrap=a\n"
NETWORK = "[NetworkNamespace]\nName=blue\nTypes=lo\nServices=b\n"


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


@pytest.mark.parametrize(
    ("configured", "made"),
    [
        (MOUNT, ["run_initrc_t"]),
        (NETWORK, ["run_init_t"]),
        (MOUNT + NETWORK, ["run_initrc_t", "run_init_t"]),
        ("", []),
    ],
)
def test_a_generator_may_read_what_is_recorded(
    configured: str, made: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a policy in which a shell that PID 1 executes gets a domain of its own, and a script of ours none."""
    labels = {"/run": "run", "/usr/lib/kubens/kubens-netns": "lib"}
    monkeypatch.setattr(kernel, "label", lambda root, path: f"u:r:{labels.get(path, 'shell')}_t")
    monkeypatch.setattr(kernel, "read", lambda path: "u:r:init_t")
    monkeypatch.setattr(kernel, "executed", lambda context, files: "u:r:initrc_t" if "shell" in files[0] else context)
    monkeypatch.setattr(
        kernel, "created", lambda maker, target, kind: f"u:r:run_{domain(maker)}" if kind == "dir" else target
    )
    monkeypatch.setattr(selinux, "_missing", lambda source, target, kind, permissions: list(permissions[:1]))
    monkeypatch.setattr(selinux, "_generator", lambda: "u:r:generator_t")
    root = tree(tmp_path, {"/etc/kubens/services.conf": configured})
    planned = planning.make(Root(str(root)))
    assert list(selinux._of_records(planned)) == [
        f"(allow generator_t {kind} ({rule}))"
        for kind in made
        for rule in ("dir (getattr)", "file (getattr)", "lnk_file (getattr)")
    ]
