"""What happens when NAME.service cannot do what it should."""

from __future__ import annotations

import time

import pytest

from machine import Machine
from mount_namespace import (
    MEMBERS,
    MEND_KUBENS,
    break_tool,
    faults,
    is_active,
    left_overs,
    mend_tools,
    pin,
    shell,
    start,
    states,
)

pytestmark = pytest.mark.needs("root", "namespaces", "nspawn")

# Every program of the unit, for all it does and for each thing that it does.
COMMANDS = (
    ("sh", "*"),
    ("mkdir", "*"),
    ("cp", "*"),
    ("flock", "*"),
    ("mountpoint", "*"),
    ("mountpoint", "*/mnt"),
    ("mountpoint", "*/run/kubens"),
    ("mount", "*"),
    ("mount", "--bind /run/netns*"),
    ("mount", "--make-private*"),
    ("mount", "--make-shared*"),
    ("mount", "*--make-unbindable*"),
    ("mount", "--make-rshared*"),
    ("findmnt", "*"),
    ("findmnt", "*/run/netns"),
    ("ls", "*"),
    ("nsenter", "*"),
    ("unshare", "*"),
    ("umount", "*"),
    ("rm", "*"),
    ("rmdir", "*"),
)
# Without these nothing can be cleared away either, and without a shell nothing be said.
CLEARING = ("sh", "umount", "rm", "rmdir")


@pytest.mark.parametrize("verb", ["start", "restart"])
@pytest.mark.parametrize(("tool", "pattern"), COMMANDS)
def test_a_command_that_fails(node: Machine, tool: str, pattern: str, verb: str) -> None:
    """Either all is as it should be in spite of it, or nothing is there: never something in between."""
    names = ("kubens", "soft")
    if verb == "restart":
        start(node, *names, *MEMBERS["kubens"], *MEMBERS["soft"])
    break_tool(node, tool, pattern)
    if verb == "start":
        start(node, *MEMBERS["kubens"], *MEMBERS["soft"])
    else:
        node.systemctl("restart", *names, check=False)
    mend_tools(node)

    for name, outside in (("kubens", "stopped"), ("soft", "host")):
        if is_active(node, name):
            assert faults(node, name) == []
            assert states(node, name) == {"inside"}
        elif tool not in CLEARING:
            assert states(node, name) == {outside}
            assert left_overs(node, name) == []
        elif name == "kubens":
            assert states(node, name) == {"stopped"}
    if not is_active(node) and tool != "sh":
        assert MEND_KUBENS in node.systemctl("status", "kubens", check=False).stdout
    shell(node, MEND_KUBENS)
    assert faults(node) == []
    assert states(node) == {"inside"}


@pytest.mark.parametrize("limit", ["size", "nr_inodes"])
def test_run_is_full(node: Machine, limit: str) -> None:
    script = f"""
        size=$(df --output=size,itotal -k /run | tail -n 1)
        trap 'mount -o "remount,size=${{size%% *}}k,nr_inodes=${{size##* }}" /run' EXIT
        if [ {limit} = size ]; then
            mount -o "remount,size=$(df --output=used -k /run | tail -n 1 | tr -d ' ')k" /run
        else
            mount -o "remount,nr_inodes=$(df --output=iused /run | tail -n 1 | tr -d ' ')" /run
        fi
        systemctl start a b c d e f || true
    """
    shell(node, script)
    assert not is_active(node) and not is_active(node, "soft")
    assert (states(node), states(node, "soft")) == ({"stopped"}, {"host"})
    shell(node, MEND_KUBENS)
    assert (faults(node), states(node)) == ([], {"inside"})


def test_members_on_the_host_come_in_together(node: Machine) -> None:
    """With WhenMissing=host, once there is a namespace after all, whoever gives rise to it."""
    for started in ("soft",), ("d",):
        break_tool(node, "unshare")
        start(node, "d", "e", "f")
        assert states(node, "soft") == {"host"}
        mend_tools(node)
        node.systemctl("restart", *started)
        assert faults(node, "soft") == []
        assert states(node, "soft") == {"inside"}
        node.systemctl("stop", "soft")


