"""NAME.service on a real systemd: what it makes, over what, what it leaves, and what happens when it cannot."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

import mountinfo
from kubens import render
from kubens_machine import configure, install, service
from machine import Machine

pytestmark = pytest.mark.needs("root", "namespaces", "nspawn")

CONFIGURATION = """\
[MountNamespace]
Wrap=a b
Env=c
[MountNamespace]
Name=soft
WhenMissing=host
Wrap=d e
Env=f
[MountNamespace]
Name=container-mount-namespace
"""
MEMBERS = {"kubens": ("a", "b", "c"), "soft": ("d", "e", "f"), "container-mount-namespace": ()}
ENV_SERVICE = "ExecStart=/bin/bash -c 'exec $${KUBENSMNT:+nsenter --mount=$$KUBENSMNT} sleep 1000'"

# The line that a person finds in `systemctl status` after a failure.
MEND_KUBENS = "systemctl start kubens.service a.service b.service c.service"

# Breaks a program for the arguments that match a pattern of the shell.
BROKEN = """\
#!/bin/bash
case "$*" in {pattern})
    echo "{tool} is broken" >&2
    exit 7 ;;
esac
exec -a {tool} /usr/lib/whole/{tool} "$@"
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Machine]:
    """A machine for all tests here, since each cleans up after itself."""
    with Machine() as node:
        _boot(node)
        yield node


def _boot(node: Machine) -> None:
    install(node)
    configure(node, CONFIGURATION)
    for name in "a", "b", "d", "e":
        service(node, f"{name}.service", "ExecStart=/bin/sleep 1000")
    for name in "c", "f":
        service(node, f"{name}.service", ENV_SERVICE)
    show = "ExecStart=sh -c 'env >/run/other'"
    service(node, "other.service", f"Type=oneshot\nEnvironmentFile=-/run/kubens/env\n{show}")
    # They start more often than anybody would.
    node.write("/etc/systemd/system.conf.d/limit.conf", "[Manager]\nDefaultStartLimitIntervalSec=0\n")
    node.boot()


@pytest.fixture
def node(running: Machine) -> Iterator[Machine]:
    """The machine as if nothing of kubens had ever run, /run/netns included."""
    _reset(running)
    yield running
    _mend(running)


def _reset(node: Machine) -> None:
    members = [f"{name}.service" for names in MEMBERS.values() for name in names]
    node.systemctl("stop", *members, *(f"{name}.service" for name in MEMBERS))
    node.systemctl("reset-failed")
    ours = ("netns", *MEMBERS)
    for path in reversed(node.mounts()):
        if path.startswith(tuple(f"/run/{name}" for name in ours)):
            node.run("umount", "--lazy", path, check=False)
    node.run("rm", "-rf", "--one-file-system", *(f"/run/{name}" for name in ours), "/run/kubens-generator")
    assert _left_overs(node) == []


def _shell(node: Machine, script: str) -> str:
    return node.run("sh", "-euc", script).stdout


def _break(node: Machine, tool: str, pattern: str = "*") -> None:
    _shell(node, f"mkdir -p /usr/lib/whole; mv $(command -v {tool}) /usr/lib/whole/{tool}")
    node.write(f"/usr/bin/{tool}", BROKEN.format(tool=tool, pattern=pattern), 0o755)


def _mend(node: Machine) -> None:
    """Nothing here may need what could be broken."""
    whole = node.tree / "usr/lib/whole"
    for tool in whole.iterdir() if whole.exists() else ():
        tool.rename(node.tree / "usr/bin" / tool.name)


def _start(node: Machine, *names: str) -> None:
    """Start services, whether that succeeds or not."""
    node.run("systemctl", "start", *(f"{name}.service" for name in names), check=False, timeout=15)


def _pin(node: Machine, name: str = "kubens") -> str:
    return mountinfo.pinned(node, f"/run/{name}/mnt")


def _states(node: Machine, name: str = "kubens") -> set[str]:
    """Where the members are: inside, host, stopped, or in a namespace in which they must not be."""
    pids = _settled(node, [f"{member}.service" for member in MEMBERS.get(name, ())])
    places = {node.mount_namespace(1): "host", _pin(node, name): "inside"}
    return {places.get(node.mount_namespace(pid), "elsewhere") if pid else "stopped" for pid in pids}


