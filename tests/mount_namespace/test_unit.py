"""NAME.service on a real systemd: what it makes, over what, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import mountinfo
from kubens import render
from kubens_machine import service
from machine import Machine
from mount_namespace import (
    BOUND,
    BY_IP,
    COMPLETE,
    LEFT_OVERS,
    MEMBERS,
    MEND_KUBENS,
    PIN,
    UNSHARED,
    boot,
    break_tool,
    faults,
    ip,
    is_active,
    left_overs,
    mend_tools,
    netns_faults,
    pin,
    reset,
    shell,
    start,
    states,
)

pytestmark = pytest.mark.needs("root", "namespaces", "nspawn")


# What it makes


def test_a_member_sees_the_host_and_not_the_other_way_round(node: Machine) -> None:
    """The propagation as a member has it, mount by mount; test_propagation shows that it does what it says."""
    start(node, "a")
    groups = {mount.target: mount.shared for mount in mountinfo.table(node)}
    for mount in mountinfo.table(node, node.main_pid("a.service")):
        assert mount.shared and mount.shared not in groups.values()
        assert mount.master == groups[mount.target] or mount.target.startswith(("/proc/", "/run/host/"))
    assert faults(node) == []


def test_the_pin_is_in_no_copy_of_the_tree(node: Machine) -> None:
    """Else a sandbox, which systemd builds of such copies, would keep the namespace alive after its end."""
    start(node, "a")
    shell(node, "mkdir -p /srv/copy; mount --rbind --make-rslave /run /srv/copy")
    mounts = mountinfo.table(node)
    shell(node, "umount --lazy /srv/copy")
    assert "/srv/copy/netns" in [mount.target for mount in mounts]
    assert [mount.target for mount in mounts if mount.root == pin(node)] == ["/run/kubens/mnt"]


def test_several_namespaces(node: Machine) -> None:
    start(node, *MEMBERS, "a", "b", "c", "d", "e", "f")
    assert len({pin(node, name) for name in MEMBERS}) == 3
    for name in MEMBERS:
        assert faults(node, name) == []
        assert states(node, name) <= {"inside"}
    node.systemctl("stop", "soft")
    assert left_overs(node, "soft") == []
    assert states(node, "soft") == {"stopped"}
    assert faults(node) + faults(node, "container-mount-namespace") == []
    assert states(node) == {"inside"}


def test_a_namespace_without_members_comes_with_the_boot(running: Machine) -> None:
    """As the OpenShift additions name it, so that what was written for them finds it."""
    assert "Starting container-mount-namespace.service" in running.journal("container-mount-namespace.service")
    link = running.show("multi-user.target", "Wants")["Wants"].split()
    assert {f"{name}.service" for name in MEMBERS} <= set(link)


def test_environment_file(node: Machine) -> None:
    """Drop-ins that people have from kubensmnt read it where it is."""
    environments = []
    for verb in "start", "stop":
        node.systemctl(verb, "kubens")
        node.systemctl("start", "other")
        environments.append(node.read("/run/other").splitlines())
    assert "KUBENSMNT=/run/kubens/mnt" in environments[0]
    assert not [variable for variable in environments[1] if variable.startswith("KUBENSMNT")]


# What it finds


@pytest.mark.parametrize("state", LEFT_OVERS)
def test_start_over(node: Machine, state: str) -> None:
    shell(node, LEFT_OVERS[state])
    start(node, "a", "b", "c")
    assert faults(node) == []
    assert states(node) == {"inside"}
    node.systemctl("stop", "kubens")
    assert left_overs(node, "kubens") == []


REUSED = {
    "as it was left": COMPLETE,
    "over a stale one": UNSHARED + PIN.replace(">", "<") + COMPLETE.removeprefix(BOUND + PIN),
    "without the environment file": COMPLETE + "rm -f /run/kubens/env",
}


@pytest.mark.parametrize("state", REUSED)
def test_a_valid_pin_is_used_again(node: Machine, state: str) -> None:
    """So that what runs in it without systemd's knowledge goes on sharing it with the members."""
    shell(node, REUSED[state])
    shell(node, "nsenter --mount=/run/kubens/mnt mount -t tmpfs earlier /srv")
    before = pin(node)
    start(node, "a", "b", "c")
    assert pin(node) == before
    assert states(node) == {"inside"}
    assert "/srv" in node.mounts(node.main_pid("a.service"))
    assert "/srv" not in node.mounts()
    node.systemctl("stop", "kubens")
    assert left_overs(node, "kubens") == []


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_what_others_put_there_is_refused_and_kept(node: Machine, verb: str) -> None:
    """A directory in the pin's place is nothing of ours; there may even be something mounted in it."""
    if verb == "stop":
        shell(node, "systemctl start kubens; umount --lazy /run/kubens/mnt /run/kubens; rm /run/kubens/mnt")
    shell(node, "mkdir -p /srv/precious /run/kubens/mnt/there; : >/srv/precious/file")
    shell(node, "mount --bind /srv/precious /run/kubens/mnt/there")
    node.systemctl(verb, "kubens", check=False)
    assert (node.tree / "srv/precious/file").exists()
    assert "/run/kubens/mnt" in node.journal("kubens.service", "--lines=10")
    shell(node, "umount --lazy /run/kubens/mnt/there; rmdir /run/kubens/mnt/there")
    start(node, "a", "b", "c")
    assert faults(node) == []


