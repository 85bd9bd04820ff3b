"""The end of a machine with namespaces."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from kubens_machine import configure, install, service
from machine import Machine
from mount_namespace import (
    MEMBERS,
    boot,
    shell,
    start,
)

pytestmark = pytest.mark.needs("root", "namespaces", "nspawn")

# Stands in for a network file system and for the network that it needs: answers as little as a mount needs, and writes
# down which came first, the unmount or the stop of the network.
FILE_SERVER = """import os, signal, struct, subprocess, sys, time

log = open("/var/log/network", "a", buffering=1)
signal.signal(signal.SIGTERM, lambda *_: (log.write("network gone\\n"), os._exit(0)))
device = os.open("/dev/fuse", os.O_RDWR)
options = f"subtype=sshfs,fd={device},rootmode=40000,user_id=0,group_id=0"
# Of a type "fuse.sshfs" mount(8) forgets the second half since 2.41.
mount = ["nsenter", "--mount=/run/kubens/mnt", "mount", "-i", "-t", "fuse", "-o", options, "far:", "/srv/f s"]
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

# What a runtime leaves behind that makes control groups by itself, and a container of another beside it. They say what
# they are told at the end; one does not heed that.
TOLD = "trap 'echo {} told >>/var/log/network; exit' TERM"
STAY = "while :; do sleep 0.1; done"
CONTAINERS = {
    "shim": f"""
unshare --mount --propagation private /root/heeding &
unshare --mount --propagation slave /root/deaf &
nsenter --mount=/proc/1/ns/mnt /root/beside &
{TOLD.format("shim")}
{STAY}
""",
    "heeding": f"""
cd '/srv/f s'
{TOLD.format("container")}
{STAY}
""",
    "deaf": f"""
cd '/srv/f s'
trap '' TERM
echo >/run/deaf
{STAY}
""",
    "beside": f"""
exec 5<>/dev/fuse
mount -i -t fuse -o subtype=sshfs,fd=5,rootmode=40000,user_id=0,group_id=0 near: /mnt
exec 5>&-
{TOLD.format("beside")}
echo >>/run/beside
{STAY}
""",
}


def _prepare(node: Machine) -> None:
    """A file server, which a mount inside waits for, and the network that it needs."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("needs /dev/fuse")
    node.write("/root/server.py", FILE_SERVER)
    # What provides the network starts before network.target and stops after it.
    order = "[Unit]\nBefore=network.target\nWants=network.target\n"
    service(node, "server.service", f"{order}[Service]\nExecStart=/usr/bin/python3 /root/server.py\n")


def _serve(node: Machine) -> None:
    node.run("mkdir", "/srv/f s", "/srv/t")
    node.systemctl("start", "server")
    shell(node, "nsenter --mount=/run/kubens/mnt sh -c \"until mountpoint -q '/srv/f s'; do sleep 0.02; done\"")


def test_shutdown(machine: Callable[..., Machine]) -> None:
    """With members, mounts and leftover processes inside it takes no time, and a network file system goes in time."""
    node = machine(arguments=["--bind=/dev/fuse"])
    _prepare(node)
    boot(node)
    start(node, *MEMBERS["kubens"], *MEMBERS["soft"])
    _serve(node)
    stay = "mount -t tmpfs none /srv/t; cd /srv/t; sleep 1000 >/dev/null 2>&1 &"
    node.run("nsenter", "--mount=/run/kubens/mnt", "sh", "-c", stay)
    assert not {"/srv/f s", "/srv/t"} & set(node.mounts())
    began = time.monotonic()
    node.poweroff()
    assert time.monotonic() - began < 15
    assert node.read("/var/log/network").splitlines() == ["unmounted", "network gone"]
    assert "Failed" not in node.console()


def test_containers_that_systemd_does_not_know(machine: Callable[..., Machine], lower: str) -> None:
    """Those inside that have a network file system end before the network, and at a shutdown only."""
    node = machine(lower, arguments=["--bind=/dev/fuse"])
    _prepare(node)
    for name, script in CONTAINERS.items():
        node.write(f"/root/{name}", f"#!/bin/sh{script}", 0o755)
    node.write("/etc/systemd/system.conf.d/stop.conf", "[Manager]\nDefaultTimeoutStopSec=2s\n")
    node.write("/etc/systemd/system/mnt.mount.d/stays.conf", "[Unit]\nDefaultDependencies=no\n")
    boot(node)
    start(node, *MEMBERS["kubens"], *MEMBERS["soft"])
    _serve(node)
    begun = (
        "nsenter --mount=/run/kubens/mnt /root/shim",
        "unshare --mount /root/beside",
        # Of a namespace that is stopped before the end, which tells it nothing.
        "nsenter --mount=/run/soft/mnt sh -c 'unshare --mount /root/beside & sleep 1000'",
    )
    for command in begun:
        shell(node, f"{command} >/dev/null 2>&1 &")
    shell(node, "until [ -e /run/deaf ] && [ $(wc -l </run/beside) = 3 ]; do sleep 0.02; done")
    node.systemctl("stop", "soft")
    began = time.monotonic()
    node.poweroff()
    assert time.monotonic() - began < 20
    until, gone, _ = node.read("/var/log/network").partition("network gone\n")
    assert gone
    assert until.splitlines() == ["container told", "unmounted"]


def test_stop_never_unmounts_the_root(machine: Callable[..., Machine]) -> None:
    """For umount(2) that is to make the file system read-only, the host's; a root on NFS is common."""
    node = machine()
    configure(node, "[MountNamespace]\n")
    install(node)
    node.write("/root/findmnt", '#!/bin/sh\nexec /usr/lib/whole/findmnt $(echo "$@" | sed s/,9p/,overlay/)\n', 0o755)
    node.boot()
    shell(node, "mkdir -p /usr/lib/whole; mv /usr/bin/findmnt /usr/lib/whole; cp /root/findmnt /usr/bin/findmnt")
    node.systemctl("stop", "kubens")
    shell(node, "touch /root/still-writable; findmnt -nro OPTIONS / | grep -q ^rw,")