def _settled(node: Machine, units: list[str]) -> list[int]:
    """Main processes, once each runs what it is there for: systemd waits neither for nsenter nor for the shell."""
    _wait_for_jobs(node)
    deadline = time.monotonic() + 10
    while units and time.monotonic() < deadline:
        shown = node.systemctl("show", "--property=MainPID", "--value", *units).stdout
        pids = [int(pid) for pid in shown.split()]
        if all(_name(node, pid) == "sleep" for pid in pids if pid):
            return pids
    assert not units, "members neither run nor stop"
    return []


def _name(node: Machine, pid: int) -> str:
    try:
        return node.read(f"/proc/{pid}/comm").strip()
    except FileNotFoundError:
        return ""


def _wait_for_jobs(node: Machine) -> None:
    _shell(node, 'while [ -n "$(systemctl list-jobs --no-legend)" ]; do sleep 0.05; done')


def _is_active(node: Machine, name: str = "kubens") -> bool:
    return node.show(f"{name}.service", "ActiveState")["ActiveState"] == "active"


def _left_overs(node: Machine, *names: str) -> list[str]:
    """What there is of these namespaces, or of any, at PID 1 and in the file system."""
    names = names or tuple(MEMBERS)
    paths = [f"/run/{name}" for name in names] + [f"/run/kubens-generator/{name}" for name in names]
    mounts = [path for path in node.mounts() for name in names if path.split("/")[1:3] == ["run", name]]
    return mounts + [path for path in paths if node.tree.joinpath(path[1:]).exists()]


def _faults(node: Machine, name: str = "kubens") -> list[str]:
    """What is wrong with a namespace that is there: all that may be relied upon from outside."""
    faults = []
    directory, pin = mountinfo.at(node, f"/run/{name}"), mountinfo.at(node, f"/run/{name}/mnt")
    if [mount.unbindable for mount in directory] != [True]:
        faults.append(f"the pin is not in one unbindable directory: {directory}")
    if [mount.fstype for mount in pin] != ["nsfs"] or not pin[0].root.startswith("mnt:"):
        return [*faults, f"not one pinned mount namespace: {pin}"]
    outside = mountinfo.table(node)
    groups = {mount.shared for mount in outside}
    inside = mountinfo.inside(node, f"/run/{name}/mnt")
    faults += [f"not shared inside: {mount}" for mount in inside if not mount.shared]
    faults += [f"shared with the host: {mount}" for mount in inside if mount.shared in groups]
    if inside[0].master != outside[0].shared:
        faults.append("no slave of the host")
    if node.tree.joinpath(f"run/{name}/env").read_text() != f"KUBENSMNT=/run/{name}/mnt\n":
        faults.append("no environment file")
    return faults + _netns_faults(node)


def _netns_faults(node: Machine) -> list[str]:
    """/run/netns is one shared mount with a peer group of its own."""
    mounts = mountinfo.at(node, "/run/netns")
    others = {mount.shared for mount in mountinfo.table(node) if mount not in mounts}
    if len(mounts) != 1 or not mounts[0].shared or mounts[0].shared in others:
        return [f"/run/netns: {mounts}"]
    return []


# What it makes


def test_a_member_sees_the_host_and_not_the_other_way_round(node: Machine) -> None:
    """The propagation as a member has it, mount by mount; test_propagation shows that it does what it says."""
    _start(node, "a")
    groups = {mount.target: mount.shared for mount in mountinfo.table(node)}
    for mount in mountinfo.table(node, node.main_pid("a.service")):
        assert mount.shared and mount.shared not in groups.values()
        assert mount.master == groups[mount.target] or mount.target.startswith(("/proc/", "/run/host/"))
    assert _faults(node) == []


def test_the_pin_is_in_no_copy_of_the_tree(node: Machine) -> None:
    """Else a sandbox, which systemd builds of such copies, would keep the namespace alive after its end."""
    _start(node, "a")
    _shell(node, "mkdir -p /srv/copy; mount --rbind --make-rslave /run /srv/copy")
    mounts = mountinfo.table(node)
    _shell(node, "umount --lazy /srv/copy")
    assert "/srv/copy/netns" in [mount.target for mount in mounts]
    assert [mount.target for mount in mounts if mount.root == _pin(node)] == ["/run/kubens/mnt"]