# What it leaves


def test_stop_leaves_the_mount_table_of_before(node: Machine) -> None:
    def mounts() -> list[tuple[str, str]]:
        return [(mount.target, mount.root) for mount in mountinfo.table(node)]

    before = mounts()
    start(node, *MEMBERS, "a", "b", "c", "d", "e", "f")
    for number in range(20):
        shell(node, f"mkdir -p /srv/{number}; nsenter --mount=/run/kubens/mnt mount -t tmpfs none /srv/{number}")
    assert len(mounts()) == len(before) + 2 * len(MEMBERS) + 1
    node.systemctl("stop", *MEMBERS)
    assert mounts() == [*before, ("/run/netns", "/netns")]
    assert left_overs(node) == []
    assert not (node.tree / "run/kubens-generator").exists()


def test_stop_ends_the_namespace_whatever_is_mounted_on_it(node: Machine) -> None:
    start(node, "a", "b", "c")
    shell(node, "unshare --net=/run/kubens/mnt true; mount -t tmpfs none /run/kubens")
    node.systemctl("stop", "kubens")
    assert left_overs(node, "kubens") == []


# /run/netns: rule 4 of the design

FIRST = {
    "kubens": "",
    "kubens, into an empty mount": BY_IP,
    "ip": "ip netns add early",
    "ip of an earlier release": BY_IP + "ip netns add early",
    "ip, twice": "ip netns add early; ip netns add early2; ip netns del early2",
    "ip, into stacked mounts": BY_IP + "mount --bind /run/netns /run/netns; ip netns add early",
    "ip, without a mount": "ip netns add early; mount --make-private /run/netns; umount --lazy /run/netns",
}


@pytest.mark.parametrize("first", FIRST)
def test_network_namespaces_on_both_sides(node: Machine, first: str) -> None:
    """Whoever came first: each is to be seen where it should be, and goes from either side."""
    shell(node, FIRST[first])
    start(node, "a")
    assert netns_faults(node) == []
    if first.startswith("ip"):
        for side in "host", "inside":
            ip(node, side, "exec", "early", "true")
        ip(node, "inside", "del", "early")
    for maker, remover in (("host", "host"), ("host", "inside"), ("inside", "host"), ("inside", "inside")):
        ip(node, maker, "add", "one")
        for side in {maker, "inside"}:
            ip(node, side, "exec", "one", "true")
        ip(node, remover, "del", "one")
        assert not list((node.tree / "run/netns").iterdir())
        for table in (mountinfo.table(node), mountinfo.inside(node, "/run/kubens/mnt")):
            assert not [mount for mount in table if mount.target.startswith("/run/netns/")]


