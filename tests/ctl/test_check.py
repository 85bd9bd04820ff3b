"""`kubensctl check`: every finding with its place, and the next step; exit status 1 on errors only."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import nodes
from ctl import Maker, Node, kubensctl, tree, write
from kubens_machine import configure, service
from machine import CHECKOUT
from next_step import has_next_step
from test_configuration import presets

CONF = "/etc/kubens/services.conf"
A = "/etc/systemd/system/a.service"
GOOD = {CONF: "[MountNamespace]\nWrap=a\n", A: "[Service]\nExecStart=/usr/bin/a\n"}


def _check(root: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = kubensctl("check", "--root", str(root), "--json", *arguments)
    assert done.stderr == ""
    findings: list[dict[str, Any]] = json.loads(done.stdout)
    assert all(has_next_step(finding["reason"]) for finding in findings)
    return done.returncode, findings


def test_nothing_to_mend(tmp_path: Path) -> None:
    root = tree(tmp_path, GOOD, ("a",))
    assert _check(root) == (0, [])
    assert kubensctl("check", "--root", str(root)).stdout == "1 namespace, 1 service: nothing to mend.\n"


def test_nothing_configured(tmp_path: Path) -> None:
    assert _check(tmp_path) == (0, [])


def test_json_has_the_findings_of_the_generator(tmp_path: Path) -> None:
    root = tree(tmp_path, {**GOOD, A: "[Service]\nExecStart=/usr/bin/a\nPrivateTmp=yes\n"}, ("a",))
    status, findings = _check(root)
    assert status == 1
    assert set(findings[0]) == {"severity", "file", "line", "unit", "reason"}
    assert [(f["severity"], f["file"], f["line"], f["unit"]) for f in findings] == [
        ("error", A, 3, "a.service"),
        ("error", CONF, 1, ""),
    ]
    assert findings[0]["reason"].startswith("PrivateTmp=yes gives the service a mount namespace of its own")


def test_warnings_and_notices_are_no_failure(tmp_path: Path) -> None:
    root = tree(tmp_path, {**GOOD, CONF: "[MountNamespace]\nWrap=a nothere\nWrapped=b\n"}, ("a",))
    status, findings = _check(root)
    assert (status, [f["severity"] for f in findings]) == (0, ["warning", "notice"])


UNDERLINED = [
    pytest.param("[MountNamespace]\nWrap=a \\\n  # why\n\tnothere\n", f"{CONF}:4:2: notice", "nothere", id="continued"),
    pytest.param("[MountNamespace]\nWrap=a\nWrapped=a\n", f"{CONF}:3:1: warning", "Wrapped", id="key"),
    pytest.param("[MountNamespace]\nWrap=a\nWhenMissing = maybe\n", f"{CONF}:3:15: warning", "maybe", id="value"),
    pytest.param("[MountNamespace]\nWrap=a\n[Foo]\n", f"{CONF}:3:1: warning", "[Foo]", id="section"),
    pytest.param("[MountNamespace]\nWrap=a a.service\n", f"{CONF}:2:8: warning", "a.service", id="twice"),
    pytest.param("[MountNamespace]\nWrap=a\r\nx\r\n", f"{CONF}:3:1: warning", "x", id="line-endings"),
    pytest.param("[MountNamespace]\nName=/\nWrap=a\n", f"{CONF}:2:6: error", "/", id="name"),
    pytest.param("[MountNamespace]\nWrap=é/ a\n", f"{CONF}:2:6: error", "é/", id="characters-not-bytes"),
]


@pytest.mark.parametrize(("text", "head", "underlined"), UNDERLINED)
def test_the_word_that_is_meant_is_underlined(tmp_path: Path, text: str, head: str, underlined: str) -> None:
    root = tree(tmp_path, GOOD, ("a",))
    (root / CONF[1:]).write_bytes(text.encode())
    lines = kubensctl("check", "--root", str(root)).stdout.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(head))
    line, caret = lines[place + 1 : place + 3]
    start = caret.index("^")
    assert line[start:].startswith(underlined)
    assert caret[start:] == "^" + "~" * (len(underlined) - 1)


def test_the_whole_value_of_a_unit_is_underlined(tmp_path: Path) -> None:
    root = tree(tmp_path, {**GOOD, A: "[Service]\nExecStart=/usr/bin/a\n\tBindPaths=/a /b \n"}, ("a",))
    lines = kubensctl("check", "--root", str(root)).stdout.splitlines()
    assert lines[0] == f"{A}:3:12: error: a.service"
    assert lines[2].endswith("^~~~~")


def test_what_people_wrote_cannot_reach_the_terminal(tmp_path: Path) -> None:
    root = tree(tmp_path, {**GOOD, CONF: "[MountNamespace]\nWrap=a \x1b[31mred\n"}, ("a",))
    out = kubensctl("check", "--root", str(root)).stdout
    assert "\x1b" not in out
    assert "\\x1b[31mred" in out


def test_files_are_read_instead_of_what_is_configured(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", {**GOOD, CONF: "[Bad\n"}, ("a",))
    draft = write(tmp_path, "draft.conf", GOOD[CONF])
    assert _check(root, str(draft)) == (0, [])
    draft.write_text("[MountNamespace]\nWrap=/\n")
    status, findings = _check(root, str(draft))
    assert (status, findings[0]["file"]) == (1, str(draft))
    done = kubensctl("check", "--root", str(root), str(tmp_path / "nothere.conf"))
    assert (done.returncode, done.stderr) == (1, f"kubensctl: {tmp_path}/nothere.conf: no such file\n")


@pytest.mark.parametrize(
    ("name", "said"), [("10-other.conf", "and again by zz-kubens.conf"), ("zzz.conf", "after zz-kubens.conf")]
)
def test_commands_that_another_generator_sets(tmp_path: Path, name: str, said: str) -> None:
    dropin = f"/run/systemd/generator.late/a.service.d/{name}"
    root = tree(tmp_path, {**GOOD, dropin: "[Service]\nExecStart=\nExecStart=/usr/bin/b\nNice=1\n"}, ("a", "b"))
    status, findings = _check(root)
    assert status == 0
    assert [(f["severity"], f["file"], f["line"]) for f in findings] == [("warning", dropin, 2), ("warning", dropin, 3)]
    assert said in findings[0]["reason"]


def test_our_own_output_is_not_another_generators(tmp_path: Path) -> None:
    root = tree(tmp_path, GOOD, ("a",))
    output = root / "run/systemd/generator"
    assert kubensctl("plan", "--root", str(root), "--output", str(output)).returncode == 0
    assert (output / "a.service.d/zz-kubens.conf").is_symlink()
    assert _check(root) == (0, [])


def _label(root: Path, program: str, kind: str) -> None:
    try:
        os.setxattr(root / "usr/bin" / program, "security.selinux", f"system_u:object_r:{kind}:s0\0".encode())
    except OSError as error:
        pytest.skip(f"no SELinux labels here: {error}")


@pytest.mark.needs("root")
def test_a_domain_that_wrapping_would_change(tmp_path: Path) -> None:
    root = tree(tmp_path, GOOD, ("a",))
    _label(root, "nsenter", "bin_t")
    _label(root, "a", "bin_t")
    assert _check(root) == (0, [])
    _label(root, "a", "kubelet_exec_t")
    status, findings = _check(root)
    assert (status, [(f["severity"], f["file"], f["line"]) for f in findings]) == (0, [("warning", A, 2)])
    assert "/usr/bin/a is kubelet_exec_t" in findings[0]["reason"]
    assert "/usr/bin/nsenter, which is put in front of it, bin_t" in findings[0]["reason"]
    write(root, CONF, "[MountNamespace]\nEnv=a\n")
    assert _check(root) == (0, [])


def test_the_machine_itself(machine: Maker, lower: str) -> None:
    ctl = Node(machine, lower)
    node = ctl.machine
    configure(node, "[MountNamespace]\nWrap=a\n")
    service(node, "a.service", "ExecStart=/bin/sleep 1000\nNoSuchSetting=1")
    node.boot()
    # The plan is what the generator wrote when the machine booted.
    assert ctl.ctl("plan", "--diff").stdout == ""
    assert "zz-kubens.conf" in ctl.ctl("plan").stdout
    # What systemd has to say of the unit without us is none of our findings.
    assert "NoSuchSetting" in node.run("systemd-analyze", "verify", "a.service", check=False).stderr
    assert ctl.ctl("check").stdout == "1 namespace, 1 service: nothing to mend.\n"
    node.write("/etc/systemd/system/kubens.service.d/loop.conf", "[Unit]\nAfter=a.service\n")
    done = ctl.ctl("check")
    assert done.stdout.startswith("/etc/systemd/system/kubens.service.d/loop.conf:2:7: warning: a.service\n")
    assert done.stdout.endswith("1 namespace, 1 service: 1 warning.\n")
    node.write("/etc/systemd/system/kubens.service.d/loop.conf", "[Unit]\nAfter=nosuch@%i.service\nOther=1\n")
    done = ctl.ctl("check")
    assert "kubens.service.d/loop.conf:3:1: warning" in done.stdout and "systemd-analyze verify: Unknown" in done.stdout
    assert "/tmp/" not in done.stdout
    node.write("/etc/systemd/system/kubens.service.d/loop.conf", "[Unit]\nAfter=b.service\n")
    assert ctl.ctl("check").stdout == "1 namespace, 1 service: nothing to mend.\n"
    node.kill()
    node.boot("kubens=0")
    assert "kubens=0 is on the kernel command line" in ctl.ctl("check").stdout
    done = ctl.ctl("plan")
    assert (done.stdout, "kubens=0" in done.stderr) == ("", True)


RKE2 = """\
[Unit]
Wants=network-online.target
After=network-online.target
[Service]
Type=notify
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/usr/local/lib/systemd/system/%N.env
KillMode=process
Delegate=yes
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/rke2 server
ExecStopPost=-/bin/sh -c "systemd-cgls /system.slice/%n | awk '{print $1}' | xargs -r kill"
"""


@pytest.mark.parametrize("title", presets())
def test_a_preset_on_the_units_of_a_node(tmp_path: Path, title: str) -> None:
    """What is not installed is no obstacle: servers and agents have one preset."""
    root = tree(tmp_path, {"/usr/local/lib/systemd/system/rke2-server.service": RKE2})
    for name in nodes.PROGRAMS:
        shutil.copytree(CHECKOUT / "tests/nodes" / name, root, dirs_exist_ok=True, symlinks=True)
    write(root, CONF, presets()[title])
    status, findings = _check(root)
    assert (status, {finding["severity"] for finding in findings} - {"notice"}) == (0, set())
    assert "zz-kubens.conf" in kubensctl("plan", "--root", str(root)).stdout