def test_several_namespaces(node: Machine) -> None:
    _start(node, *MEMBERS, "a", "b", "c", "d", "e", "f")
    assert len({_pin(node, name) for name in MEMBERS}) == 3
    for name in MEMBERS:
        assert _faults(node, name) == []
        assert _states(node, name) <= {"inside"}
    node.systemctl("stop", "soft")
    assert _left_overs(node, "soft") == []
    assert _states(node, "soft") == {"stopped"}
    assert _faults(node) + _faults(node, "container-mount-namespace") == []
    assert _states(node) == {"inside"}


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

BOUND = "mkdir -p /run/kubens; mount --bind --make-unbindable /run/kubens /run/kubens; "
PIN = ": >/run/kubens/mnt; "
UNSHARED = BOUND + PIN + "unshare --mount=/run/kubens/mnt --propagation slave true; "
COMPLETE = BOUND + PIN + "unshare --mount=/run/kubens/mnt --propagation slave mount --make-rshared /; "
LEFT_OVERS = {
    "an empty directory": "mkdir /run/kubens",
    "killed within bind and make-unbindable": "mkdir /run/kubens; mount --bind /run/kubens /run/kubens",
    "killed before the pin": BOUND,
    "killed before unshare": BOUND + PIN,
    "killed before it was a slave": BOUND + PIN + "unshare --mount=/run/kubens/mnt --propagation unchanged true",
    "killed before make-rshared": UNSHARED,
    "a stale pin": "mkdir /run/kubens; " + PIN,
    "a stale environment file": "mkdir /run/kubens; echo KUBENSMNT=/somewhere >/run/kubens/env",
    "a read-only pin": BOUND + PIN + "chmod 0 /run/kubens/mnt",
    "a dangling link": "mkdir /run/kubens; ln -s nowhere /run/kubens/mnt",
    "a link to PID 1's namespace": "mkdir /run/kubens; ln -s /proc/1/ns/mnt /run/kubens/mnt",
    "a fifo": "mkdir /run/kubens; mkfifo /run/kubens/mnt",
    "a directory": "mkdir -p /run/kubens/mnt",
    "a read-only directory": "mkdir /run/kubens; mount --bind -o ro /run/kubens /run/kubens",
    "a network namespace": BOUND + PIN + "unshare --net=/run/kubens/mnt true",
    "a network namespace in a shared directory": "mkdir /run/kubens; " + PIN + "unshare --net=/run/kubens/mnt true",
    "a mount that is no namespace": "mkdir /run/kubens; " + PIN + "mount --bind /etc/passwd /run/kubens/mnt",
    "a tmpfs": "mkdir -p /run/kubens/mnt; mount -t tmpfs none /run/kubens/mnt",
    "directories stacked": "mkdir /run/kubens; mount --bind /run/kubens /run/kubens; " + BOUND,
    "another file system over all of it": COMPLETE + "mount -t tmpfs none /run/kubens",
    "namespaces stacked": UNSHARED + "unshare --mount=/run/kubens/mnt --propagation slave true",
    "a network namespace over a mount namespace": COMPLETE + "unshare --net=/run/kubens/mnt true",
}


@pytest.mark.parametrize("state", LEFT_OVERS)
def test_start_over(node: Machine, state: str) -> None:
    _shell(node, LEFT_OVERS[state])
    _start(node, "a", "b", "c")
    assert _faults(node) == []
    assert _states(node) == {"inside"}
    node.systemctl("stop", "kubens")
    assert _left_overs(node, "kubens") == []


REUSED = {
    "as it was left": COMPLETE,
    "over a stale one": UNSHARED + PIN.replace(">", "<") + COMPLETE.removeprefix(BOUND + PIN),
    "without the environment file": COMPLETE + "rm -f /run/kubens/env",
}


