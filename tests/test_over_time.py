"""What happens to a node over time: upgrades, edits, restarts, reboots, and the way back."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from kubens_machine import configure, install, service, whereabouts
from machine import Machine

Maker = Callable[..., Machine]
MEMBERS = ("a", "b", "c")


def _node(node: Machine) -> Machine:
    """Three members, which the boot starts: two wrapped ones, and one that enters by itself."""
    install(node)
    configure(node, "[MountNamespace]\nWrap=a b\nEnv=c\n")
    service(node, "a.service", "ExecStart=/bin/sleep 1000\nRestart=always\nRestartSec=0")
    service(node, "b.service", "ExecStart=/bin/sleep 1000")
    service(node, "c.service", "ExecStart=/bin/sh -c 'exec nsenter --mount=$KUBENSMNT sleep 1000'")
    for member in MEMBERS:
        node.link(f"/etc/systemd/system/multi-user.target.wants/{member}.service", f"../{member}.service")
    return node


def _booted(node: Machine) -> Machine:
    _node(node).boot()
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3
    return node


def _command(node: Machine, unit: str) -> list[str]:
    return node.read(f"/proc/{node.main_pid(unit)}/cmdline").split("\0")[:-1]


# Following what others change


def test_an_upgrade_is_followed_by_a_reload_alone(machine: Maker, lower: str) -> None:
    node = machine(lower)
    install(node)
    configure(node, "[MountNamespace]\nWrap=a\n")
    unit = "/usr/lib/systemd/system/a.service"
    node.write(unit, "[Service]\nExecStart=/bin/sleep 1000\n")
    node.boot()
    node.systemctl("start", "a")
    pid = node.main_pid("a")
    node.write(unit, "[Service]\nExecStart=/bin/sleep 2000\nExecStartPost=/bin/true\n")
    node.daemon_reload()
    assert node.main_pid("a") == pid
    node.systemctl("restart", "a")
    assert _command(node, "a") == ["/bin/sleep", "2000"]
    assert whereabouts(node, "a") == ["inside"]


def test_an_administrator_edits_a_member(machine: Maker) -> None:
    """What `systemctl edit`, `edit --full`, `set-property` and `revert` leave behind."""
    node = _booted(machine())
    node.write("/usr/lib/systemd/system/b.service.d/often.conf", "[Unit]\nStartLimitIntervalSec=0\n")

    def reload() -> list[str]:
        node.daemon_reload()
        node.systemctl("restart", "b")
        assert whereabouts(node, "a", "b") == ["inside", "inside"]
        return _command(node, "b")

    service(node, "b.service.d/override.conf", "ExecStart=\nExecStart=/bin/sleep 1 2000")
    assert reload() == ["/bin/sleep", "1", "2000"]
    service(node, "b.service.d/zzzz.conf", "ExecStart=\nExecStart=@/bin/sleep nap 3000")
    assert reload() == ["nap", "3000"]
    service(node, "b.service", "ExecStart=/bin/sleep 4000")
    assert reload() == ["nap", "3000"]
    node.systemctl("set-property", "b", "CPUWeight=50")
    assert reload() == ["nap", "3000"]
    assert node.show("b", "CPUWeight") == {"CPUWeight": "50"}
    node.run("rm", "-r", "/etc/systemd/system/b.service.d")
    assert reload() == ["/bin/sleep", "4000"]
    node.write("/usr/lib/systemd/system/b.service", "[Service]\nExecStart=/bin/sleep 5000\n")
    node.systemctl("revert", "b")
    assert node.show("b", "CPUWeight") == {"CPUWeight": "[not set]"}
    assert reload() == ["/bin/sleep", "5000"]


def test_a_member_comes_and_goes_with_its_package(machine: Maker) -> None:
    node = _booted(machine())
    node.systemctl("stop", "b")
    node.run("rm", "/etc/systemd/system/b.service")
    node.daemon_reload()
    assert node.show("b", "LoadState") == {"LoadState": "not-found"}
    node.systemctl("restart", "a", "c")
    service(node, "b.service", "ExecStart=/bin/sleep 1000")
    node.daemon_reload()
    node.systemctl("start", "b")
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3


# Restarts


def test_a_restart_of_the_namespace_brings_the_members_along(machine: Maker) -> None:
    node = _booted(machine())
    node.run("nsenter", "--mount=/run/kubens/mnt", "mount", "-t", "tmpfs", "inside", "/mnt")
    assert "/mnt" in node.mounts(node.main_pid("b"))
    node.systemctl("restart", "kubens")
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3
    assert "/mnt" not in node.mounts(node.main_pid("b"))

    node.systemctl("stop", "b")
    node.systemctl("restart", "kubens")
    assert whereabouts(node, *MEMBERS) == ["inside", "inactive", "inside"]


def test_a_member_alone_rejoins(machine: Maker) -> None:
    node = _booted(machine())
    others = [node.main_pid(member) for member in ("kubens", "b", "c")]
    node.systemctl("restart", "a")
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3
    pid = node.main_pid("a")
    node.run("kill", "-KILL", str(pid))
    node.wait_until(lambda: node.main_pid("a") not in (0, pid))
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3
    assert [node.main_pid(member) for member in ("kubens", "b", "c")] == others


def test_many_restarts_in_a_row(machine: Maker) -> None:
    """Far more than DefaultStartLimitBurst= would allow one unit."""
    node = _booted(machine())
    for _ in range(3):
        for member in MEMBERS:
            node.systemctl("restart", member)
    node.systemctl("restart", "kubens")
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3
    assert node.systemctl("is-system-running").stdout == "running\n"


def test_the_record_is_no_switch(machine: Maker) -> None:
    node = _booted(machine())
    node.systemctl("stop", "kubens-record", check=False)
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3


def test_all_members_started_at_once_meet(machine: Maker) -> None:
    node = _booted(machine())
    node.systemctl("stop", "kubens")
    assert whereabouts(node, *MEMBERS) == ["inactive"] * 3
    node.systemctl("start", *MEMBERS)
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3
    assert node.systemctl("is-active", "kubens").stdout == "active\n"


def test_a_new_manager_knows_everything(machine: Maker, lower: str) -> None:
    node = _booted(machine(lower))
    before = [node.main_pid(member) for member in MEMBERS]
    node.systemctl("daemon-reexec")
    assert [node.main_pid(member) for member in MEMBERS] == before
    assert node.show("kubens", "ActiveState", "SubState") == {"ActiveState": "active", "SubState": "exited"}
    node.systemctl("restart", "a")
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3
    node.systemctl("stop", "kubens")
    assert whereabouts(node, *MEMBERS) == ["inactive"] * 3
    assert not [path for path in node.mounts() if path.startswith("/run/kubens")]


def test_the_node_goes_to_another_target_and_back(machine: Maker) -> None:
    node = _node(machine())
    node.write("/etc/systemd/system/quiet.target", "[Unit]\nRequires=basic.target\nAllowIsolate=yes\n")
    node.boot()
    node.systemctl("isolate", "quiet.target")
    assert whereabouts(node, "kubens", *MEMBERS) == ["inactive"] * 4
    assert not [path for path in node.mounts() if path.startswith("/run/kubens")]
    node.systemctl("isolate", "multi-user.target")
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3


# Boots


def _generated(node: Machine) -> dict[str, str]:
    """All files and links that generators made, with what is in them."""
    script = 'find . ! -type d -printf "%p %l\\n" | LC_ALL=C sort; find . -type f -exec cksum {} + | LC_ALL=C sort'
    lines = node.run("sh", "-c", f"cd /run/systemd/generator; {script}").stdout
    return {"files": lines, "loaded": node.systemctl("cat", "kubens", *MEMBERS).stdout}


@pytest.mark.parametrize("again", [Machine.reboot, Machine.kill], ids=["reboot", "power_cut"])
def test_a_second_boot_is_like_the_first(machine: Maker, again: Callable[[Machine], None]) -> None:
    node = _booted(machine())
    first = _generated(node)
    again(node)
    if again is Machine.kill:
        node.boot()
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3
    assert _generated(node) == first
    node.daemon_reload()
    assert _generated(node) == first
    assert node.systemctl("is-system-running").stdout == "running\n"


def test_the_off_switch_at_boot(machine: Maker, lower: str) -> None:
    node = _node(machine(lower))
    node.boot("kubens=0")
    assert whereabouts(node, "a", "b") == ["host", "host"]
    assert node.show("kubens", "LoadState") == {"LoadState": "not-found"}
    assert "kubens" not in node.systemctl("cat", "a", "b").stdout
    node.daemon_reload()
    assert node.show("kubens", "LoadState") == {"LoadState": "not-found"}


# Reloads for nothing


def _runs(node: Machine) -> dict[str, str]:
    """Of every active unit: which run it is in, its files, and whether systemd finds these changed.

    But of mounts, of which PID 1 reads the table in its own time.
    """
    node.wait_until(lambda: node.systemctl("show", "--property=NJobs").stdout == "NJobs=0\n")
    properties = "Id,InvocationID,MainPID,NRestarts,StateChangeTimestampMonotonic,NeedDaemonReload,DropInPaths"
    listed = node.systemctl("list-units", "--plain", "--no-legend", "--state=active").stdout
    units = sorted(unit for unit, *_ in map(str.split, listed.splitlines()) if not unit.endswith(".mount"))
    shown = node.systemctl("show", f"--property={properties}", "--", *units).stdout
    return dict(zip(units, shown.split("\n\n")))


def test_a_reload_without_a_change_changes_nothing(machine: Maker, lower: str) -> None:
    node = _node(machine(lower))
    service(node, "d.service", "ExecStart=/bin/sleep 1000")
    configure(node, "[NetworkNamespace]\nName=blue\nTypes=lo\nServices=d\n", "blue.conf")
    node.boot()
    node.systemctl("start", "d")
    assert whereabouts(node, *MEMBERS) == ["inside"] * 3
    generated, before = _generated(node), _runs(node)
    assert before.keys() >= {f"{name}.service" for name in (*MEMBERS, "d", "kubens", "netns-lo@blue")}
    for _ in range(3):
        node.daemon_reload()
        assert (_generated(node), _runs(node)) == (generated, before)
    assert "NeedDaemonReload=yes" not in "".join(before.values())
    # It would be seen.
    service(node, "b.service", "ExecStart=/bin/sleep 2000")
    changed = {unit: state for unit, state in _runs(node).items() if state != before.get(unit)}
    assert list(changed) == ["b.service"]
    assert "NeedDaemonReload=yes" in changed["b.service"]


# The way back


def _definition(node: Machine, unit: str) -> dict[str, str]:
    """All properties, without what tells of one run of the commands; sets have no order."""
    found = {name: re.sub(r" ; start_time=.*", "", value) for name, value in node.show(unit).items()}
    return {**found, **{name: " ".join(sorted(found[name].split())) for name in ("After", "Requires")}}


RICH = """
[Unit]
After=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory=-/var/tmp
Environment="WORDS=one two"
ExecStartPre=-+/bin/true before
ExecStart=@/bin/echo name $WORDS "a;b" ; /bin/echo 100%%
ExecStart=-sh -c 'exit 1'
ExecStop=/bin/echo bye
"""


def test_the_way_back_leads_to_where_it_began(machine: Maker, lower: str) -> None:
    node = machine(lower)
    install(node)
    units = {"a.service": "[Service]\nExecStart=/bin/sleep 1000\n", "b.service": RICH, "c.service": RICH}
    for unit, text in units.items():
        node.write(f"/etc/systemd/system/{unit}", text)
    node.boot()
    defined = [_definition(node, unit) for unit in units]
    written = node.systemctl("cat", *units).stdout
    mounts = node.mounts()

    configure(node, "[MountNamespace]\nWrap=a b\nWrapCommands=ExecStartPre ExecStart ExecStop\nEnv=c\n")
    node.daemon_reload()
    node.systemctl("start", *units)
    node.systemctl("restart", "kubens")
    assert whereabouts(node, "a") == ["inside"]
    assert [_definition(node, unit) for unit in units] != defined

    configure(node, "")
    node.systemctl("stop", "kubens")
    assert [path for path in node.mounts() if path not in mounts] == ["/run/netns"]
    node.daemon_reload()
    assert [_definition(node, unit) for unit in units] == defined
    assert node.systemctl("cat", *units).stdout == written
    assert node.show("kubens", "LoadState") == {"LoadState": "not-found"}
    node.systemctl("start", *units)
    assert whereabouts(node, "a") == ["host"]


def _files_of_run(node: Machine) -> set[str]:
    """Everything in /run but what systemd keeps for itself."""
    script = "find /run -path /run/systemd -prune -o -path /run/log -prune -o -print"
    return set(node.run("sh", "-c", script).stdout.split())


def test_the_stop_leaves_one_directory(machine: Maker) -> None:
    node = _node(machine())
    node.boot("kubens=0")
    before = _files_of_run(node)
    node.reboot()
    node.systemctl("restart", "kubens", *MEMBERS)
    node.systemctl("stop", "kubens")
    assert _files_of_run(node) - before == {"/run/netns"}
