"""`kubensctl explain`: where each part of a unit's commands comes from, in the order applied."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctl import kubensctl, tree, write

CONF = "/etc/kubens/services.conf"
UNIT = "/usr/lib/systemd/system/kubelet.service"
DROPIN = "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"
FILES = {
    CONF: "[MountNamespace]\nWrap=kubelet\nEnv=crio\n",
    UNIT: "[Service]\nExecStartPre=/usr/bin/a\nExecStart=/usr/bin/kubelet\n",
    DROPIN: "[Service]\nExecStart=\nExecStart=/usr/bin/kubelet $ARGS\n",
    "/etc/systemd/system/crio.service": "[Service]\nExecStart=/usr/bin/crio\n",
    "/etc/systemd/system/other.service": "[Service]\nExecStart=/usr/bin/crio\n",
    "/etc/systemd/system/t@.service": "[Service]\nExecStart=/usr/bin/crio %i\n",
}


def _explain(root: Path, unit: str) -> list[str]:
    done = kubensctl("explain", "--root", str(root), unit)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tree(tmp_path, FILES, ("kubelet", "crio", "a"))


def test_every_line_in_the_order_applied(root: Path) -> None:
    lines = _explain(root, "kubelet")
    assert lines[0] == "kubelet.service"
    assert f" Namespace: kubens, by Wrap= in {CONF}:2" in lines
    assert "   Outcome: wrapped" in lines
    start = lines.index("ExecStart=, in the order systemd applies it:")
    assert [line.split() for line in lines[start + 1 : start + 4]] == [
        [f"{UNIT}:3", "reset", "below", "ExecStart=/usr/bin/kubelet"],
        [f"{DROPIN}:2", "resets", "ExecStart="],
        [f"{DROPIN}:3", "ExecStart=/usr/bin/kubelet", "$ARGS"],
    ]
    assert "ExecStartPre= (stays as it is):" in lines
    assert "Applied last, /run/systemd/generator/kubelet.service.d/zz-kubens.conf:" in lines
    assert "  ExecStart=/usr/bin/nsenter --mount=/run/kubens/mnt /usr/bin/kubelet $ARGS" in lines


def test_what_refuses_it(root: Path) -> None:
    write(root, "/etc/systemd/system/crio.service.d/x.conf", "[Service]\nUser=nobody\n")
    for unit in ("kubelet.service", "crio"):
        lines = _explain(root, unit)
        assert "   Outcome: refused" in lines
        assert "/etc/systemd/system/crio.service.d/x.conf:2:6: error: crio.service" in lines
        assert not any("Applied last" in line for line in lines)


def test_a_service_that_enters_by_itself(root: Path) -> None:
    lines = _explain(root, "crio")
    assert "   Outcome: told by $KUBENSMNT" in lines
    assert "  Environment=KUBENSMNT=/run/kubens/mnt" in lines
    assert "ExecStart= (stays as it is):" in lines


def test_a_service_that_is_no_member(root: Path) -> None:
    lines = _explain(root, "other")
    assert " Namespace: none: kubens leaves it as it is" in lines
    assert lines[-2] == "ExecStart= (stays as it is):"
    assert lines[-1].split() == ["/etc/systemd/system/other.service:2", "ExecStart=/usr/bin/crio"]


def test_an_instance_of_a_member_template(root: Path) -> None:
    write(root, CONF, "[MountNamespace]\nWrap=t@\n")
    lines = _explain(root, "t@x")
    assert f" Namespace: kubens, by Wrap= in {CONF}:2" in lines
    assert "   Outcome: wrapped" in lines


@pytest.mark.parametrize(
    ("unit", "reason"),
    [
        ("nothere", "nothere.service: not installed"),
        ("masked", "masked.service: masked"),
        ("kubens", "kubens.service is made by kubens itself, to be seen with: kubensctl plan"),
        ("a/b", "a/b.service: not a unit name"),
    ],
)
def test_what_cannot_be_explained(root: Path, unit: str, reason: str) -> None:
    (root / "etc/systemd/system/masked.service").symlink_to("/dev/null")
    done = kubensctl("explain", "--root", str(root), unit)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"kubensctl: {reason}\n")
