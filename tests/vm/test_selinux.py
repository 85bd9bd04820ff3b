"""Debian's SELinux policy, enforcing: the domains of services unwrapped, and of the same ones wrapped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import vm
from kubens_machine import service
from machine import Machine
from vm import nodes

MEMBERS = ("containerd", "kubelet", "mountd", "agent")
# Of a type that Debian's policy has a domain for when PID 1 executes it, and none when initrc_t does, where nsenter is.
AGENT_TYPE, AGENT = "bootloader_exec_t", "bootloader_t"
ENTER = "/usr/bin/nsenter --mount=/proc/1/ns/mnt"
# What people may think of, around a program of that type.
WAYS = {
    "nsenter": f"ExecStart={ENTER} /usr/bin/agent 1000",
    "context": f"SELinuxContext=system_u:system_r:{AGENT}:s0\nExecStart={ENTER} /usr/bin/agent 1000",
    "runcon": f"ExecStart={ENTER} /usr/bin/runcon system_u:system_r:{AGENT}:s0 /usr/bin/agent 1000",
}
# The domain of a service, or what came of it.
DOMAIN = """
domain() {
    pid=$(systemctl show --property=MainPID --value "$1")
    if [ "$pid" = 0 ]; then
        echo "$1 $(systemctl show --property=ExecMainStatus --value "$1")"
    else
        echo "$1 $(ps --no-headers -o label "$pid" | cut -d : -f 3)"
    fi
}
cat /sys/fs/selinux/enforce
echo
"""
UNWRAPPED = f"""{DOMAIN}
systemctl start {" ".join(WAYS)}
sleep 2
for name in {" ".join((*MEMBERS, *WAYS))}; do domain $name; done
echo
kubensctl check --json
echo
kubensctl selinux
"""
WRAPPED = f"""{DOMAIN}
for name in {" ".join(MEMBERS)}; do domain $name; done
echo
kubensctl check
systemctl daemon-reload
dmesg --level=err,warn --notime | grep ^kubens-generator
echo
readlink /run/systemd/system-generators/kubens-generator
systemctl show --property=FragmentPath --value kubens
echo
{nodes.LOAD}
{nodes.RUN} one sleep 1000
ctr --namespace=k8s.io tasks exec --exec-id a one echo in a container
grep -c /run/containerd/ /proc/1/mountinfo
kubensenter -q -- grep -c /run/containerd/ /proc/self/mountinfo
"""


def _node(machine: Callable[..., Machine], release: Path) -> Machine:
    node = machine(str(release))
    nodes.prepare(node, f"[MountNamespace]\nWrap={' '.join(MEMBERS)}\n")
    sleep = (node.tree / "usr/bin/sleep").read_bytes()
    for name in ("kubelet", "agent"):
        node.write(f"/usr/bin/{name}", sleep, 0o755)
        service(node, f"{name}.service", f"ExecStart=/usr/bin/{name} 1000")
    # A daemon that Debian has a domain for.
    service(node, "mountd.service", "ExecStartPre=/usr/sbin/modprobe nfsd\nExecStart=/usr/sbin/rpc.mountd --foreground")
    for name, settings in WAYS.items():
        service(node, f"{name}.service", settings)
    for name in ("kubelet", "agent", "mountd"):
        node.link(f"/etc/systemd/system/multi-user.target.wants/{name}.service", f"../{name}.service")
    config = node.read("/etc/selinux/config")
    node.write("/etc/selinux/config", config.replace("SELINUX=permissive", "SELINUX=enforcing"))
    nodes.label(node)
    node.chroot("chcon", f"system_u:object_r:{AGENT_TYPE}:s0", "/usr/bin/agent")
    return node


@pytest.mark.needs("root", "namespaces", "mke2fs", "qemu-system-x86_64")
@pytest.mark.parametrize("release", nodes.RELEASES, ids=[path.name for path in nodes.RELEASES])
def test_domains(machine: Callable[..., Machine], release: Path) -> None:
    node = _node(machine, release)
    said = vm.ask(node, UNWRAPPED, "security=selinux", "kubens=0")
    domains, findings, policy = said.split("\n\n", 2)
    unwrapped = dict(line.split() for line in domains.splitlines()[1:])
    assert domains.startswith("1\n"), "enforcing"
    # nsenter is no entry point of the domain, and its own domain may not change into that one by itself.
    assert {name: unwrapped.pop(name) for name in WAYS} == {"nsenter": "initrc_t", "context": "203", "runcon": "126"}
    assert (unwrapped["mountd"], unwrapped["agent"]) == ("nfsd_t", AGENT)
    warned = {one["unit"]: one["reason"] for one in json.loads(findings) if "SELinux runs" in one["reason"]}
    assert any("what is recorded of what lives" in one["reason"] for one in json.loads(findings))
    assert list(warned) == ["agent.service"] and f"as {AGENT}, and as initrc_t with" in warned["agent.service"]
    assert f"(typetransition initrc_t {AGENT_TYPE} process {AGENT})\n" in policy
    node.write("/root/kubens.cil", policy)
    node.chroot("semodule", "--noreload", "--install=/root/kubens.cil")
    nodes.label(node)
    domains, findings, generator, container = vm.ask(node, WRAPPED, "security=selinux").split("\n\n")
    assert dict(line.split() for line in domains.splitlines()[1:]) == unwrapped
    assert findings == "1 namespace, 4 services: nothing to mend."
    # At the reload, PID 1 had to run what is linked in /run.
    recorded = "/usr/lib/systemd/system-generators/.kubens-recorded"
    assert generator.split() == [recorded, "/run/systemd/generator/kubens.service"]
    assert container.split()[-5:] == ["in", "a", "container", "0", "1"]
