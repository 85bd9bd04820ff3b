"""The end of a node whose containers use file systems of a real NFS server: those go before the network does.

Server and node are one virtual machine; a network namespace is the other computer, a pair of devices the network.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import vm
from kubens_machine import service
from machine import Machine
from node import BUSYBOX
from vm import nodes

EARLY = """\
[Unit]
DefaultDependencies=no
After={after}
Before=network.target
Wants=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
"""
# As the package's units do it, but for how long clients of an earlier boot are waited for.
SERVE = """\
ip link set lo up
ip address add 192.0.2.2/24 dev eth0
ip link set eth0 up
mount -t nfsd nfsd /proc/fs/nfsd
exportfs -o rw,no_root_squash,insecure,no_subtree_check,fsid=0 *:/srv/export
rpc.mountd --no-nfs-version 2 --no-nfs-version 3
rpc.nfsd --no-nfs-version 3 --grace-time 10 --lease-time 10 2
"""
# Which processes have what of it mounted when the network goes.
GOES = """\
for file in /proc/[0-9]*/mountinfo; do
    while read -r _ _ _ _ target rest; do
        case $rest in *" - nfs4 "*) echo "$(cat "${file%mountinfo}comm") $target" ;; esac
    done <"$file"
done >/dev/ttyS1
ip link set node0 down
"""
# A member that mounts, and has a file of it open.
MEMBER = """\
ExecStart=/bin/sh -euc 'mount -t nfs4 192.0.2.2:/member /srv/member; exec sleep 1000 </srv/member/file'
"""
# A container that mounts for itself; like all of ctr it is in a control group of the runtime's own.
ALONE = """\
mkdir /mnt
mount -t nfs4 -o vers=4.2,nosharecache,addr=192.0.2.2,clientaddr=192.0.2.1 192.0.2.2:/alone /mnt
touch /mnt/here
exec sleep 1000 </mnt/here
"""
QUESTION = f"""
{nodes.LOAD}
cd /root/tests && python3 -m vm.storage_pods
ctr --namespace=k8s.io run --detach --privileged --net-host {BUSYBOX} alone sh -euc '{ALONE}'
until [ -e /srv/export/alone/here ]; do sleep 1; done
systemctl start member
while [ "$(cat /proc/$(systemctl show -P MainPID member)/comm)" != sleep ]; do sleep 1; done
grep -c ' nfs4 ' /proc/1/mountinfo
kubensenter -q -- grep -c ' nfs4 ' /proc/self/mountinfo
cut -d ' ' -f 1 /proc/uptime
"""
# How long systemd waits for what SIGTERM does not end, and again after SIGKILL.
PATIENCE = 10


@pytest.mark.needs("root", "namespaces", "mke2fs", "qemu-system-x86_64")
@pytest.mark.parametrize("release", nodes.RELEASES, ids=[path.name for path in nodes.RELEASES])
def test_network_file_systems(machine: Callable[..., Machine], release: Path) -> None:
    """Without pods that end in time, the writer has its volume still, and may be stuck for two minutes."""
    node = machine(str(release))
    nodes.prepare(node, "[MountNamespace]\nWrap=containerd.service member.service\n")
    nodes.program(node, "storage_pods")
    node.write("/etc/systemd/system.conf.d/stop.conf", f"[Manager]\nDefaultTimeoutStopSec={PATIENCE}s\n")
    _server(node)
    service(node, "member.service", MEMBER)
    for directory in ("volumes/idle", "volumes/busy", "member"):
        node.write(f"/srv/{directory}/host", "")
    ending = "reboot" if release.name == "bookworm" else "poweroff"
    ended = vm.run(node, QUESTION, ending, "systemd.log_target=kmsg", "printk.devkmsg=on")
    host, inside, uptime = ended.said.split()
    assert (host, inside) == ("0", "3"), ended.said
    assert ended.last == "", "nobody has any of it when the network goes"
    assert "Still around after SIGKILL" not in ended.console
    *_, end = re.findall(r"^\[ *([0-9.]+)\] reboot: ", ended.console, re.MULTILINE)
    assert float(end) - float(uptime) < 9 * PATIENCE
    print(f"{ending} took {float(end) - float(uptime):.1f} s")


def _server(node: Machine) -> None:
    """The other computer, and the network: it is up before network.target, and goes after that."""
    for directory in ("idle", "busy", "member", "alone"):
        node.write(f"/srv/export/{directory}/file", "")
    node.write("/root/server", SERVE)
    node.write("/root/network-goes", GOES)
    commands = {
        "cable": (
            "ExecStart=/usr/sbin/ip netns add server",
            "ExecStart=/usr/sbin/ip link add node0 type veth peer name eth0 netns server",
            "ExecStart=/usr/sbin/ip address add 192.0.2.1/24 dev node0",
        ),
        "server": ("ExecStart=/usr/sbin/ip netns exec server /bin/sh -ex /root/server",),
        "network": (
            "ExecStart=/usr/sbin/ip link set node0 up",
            "ExecStop=/bin/sh /root/network-goes",
            "[Unit]",
            "Conflicts=shutdown.target",
            "Before=shutdown.target",
        ),
    }
    after = "sysinit.target"
    for name, lines in commands.items():
        service(node, f"{name}.service", EARLY.format(after=after) + "\n".join(lines) + "\n")
        node.link(f"/etc/systemd/system/multi-user.target.wants/{name}.service", f"../{name}.service")
        after = f"{name}.service"