@pytest.mark.parametrize("state", REUSED)
def test_a_valid_pin_is_used_again(node: Machine, state: str) -> None:
    """So that what runs in it without systemd's knowledge goes on sharing it with the members."""
    _shell(node, REUSED[state])
    _shell(node, "nsenter --mount=/run/kubens/mnt mount -t tmpfs earlier /srv")
    before = _pin(node)
    _start(node, "a", "b", "c")
    assert _pin(node) == before
    assert _states(node) == {"inside"}
    assert "/srv" in node.mounts(node.main_pid("a.service"))
    assert "/srv" not in node.mounts()
    node.systemctl("stop", "kubens")
    assert _left_overs(node, "kubens") == []


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_what_others_put_there_is_refused_and_kept(node: Machine, verb: str) -> None:
    """A directory in the pin's place is nothing of ours; there may even be something mounted in it."""
    if verb == "stop":
        _shell(node, "systemctl start kubens; umount --lazy /run/kubens/mnt /run/kubens; rm /run/kubens/mnt")
    _shell(node, "mkdir -p /srv/precious /run/kubens/mnt/there; : >/srv/precious/file")
    _shell(node, "mount --bind /srv/precious /run/kubens/mnt/there")
    node.systemctl(verb, "kubens", check=False)
    assert (node.tree / "srv/precious/file").exists()
    assert "/run/kubens/mnt" in node.journal("kubens.service", "--lines=10")
    _shell(node, "umount --lazy /run/kubens/mnt/there; rmdir /run/kubens/mnt/there")
    _start(node, "a", "b", "c")
    assert _faults(node) == []


# What it leaves


def test_stop_leaves_the_mount_table_of_before(node: Machine) -> None:
    def mounts() -> list[tuple[str, str]]:
        return [(mount.target, mount.root) for mount in mountinfo.table(node)]

    before = mounts()
    _start(node, *MEMBERS, "a", "b", "c", "d", "e", "f")
    for number in range(20):
        _shell(node, f"mkdir -p /srv/{number}; nsenter --mount=/run/kubens/mnt mount -t tmpfs none /srv/{number}")
    assert len(mounts()) == len(before) + 2 * len(MEMBERS) + 1
    node.systemctl("stop", *MEMBERS)
    assert mounts() == [*before, ("/run/netns", "/netns")]
    assert _left_overs(node) == []
    assert not (node.tree / "run/kubens-generator").exists()


def test_stop_ends_the_namespace_whatever_is_mounted_on_it(node: Machine) -> None:
    _start(node, "a", "b", "c")
    _shell(node, "unshare --net=/run/kubens/mnt true; mount -t tmpfs none /run/kubens")
    node.systemctl("stop", "kubens")
    assert _left_overs(node, "kubens") == []


# /run/netns: rule 4 of the design


def _ip(node: Machine, side: str, *arguments: str) -> None:
    enter = () if side == "host" else ("nsenter", "--mount=/run/kubens/mnt")
    node.run(*enter, "ip", "netns", *arguments)


# As ip made it until 2025.
BY_IP = "mkdir -p /run/netns; mount --bind /run/netns /run/netns; mount --make-shared /run/netns; "
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
    _shell(node, FIRST[first])
    _start(node, "a")
    assert _netns_faults(node) == []
    if first.startswith("ip"):
        for side in "host", "inside":
            _ip(node, side, "exec", "early", "true")
        _ip(node, "inside", "del", "early")
    for maker, remover in (("host", "host"), ("host", "inside"), ("inside", "host"), ("inside", "inside")):
        _ip(node, maker, "add", "one")
        for side in {maker, "inside"}:
            _ip(node, side, "exec", "one", "true")
        _ip(node, remover, "del", "one")
        assert not list((node.tree / "run/netns").iterdir())
        for table in (mountinfo.table(node), mountinfo.inside(node, "/run/kubens/mnt")):
            assert not [mount for mount in table if mount.target.startswith("/run/netns/")]


def test_network_namespaces_survive_a_failure(node: Machine) -> None:
    """They move from one mount to another; whatever stops that on its way, they are there."""
    _shell(node, BY_IP + "ip netns add early")
    for pattern in "--bind --make-private*", "--bind early*", "-n --move*", "--make-shared*":
        _break(node, "mount", pattern)
        _start(node, "a")
        _mend(node)
        assert not _is_active(node), pattern
        assert _left_overs(node, "kubens") == []
        _ip(node, "host", "exec", "early", "true")
    _start(node, "a")
    assert _faults(node) == []
    _ip(node, "inside", "exec", "early", "true")
    _ip(node, "inside", "del", "early")
    assert not list((node.tree / "run/netns").iterdir())