# When it is treated badly


def test_many_restarts(node: Machine) -> None:
    """Restarting it restarts every member, and they meet in the new namespace."""
    start(node, *MEMBERS["kubens"])
    for _ in range(10):
        shell(node, "nsenter --mount=/run/kubens/mnt mount -t tmpfs earlier /srv")
        node.systemctl("restart", "kubens")
        assert states(node) == {"inside"}
        assert "/srv" not in node.mounts(node.main_pid("a.service"))
    assert faults(node) == []


def test_start_and_stop_from_two_shells(node: Machine) -> None:
    loops = (
        f"(for i in 1 2 3 4 5 6 7 8; do systemctl {verb} || true; done) &"
        for verb in ("restart a kubens", "stop kubens", "start b c")
    )
    shell(node, " ".join(loops) + " wait")
    assert states(node) <= ({"inside", "stopped"} if is_active(node) else {"stopped"})
    start(node, *MEMBERS["kubens"])
    assert (faults(node), states(node)) == ([], {"inside"})


def test_stop_under_a_process_that_stays(node: Machine) -> None:
    """As KillMode=process leaves them behind: it keeps its mounts to itself, and the next namespace is another."""
    start(node, "a")
    shell(node, "nsenter --mount=/run/kubens/mnt mount -t tmpfs busy /srv")
    busy = "cd /srv; sleep 1000 >/dev/null 2>&1 & echo $!"
    pid = int(node.run("nsenter", "--mount=/run/kubens/mnt", "sh", "-c", busy).stdout)
    before = pin(node)
    node.systemctl("stop", "kubens")
    assert left_overs(node, "kubens") == []
    assert node.mount_namespace(pid) == before
    assert "/srv" in node.mounts(pid) and "/srv" not in node.mounts()
    start(node, "a")
    assert pin(node) != before
    assert "/srv" not in node.mounts(node.main_pid("a.service"))
    node.run("kill", str(pid))


def test_kill_of_what_does_not_run(node: Machine) -> None:
    """There is no process that holds the namespace."""
    start(node, *MEMBERS["kubens"])
    node.systemctl("kill", "--signal=KILL", "kubens", check=False)
    assert (faults(node), states(node)) == ([], {"inside"})


def test_killed_at_its_start(node: Machine) -> None:
    """systemd runs what clears away, whichever step it was."""
    for pattern in "*--make-unbindable*", "--make-rshared*":
        break_tool(node, "mount", pattern)
        node.write("/usr/bin/mount", node.read("/usr/bin/mount").replace("exit 7", "exec sleep 1000"), 0o755)
        node.systemctl("start", "--no-block", "a", "d")
        shell(node, "until [ $(ps -A -o args | grep -c '^sleep 1000') -ge 2 ]; do sleep 0.02; done")
        node.systemctl("kill", "--signal=KILL", "kubens", "soft")
        mend_tools(node)
        assert (states(node), left_overs(node, "kubens")) == ({"stopped"}, [])
        assert node.mount_namespace(node.main_pid("d.service")) == node.mount_namespace()
        assert left_overs(node, "soft") == []
        node.systemctl("stop", "d")


def test_many_mounts(node: Machine) -> None:
    start(node, *MEMBERS["kubens"])
    before = node.mounts()
    script = "mkdir -p $(seq -f /srv/%g 500); for i in $(seq 500); do mount -t tmpfs none /srv/$i; done"
    shell(node, f"nsenter --mount=/run/kubens/mnt sh -c '{script}'")
    assert len(node.mounts(node.main_pid("a.service"))) > 500
    assert node.mounts() == before
    began = time.monotonic()
    node.systemctl("stop", "kubens")
    assert time.monotonic() - began < 10
    assert left_overs(node, "kubens") == []
