"""Ordering cycles that a namespace would make: found before they cost a boot its services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ctl import Node
from kubens_machine import configure, service
from machine import Machine
from trees import BASE, Content, Run, acted_on, build, generate, link, program

ETC, VENDOR = "/etc/systemd/system", "/usr/lib/systemd/system"
CONF = "/etc/kubens/services.conf"
THIRD = f"{ETC}/third.service"
SLEEP = "[Service]\nExecStart=/bin/sleep 1000\n"
FILES: dict[str, Content] = {
    **BASE,
    "/usr/bin/bash": program,
    "/usr/bin/ip": program,
    CONF: "[MountNamespace]\nWrap=a t@\n[MountNamespace]\nName=red\nWrap=c\n"
    "[NetworkNamespace]\nName=blue\nTypes=lo\nServices=b\n",
    **{f"{ETC}/{name}.service": SLEEP for name in ("a", "b", "c", "t@")},
    f"{VENDOR}/early.service": f"[Unit]\nBefore=network-pre.target\n{SLEEP}",
    f"{VENDOR}/late.service": f"[Unit]\nAfter=network.target\n{SLEEP}",
    f"{VENDOR}/network.target": "[Unit]\nAfter=network-pre.target\n",
}


def _run(tmp_path: Path, files: Mapping[str, Content]) -> Run:
    return generate(build(tmp_path / "root", {**FILES, **files}), tmp_path / "output")


def _order(**settings: str) -> str:
    return "[Unit]\n" + "".join(f"{key}={value}\n" for key, value in settings.items())


# What comes between a member and what its namespace waits for: files, the place it is told at, whom it comes before.
BETWEEN: dict[str, tuple[dict[str, Content], str, str]] = {
    "a unit of the administrator's": (
        {THIRD: _order(After="{} x.target", Before="network.target")},
        f"{THIRD}:2",
        "third.service and so before network.target",
    ),
    "one of theirs, and one of the system's": (
        {THIRD: _order(After="{}", Before="early.service")},
        f"{THIRD}:2",
        "third.service and so before network-pre.target",
    ),
    "one of the system's with a drop-in": (
        {f"{ETC}/early.service.d/x.conf": _order(After="{}")},
        f"{ETC}/early.service.d/x.conf:2",
        "early.service and so before network-pre.target",
    ),
    "one that waits for another": (
        {THIRD: _order(After="{}"), f"{ETC}/end.service": _order(After="third.service", Before="remote-fs-pre.target")},
        f"{THIRD}:2",
        "third.service and so before remote-fs-pre.target",
    ),
    "what it waits for itself": (
        {f"{ETC}/network.target.d/x.conf": _order(After="{}")},
        f"{ETC}/network.target.d/x.conf:2",
        "network.target",
    ),
    "its own namespace": (
        {f"{ETC}/MAKER.d/x.conf": _order(After="third.service"), THIRD: _order(After="{}")},
        f"{THIRD}:2",
        "third.service and so before MAKER",
    ),
    "a target": (
        {f"{ETC}/own.target": _order(Wants="{}", Before="network.target")},
        f"{ETC}/own.target:2",
        "own.target and so before network.target",
    ),
    "a linked unit": (
        {THIRD: link("/srv/third.service"), "/srv/third.service": _order(After="{}", Before="network.target")},
        f"{THIRD}:2",
        "third.service and so before network.target",
    ),
}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize(("member", "maker", "waits"), [
    ("a.service", "kubens.service", "kubens.service waits"),
    ("b.service", "netns-lo@blue.service", "network namespaces wait"),
])  # fmt: skip
def test_a_unit_between_a_member_and_what_its_namespace_waits_for(
    between: str, member: str, maker: str, waits: str, tmp_path: Path
) -> None:
    files, place, whom = BETWEEN[between]
    files = {
        path.replace("MAKER", maker): text.format(member) if isinstance(text, str) else text
        for path, text in files.items()
    }
    done = _run(tmp_path, files)
    reason = f"is ordered before {whom.replace('MAKER', maker)}, which {waits} for: they would wait for each other"
    assert f"error: {place}: {member}: {reason}; order it otherwise" in done.lines
    assert acted_on(done.output, member) is None
    assert acted_on(done.output, "c.service") is not None
    assert done.status == 1


@pytest.mark.parametrize(
    "files",
    [
        {THIRD: _order(After="a.service b.service t@1.service", Before="multi-user.target late.service")},
        {THIRD: _order(Before="network.target")},
        {THIRD: _order(After="a.service"), f"{ETC}/other.service": _order(Before="network.target")},
        # Of another namespace.
        {THIRD: _order(After="a.service", Before="red.service netns-lo@blue.service")},
        {f"{ETC}/late.service.d/x.conf": _order(After="a.service b.service")},
        {THIRD: link("/dev/null"), f"{ETC}/alias.service": link("a.service")},
        {THIRD: Path.mkdir, f"{ETC}/broken.service": link("nowhere"), f"{ETC}/early.service.d/x": ""},
        {f"{ETC}/own.target": _order(Wants="a.service", Before="network.target", DefaultDependencies="no")},
    ],
)
def test_what_makes_no_cycle(files: dict[str, Content], tmp_path: Path) -> None:
    done = _run(tmp_path, files)
    assert (done.status, done.lines) == (0, [])
    assert acted_on(done.output, "a.service") is not None
    assert acted_on(done.output, "b.service") is not None


def test_an_instance_that_has_no_file_of_its_own(tmp_path: Path) -> None:
    done = _run(tmp_path, {THIRD: _order(After="t@1.service", Before="network.target")})
    assert f"error: {THIRD}:2: t@.service: is ordered before third.service" in done.stderr
    assert acted_on(done.output, "a.service") is None


def test_an_empty_setting_resets_no_order(tmp_path: Path) -> None:
    """As systemd has it: see the machine below."""
    done = _run(tmp_path, {f"{ETC}/a.service": f"[Unit]\nBefore=network.target\nBefore=\n{SLEEP}"})
    assert f"{ETC}/a.service:2: a.service: is ordered before network.target" in done.stderr


def test_thousands_of_units_in_a_row_take_no_time(tmp_path: Path) -> None:
    """Each was walked from to the end: half a minute for five thousand."""
    row = {f"{ETC}/r{number}.service": _order(Before=f"r{number + 1}.service") for number in range(3000)}
    root = build(tmp_path / "root", {**FILES, **row, f"{ETC}/a.service": f"{_order(Before='r0.service')}{SLEEP}"})
    done = generate(root, tmp_path / "output", prefix=("prlimit", "--cpu=3"))
    assert (done.status, done.lines) == (0, [])


CYCLE = "[Unit]\nAfter=a.service b.service\nBefore=network.target\nBefore=\nWants=network.target\n" \
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"  # fmt: skip


def test_no_boot_loses_a_service_to_a_cycle(machine: Callable[..., Machine], lower: str) -> None:
    ctl = Node(machine, lower)
    node = ctl.machine
    configure(node, "[MountNamespace]\nWrap=a\n[NetworkNamespace]\nName=blue\nTypes=lo\nServices=b\n")
    for name in ("a", "b"):
        service(node, f"{name}.service", SLEEP)
        node.link(f"{ETC}/multi-user.target.wants/{name}.service", f"../{name}.service")
    service(node, "third.service", CYCLE)
    node.link(f"{ETC}/multi-user.target.wants/third.service", "../third.service")
    node.boot()
    units = ("a", "b", "third", "kubens", "network.target")

    def states() -> list[str]:
        node.wait_until(lambda: node.systemctl("show", "--property=NJobs").stdout == "NJobs=0\n")
        return [node.show(unit, "ActiveState")["ActiveState"] for unit in units]

    # All run as they do without us.
    assert states() == ["active", "active", "active", "inactive", "active"]
    assert "network.target" in node.show("third", "Before")["Before"]
    assert f"{ETC}/third.service:2: a.service: is ordered before third.service" in node.journal("kubens-problems")
    # One that comes with the system is not read by the boot. There systemd is asked, about the whole boot.
    node.run("mv", f"{ETC}/third.service", f"{VENDOR}/third.service")
    node.run("ln", "-sf", f"{VENDOR}/third.service", f"{ETC}/multi-user.target.wants/third.service")
    done = ctl.ctl("check")
    assert "ordering cycle" in done.stdout
    assert "third.service" in done.stdout
    node.run("rm", f"{ETC}/multi-user.target.wants/third.service")
    assert ctl.ctl("check").stdout == "2 namespaces, 2 services: nothing to mend.\n"
    # While it lives, a member goes on; the next boot would refuse it.
    node.daemon_reload()
    node.systemctl("start", "kubens")
    node.systemctl("restart", "a", "b")
    node.run("mv", f"{VENDOR}/third.service", f"{ETC}/third.service")
    node.daemon_reload()
    node.systemctl("restart", "a", "b")
    assert states()[:2] == ["active", "active"]
    assert "before the next boot, which will refuse it" in ctl.ctl("check").stdout