def test_network_namespaces_survive_us(node: Machine) -> None:
    _start(node, "a")
    _ip(node, "host", "add", "kept")
    mount = mountinfo.at(node, "/run/netns")
    node.systemctl("restart", "kubens")
    _ip(node, "inside", "exec", "kept", "true")
    node.systemctl("stop", "kubens")
    assert mountinfo.at(node, "/run/netns") == mount
    _ip(node, "host", "exec", "kept", "true")


def test_parallel_starts_make_one_mount(node: Machine) -> None:
    """As when systemd starts all namespaces at once, and ip comes in between."""
    for number in range(5):
        _reset(node)
        script = f"""
            systemctl start --no-block {" ".join(MEMBERS)}
            for i in 1 2 3 4; do ip netns add {number}-$i & done
            wait
            systemctl start {" ".join(MEMBERS)}
        """
        _shell(node, script)
        mounts = [mount.target for mount in mountinfo.table(node) if mount.target.startswith("/run/netns/")]
        assert sorted(mounts) == [f"/run/netns/{number}-{i}" for i in (1, 2, 3, 4)]
        assert _netns_faults(node) == []


def test_start_waits_for_the_lock_of_ip(node: Machine) -> None:
    script = """
        mkdir -p /run/netns
        exec flock /run/netns sh -c 'systemctl start --no-block kubens; sleep 0.5; systemctl is-active kubens || true'
    """
    assert _shell(node, script) == "activating\n"
    node.systemctl("start", "kubens")
    assert _faults(node) == []


# When it cannot

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
        _start(node, *names, *MEMBERS["kubens"], *MEMBERS["soft"])
    _break(node, tool, pattern)
    if verb == "start":
        _start(node, *MEMBERS["kubens"], *MEMBERS["soft"])
    else:
        node.systemctl("restart", *names, check=False)
    _mend(node)

    for name, outside in (("kubens", "stopped"), ("soft", "host")):
        if _is_active(node, name):
            assert _faults(node, name) == []
            assert _states(node, name) == {"inside"}
        elif tool not in CLEARING:
            assert _states(node, name) == {outside}
            assert _left_overs(node, name) == []
        elif name == "kubens":
            assert _states(node, name) == {"stopped"}
    if not _is_active(node) and tool != "sh":
        assert MEND_KUBENS in node.systemctl("status", "kubens", check=False).stdout
    _shell(node, MEND_KUBENS)
    assert _faults(node) == []
    assert _states(node) == {"inside"}


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
    _shell(node, script)
    assert not _is_active(node) and not _is_active(node, "soft")
    assert (_states(node), _states(node, "soft")) == ({"stopped"}, {"host"})
    _shell(node, MEND_KUBENS)
    assert (_faults(node), _states(node)) == ([], {"inside"})


def test_members_on_the_host_come_in_together(node: Machine) -> None:
    """With WhenMissing=host, once there is a namespace after all, whoever gives rise to it."""
    for start in ("soft",), ("d",):
        _break(node, "unshare")
        _start(node, "d", "e", "f")
        assert _states(node, "soft") == {"host"}
        _mend(node)
        node.systemctl("restart", *start)
        assert _faults(node, "soft") == []
        assert _states(node, "soft") == {"inside"}
        node.systemctl("stop", "soft")


# When it is treated badly


def test_many_restarts(node: Machine) -> None:
    """Restarting it restarts every member, and they meet in the new namespace."""
    _start(node, *MEMBERS["kubens"])
    for _ in range(10):
        _shell(node, "nsenter --mount=/run/kubens/mnt mount -t tmpfs earlier /srv")
        node.systemctl("restart", "kubens")
        assert _states(node) == {"inside"}
        assert "/srv" not in node.mounts(node.main_pid("a.service"))
    assert _faults(node) == []


