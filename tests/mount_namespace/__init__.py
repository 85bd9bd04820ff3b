"""What the tests of NAME.service share: a machine with two kinds of namespaces, and looks at it."""

from __future__ import annotations

import time

import mountinfo
from kubens_machine import configure, install, service
from machine import Machine

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

# What may be there when it starts.
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
# As ip made it until 2025.
BY_IP = "mkdir -p /run/netns; mount --bind /run/netns /run/netns; mount --make-shared /run/netns; "


def boot(node: Machine) -> None:
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


def reset(node: Machine) -> None:
    members = [f"{name}.service" for names in MEMBERS.values() for name in names]
    node.systemctl("stop", *members, *(f"{name}.service" for name in MEMBERS))
    node.systemctl("reset-failed")
    ours = ("netns", *MEMBERS)
    for path in reversed(node.mounts()):
        if path.startswith(tuple(f"/run/{name}" for name in ours)):
            node.run("umount", "--lazy", path, check=False)
    node.run("rm", "-rf", "--one-file-system", *(f"/run/{name}" for name in ours), "/run/kubens-generator")
    assert left_overs(node) == []


def shell(node: Machine, script: str) -> str:
    return node.run("sh", "-euc", script).stdout


def break_tool(node: Machine, tool: str, pattern: str = "*") -> None:
    shell(node, f"mkdir -p /usr/lib/whole; mv $(command -v {tool}) /usr/lib/whole/{tool}")
    node.write(f"/usr/bin/{tool}", BROKEN.format(tool=tool, pattern=pattern), 0o755)


def mend_tools(node: Machine) -> None:
    """Nothing here may need what could be broken."""
    whole = node.tree / "usr/lib/whole"
    for tool in whole.iterdir() if whole.exists() else ():
        tool.rename(node.tree / "usr/bin" / tool.name)


def start(node: Machine, *names: str) -> None:
    """Start services, whether that succeeds or not."""
    node.run("systemctl", "start", *(f"{name}.service" for name in names), check=False, timeout=15)


def pin(node: Machine, name: str = "kubens") -> str:
    return mountinfo.pinned(node, f"/run/{name}/mnt")


def states(node: Machine, name: str = "kubens") -> set[str]:
    """Where the members are: inside, host, stopped, or in a namespace in which they must not be."""
    pids = settled(node, [f"{member}.service" for member in MEMBERS.get(name, ())])
    places = {node.mount_namespace(1): "host", pin(node, name): "inside"}
    return {places.get(node.mount_namespace(pid), "elsewhere") if pid else "stopped" for pid in pids}


def settled(node: Machine, units: list[str]) -> list[int]:
    """Main processes, once each runs what it is there for: systemd waits neither for nsenter nor for the shell."""
    wait_for_jobs(node)
    deadline = time.monotonic() + 10
    while units and time.monotonic() < deadline:
        shown = node.systemctl("show", "--property=MainPID", "--value", *units).stdout
        pids = [int(pid) for pid in shown.split()]
        if all(process_name(node, pid) == "sleep" for pid in pids if pid):
            return pids
    assert not units, "members neither run nor stop"
    return []


def process_name(node: Machine, pid: int) -> str:
    try:
        return node.read(f"/proc/{pid}/comm").strip()
    except FileNotFoundError:
        return ""


def wait_for_jobs(node: Machine) -> None:
    shell(node, 'while [ -n "$(systemctl list-jobs --no-legend)" ]; do sleep 0.05; done')


def is_active(node: Machine, name: str = "kubens") -> bool:
    return node.show(f"{name}.service", "ActiveState")["ActiveState"] == "active"


def left_overs(node: Machine, *names: str) -> list[str]:
    """What there is of these namespaces, or of any, at PID 1 and in the file system."""
    names = names or tuple(MEMBERS)
    paths = [f"/run/{name}" for name in names] + [f"/run/kubens-generator/{name}" for name in names]
    mounts = [path for path in node.mounts() for name in names if path.split("/")[1:3] == ["run", name]]
    return mounts + [path for path in paths if node.tree.joinpath(path[1:]).exists()]


def faults(node: Machine, name: str = "kubens") -> list[str]:
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
    return faults + netns_faults(node)


def netns_faults(node: Machine) -> list[str]:
    """/run/netns is one shared mount with a peer group of its own."""
    mounts = mountinfo.at(node, "/run/netns")
    others = {mount.shared for mount in mountinfo.table(node) if mount not in mounts}
    if len(mounts) != 1 or not mounts[0].shared or mounts[0].shared in others:
        return [f"/run/netns: {mounts}"]
    return []


def ip(node: Machine, side: str, *arguments: str) -> None:
    enter = () if side == "host" else ("nsenter", "--mount=/run/kubens/mnt")
    node.run(*enter, "ip", "netns", *arguments)