def test_network_namespaces_survive_a_failure(node: Machine) -> None:
    """They move from one mount to another; whatever stops that on its way, they are there."""
    shell(node, BY_IP + "ip netns add early")
    for pattern in "--bind --make-private*", "--bind early*", "-n --move*", "--make-shared*":
        break_tool(node, "mount", pattern)
        start(node, "a")
        mend_tools(node)
        assert not is_active(node), pattern
        assert left_overs(node, "kubens") == []
        ip(node, "host", "exec", "early", "true")
    start(node, "a")
    assert faults(node) == []
    ip(node, "inside", "exec", "early", "true")
    ip(node, "inside", "del", "early")
    assert not list((node.tree / "run/netns").iterdir())


def test_network_namespaces_survive_us(node: Machine) -> None:
    start(node, "a")
    ip(node, "host", "add", "kept")
    mount = mountinfo.at(node, "/run/netns")
    node.systemctl("restart", "kubens")
    ip(node, "inside", "exec", "kept", "true")
    node.systemctl("stop", "kubens")
    assert mountinfo.at(node, "/run/netns") == mount
    ip(node, "host", "exec", "kept", "true")


def test_parallel_starts_make_one_mount(node: Machine) -> None:
    """As when systemd starts all namespaces at once, and ip comes in between."""
    for number in range(5):
        reset(node)
        script = f"""
            systemctl start --no-block {" ".join(MEMBERS)}
            for i in 1 2 3 4; do ip netns add {number}-$i & done
            wait
            systemctl start {" ".join(MEMBERS)}
        """
        shell(node, script)
        mounts = [mount.target for mount in mountinfo.table(node) if mount.target.startswith("/run/netns/")]
        assert sorted(mounts) == [f"/run/netns/{number}-{i}" for i in (1, 2, 3, 4)]
        assert netns_faults(node) == []


def test_start_waits_for_the_lock_of_ip(node: Machine) -> None:
    script = """
        mkdir -p /run/netns
        exec flock /run/netns sh -c 'systemctl start --no-block kubens; sleep 0.5; systemctl is-active kubens || true'
    """
    assert shell(node, script) == "activating\n"
    node.systemctl("start", "kubens")
    assert faults(node) == []


# On every release at hand


def test_releases(machine: Callable[..., Machine], lower: str) -> None:
    """In short what the tests above say at length."""
    node = machine(lower)
    service(node, "bare.service", render.mount_namespace_service("bare"))
    boot(node)
    assert node.systemctl("is-system-running").stdout == "running\n"
    generated = shell(node, "ls /run/systemd/generator/*.service").split()
    node.run("systemd-analyze", "--man=no", "verify", *generated, "bare.service")
    reset(node)
    shell(node, BY_IP + "ip netns add early; " + LEFT_OVERS["killed before make-rshared"])
    start(node, *MEMBERS, "a", "b", "c", "d", "e", "f", "bare")
    for name in (*MEMBERS, "bare"):
        assert faults(node, name) == []
        assert states(node, name) <= {"inside"}
    ip(node, "inside", "exec", "early", "true")
    ip(node, "inside", "del", "early")
    ip(node, "host", "add", "late")
    ip(node, "inside", "del", "late")
    assert not list((node.tree / "run/netns").iterdir())

    break_tool(node, "unshare")
    node.systemctl("restart", "kubens", "soft", check=False)
    assert (states(node), states(node, "soft")) == ({"stopped"}, {"host"})
    assert left_overs(node, "kubens", "soft") == []
    assert MEND_KUBENS in node.systemctl("status", "kubens", check=False).stdout
    mend_tools(node)
    shell(node, MEND_KUBENS)
    node.systemctl("restart", "d")
    for name in "kubens", "soft":
        assert (faults(node, name), states(node, name)) == ([], {"inside"})

    node.systemctl("stop", *MEMBERS, "bare")
    assert left_overs(node) == []
    assert not [path for path in node.mounts() if path.startswith("/run/bare")]