def test_start_and_stop_from_two_shells(node: Machine) -> None:
    loops = (
        f"(for i in 1 2 3 4 5 6 7 8; do systemctl {verb} || true; done) &"
        for verb in ("restart a kubens", "stop kubens", "start b c")
    )
    _shell(node, " ".join(loops) + " wait")
    assert _states(node) <= ({"inside", "stopped"} if _is_active(node) else {"stopped"})
    _start(node, *MEMBERS["kubens"])
    assert (_faults(node), _states(node)) == ([], {"inside"})


def test_stop_under_a_process_that_stays(node: Machine) -> None:
    """As KillMode=process leaves them behind: it keeps its mounts to itself, and the next namespace is another."""
    _start(node, "a")
    _shell(node, "nsenter --mount=/run/kubens/mnt mount -t tmpfs busy /srv")
    busy = "cd /srv; sleep 1000 >/dev/null 2>&1 & echo $!"
    pid = int(node.run("nsenter", "--mount=/run/kubens/mnt", "sh", "-c", busy).stdout)
    before = _pin(node)
    node.systemctl("stop", "kubens")
    assert _left_overs(node, "kubens") == []
    assert node.mount_namespace(pid) == before
    assert "/srv" in node.mounts(pid) and "/srv" not in node.mounts()
    _start(node, "a")
    assert _pin(node) != before
    assert "/srv" not in node.mounts(node.main_pid("a.service"))
    node.run("kill", str(pid))


def test_kill_of_what_does_not_run(node: Machine) -> None:
    """There is no process that holds the namespace."""
    _start(node, *MEMBERS["kubens"])
    node.systemctl("kill", "--signal=KILL", "kubens", check=False)
    assert (_faults(node), _states(node)) == ([], {"inside"})


def test_killed_at_its_start(node: Machine) -> None:
    """systemd runs what clears away, whichever step it was."""
    for pattern in "*--make-unbindable*", "--make-rshared*":
        _break(node, "mount", pattern)
        node.write("/usr/bin/mount", node.read("/usr/bin/mount").replace("exit 7", "exec sleep 1000"), 0o755)
        node.systemctl("start", "--no-block", "a", "d")
        _shell(node, "until [ $(ps -A -o args | grep -c '^sleep 1000') -ge 2 ]; do sleep 0.02; done")
        node.systemctl("kill", "--signal=KILL", "kubens", "soft")
        _mend(node)
        assert (_states(node), _left_overs(node, "kubens")) == ({"stopped"}, [])
        assert node.mount_namespace(node.main_pid("d.service")) == node.mount_namespace()
        assert _left_overs(node, "soft") == []
        node.systemctl("stop", "d")


def test_many_mounts(node: Machine) -> None:
    _start(node, *MEMBERS["kubens"])
    before = node.mounts()
    script = "mkdir -p $(seq -f /srv/%g 500); for i in $(seq 500); do mount -t tmpfs none /srv/$i; done"
    _shell(node, f"nsenter --mount=/run/kubens/mnt sh -c '{script}'")
    assert len(node.mounts(node.main_pid("a.service"))) > 500
    assert node.mounts() == before
    began = time.monotonic()
    node.systemctl("stop", "kubens")
    assert time.monotonic() - began < 10
    assert _left_overs(node, "kubens") == []


# On every release at hand


def test_releases(machine: Callable[..., Machine], lower: str) -> None:
    """In short what the tests above say at length."""
    node = machine(lower)
    service(node, "bare.service", render.mount_namespace_service("bare"))
    _boot(node)
    assert node.systemctl("is-system-running").stdout == "running\n"
    generated = _shell(node, "ls /run/systemd/generator/*.service").split()
    node.run("systemd-analyze", "--man=no", "verify", *generated, "bare.service")
    _reset(node)
    _shell(node, BY_IP + "ip netns add early; " + LEFT_OVERS["killed before make-rshared"])
    _start(node, *MEMBERS, "a", "b", "c", "d", "e", "f", "bare")
    for name in (*MEMBERS, "bare"):
        assert _faults(node, name) == []
        assert _states(node, name) <= {"inside"}
    _ip(node, "inside", "exec", "early", "true")
    _ip(node, "inside", "del", "early")
    _ip(node, "host", "add", "late")
    _ip(node, "inside", "del", "late")
    assert not list((node.tree / "run/netns").iterdir())

    _break(node, "unshare")
    node.systemctl("restart", "kubens", "soft", check=False)
    assert (_states(node), _states(node, "soft")) == ({"stopped"}, {"host"})
    assert _left_overs(node, "kubens", "soft") == []
    assert MEND_KUBENS in node.systemctl("status", "kubens", check=False).stdout
    _mend(node)
    _shell(node, MEND_KUBENS)
    node.systemctl("restart", "d")
    for name in "kubens", "soft":
        assert (_faults(node, name), _states(node, name)) == ([], {"inside"})

    node.systemctl("stop", *MEMBERS, "bare")
    assert _left_overs(node) == []
    assert not [path for path in node.mounts() if path.startswith("/run/bare")]


