"""NAME.service on a real systemd: what it makes, over what, what it leaves, and what happens when it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

import machine
import mountinfo
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
        install(node)
        configure(node, CONFIGURATION)
        for name in "a", "b", "d", "e":
            service(node, f"{name}.service", "ExecStart=/bin/sleep 1000")
        for name in "c", "f":
            service(node, f"{name}.service", ENV_SERVICE)
        service(node, "other.service", "Type=oneshot\nEnvironmentFile=-/run/kubens/env\nExecStart=sh -c 'env >/run/other'")
        # They start more often than anybody would.
        node.write("/etc/systemd/system.conf.d/limit.conf", "[Manager]\nDefaultStartLimitIntervalSec=0\n")
        node.boot()
        yield node


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
    script = """
        for place in /run/netns/* /run/netns $(sed -n 's,^[^/]*/[^ ]* \\(/run/\\(kubens\\|soft\\)[^ ]*\\) .*,\\1,p' /proc/1/mountinfo); do
            while umount --lazy "$place" 2>/dev/null; do :; done
        done
        rm -rf --one-file-system /run/netns /run/kubens /run/soft /run/kubens-generator /run/container-mount-namespace
    """
    _shell(node, script)
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


def _state(node: Machine, member: str, name: str) -> str:
    """Where a member is: inside, host, stopped, or in a namespace in which it must not be."""
    pid = node.main_pid(f"{member}.service")
    if not pid:
        return "stopped"
    namespace = node.mount_namespace(pid)
    return {_pin(node, name): "inside", node.mount_namespace(1): "host"}.get(namespace, "elsewhere")


def _states(node: Machine, name: str = "kubens") -> set[str]:
    return {_state(node, member, name) for member in MEMBERS[name]}


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
    "killed before unshare made it a slave": BOUND + PIN + "unshare --mount=/run/kubens/mnt --propagation unchanged true",
    "killed before make-rshared": UNSHARED,
    "a stale pin": "mkdir /run/kubens; " + PIN,
    "a stale environment file": "mkdir /run/kubens; echo KUBENSMNT=/somewhere >/run/kubens/env",
    "a read-only pin": BOUND + PIN + "chmod 0 /run/kubens/mnt",
    "a dangling link": "mkdir /run/kubens; ln -s nowhere /run/kubens/mnt",
    "a link to PID 1's namespace": "mkdir /run/kubens; ln -s /proc/1/ns/mnt /run/kubens/mnt",
    "a fifo": "mkdir /run/kubens; mkfifo /run/kubens/mnt",
    "a directory": "mkdir -p /run/kubens/mnt",
    "a directory with contents": "mkdir -p /run/kubens/mnt/x/y; : >/run/kubens/mnt/z",
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
def test_start_over(request: pytest.FixtureRequest, node: Machine, state: str) -> None:
    if state in ("killed before unshare made it a slave", "a link to PID 1's namespace", "a fifo"):
        request.applymarker(pytest.mark.xfail(strict=True, reason="mount-4, mount-9"))
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


@pytest.mark.xfail(strict=True, reason="mount-3")
@pytest.mark.parametrize("verb", ["start", "stop"])
def test_what_others_mounted_there_is_not_removed(node: Machine, verb: str) -> None:
    """Whether it starts is of less weight."""
    _shell(node, "mkdir -p /srv/precious; : >/srv/precious/file; " + ("" if verb == "start" else "systemctl start kubens"))
    _shell(node, "umount --lazy /run/kubens/mnt /run/kubens 2>/dev/null || true; rm -rf /run/kubens/mnt")
    _shell(node, "mkdir -p /run/kubens/mnt/there; mount --bind /srv/precious /run/kubens/mnt/there")
    node.systemctl(verb, "kubens", check=False)
    precious = (node.tree / "srv/precious/file").exists()
    _shell(node, "umount --lazy /run/kubens/mnt/there || true")
    assert precious


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


FIRST = {
    "kubens": "",
    "kubens, into an empty mount": "mkdir -p /run/netns; mount --bind /run/netns /run/netns",
    "ip": "ip netns add early",
    "ip, by hand": "mkdir -p /run/netns; mount --bind /run/netns /run/netns; mount --make-shared /run/netns; ip netns add early",
    "ip, twice": "ip netns add early; ip netns add early2; ip netns del early2",
}


@pytest.mark.parametrize("first", FIRST)
def test_network_namespaces_on_both_sides(request: pytest.FixtureRequest, node: Machine, first: str) -> None:
    """Whoever came first: each is to be seen where it should be, and goes from either side."""
    if first.startswith("ip"):
        request.applymarker(pytest.mark.xfail(strict=True, reason="mount-5"))
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
        if len(mountinfo.at(node, "/run/netns")) != 1 or len(mounts) != 4:
            pytest.xfail(f"mount-5: {mounts}")  # when ip is first
        assert _netns_faults(node) == []


def test_start_waits_for_the_lock_of_ip(node: Machine) -> None:
    script = """
        mkdir -p /run/netns
        exec flock /run/netns sh -c 'systemctl start --no-block kubens; sleep 0.5; systemctl is-active kubens || true'
    """
    assert _shell(node, script) == "activating\n"
    node.systemctl("start", "kubens")
    assert _faults(node) == []