# In the end

# Stands in for a network file system and for the network that it needs: answers as little as a mount needs, and writes
# down which came first, the unmount or the stop of the network.
FILE_SERVER = """import os, signal, struct, subprocess, sys, time

log = open("/var/log/network", "w", buffering=1)
signal.signal(signal.SIGTERM, lambda *_: (log.write("network gone\\n"), os._exit(0)))
device = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
mount = ["nsenter", "--mount=/run/kubens/mnt", "mount", "-i", "-t", "fuse.sshfs", "-o", options, "far:", "/srv/f s"]
subprocess.Popen(mount, pass_fds=[device])
INIT, GETATTR = 26, 3
while True:
    try:
        request = os.read(device, 1 << 17)
    except PermissionError:  # not mounted yet
        time.sleep(0.01)
        continue
    except OSError:
        log.write("unmounted\\n")
        break
    _, operation, unique = struct.unpack_from("IIQ", request)
    body = b""
    if operation == INIT:
        body = struct.pack("6I2H2I2H", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0, 0, 0)[:24].ljust(64, b"\\0")
    elif operation == GETATTR:
        body = struct.pack("Q2I6Q10I", 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
    error = 0 if body else -38
    os.write(device, struct.pack("IiQ", 16 + len(body), error, unique) + body)
signal.pause()
"""


def test_shutdown(machine: Callable[..., Machine]) -> None:
    """With members, mounts and leftover processes inside it takes no time, and a network file system goes in time."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("needs /dev/fuse")
    node = machine(arguments=["--bind=/dev/fuse"])
    node.write("/root/server.py", FILE_SERVER)
    # What provides the network starts before network.target and stops after it.
    order = "[Unit]\nBefore=network.target\nWants=network.target\n"
    service(node, "server.service", f"{order}[Service]\nExecStart=/usr/bin/python3 /root/server.py\n")
    _boot(node)
    _start(node, *MEMBERS["kubens"], *MEMBERS["soft"])
    node.run("mkdir", "/srv/f s", "/srv/t")
    node.systemctl("start", "server")
    _shell(node, "nsenter --mount=/run/kubens/mnt sh -c \"until mountpoint -q '/srv/f s'; do sleep 0.02; done\"")
    stay = "mount -t tmpfs none /srv/t; cd /srv/t; sleep 1000 >/dev/null 2>&1 &"
    node.run("nsenter", "--mount=/run/kubens/mnt", "sh", "-c", stay)
    assert not {"/srv/f s", "/srv/t"} & set(node.mounts())
    began = time.monotonic()
    node.poweroff()
    assert time.monotonic() - began < 15
    assert node.read("/var/log/network").splitlines() == ["unmounted", "network gone"]
    assert "Failed" not in node.console()


def test_stop_never_unmounts_the_root(machine: Callable[..., Machine]) -> None:
    """For umount(2) that is to make the file system read-only, the host's; a root on NFS is common."""
    node = machine()
    configure(node, "[MountNamespace]\n")
    install(node)
    node.write("/root/findmnt", '#!/bin/sh\nexec /usr/lib/whole/findmnt $(echo "$@" | sed s/,9p/,overlay/)\n', 0o755)
    node.boot()
    _shell(node, "mkdir -p /usr/lib/whole; mv /usr/bin/findmnt /usr/lib/whole; cp /root/findmnt /usr/bin/findmnt")
    node.systemctl("stop", "kubens")
    _shell(node, "touch /root/still-writable; findmnt -nro OPTIONS / | grep -q ^rw,")
