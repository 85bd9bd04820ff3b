"""The picture of `kubensctl status` in README.md: what a terminal shows in a throw-away machine, on standard output.

The services are stand-ins. One was declared and not yet restarted, another is not installed.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import ctl
import nodes
from kubens_machine import configure, service
from machine import Machine

CONFIGURATION = """\
[MountNamespace]
Wrap=containerd.service kubelet.service rke2-agent.service

[NetworkNamespace]
Name=blue
Types=veth nft
Services=transmission.service
"""
VETH = "VETH_IFADDR_OUTSIDE=10.1.1.1/24\nVETH_IFADDR_INSIDE=10.1.1.2/24\n"
MOUNTS = "[Service]\nEnvironment=STANDIN_MOUNTS=200\n"


def main() -> None:
    with ExitStack() as stack:
        node = ctl.Node(lambda *arguments, **options: stack.enter_context(Machine(*arguments, **options)))
        machine = node.machine
        configure(machine, CONFIGURATION)
        machine.write("/etc/conf.d/netns/veth-blue.conf", VETH)
        nodes.install(machine, "containerd", "kubelet", "docker")
        machine.write("/etc/systemd/system/containerd.service.d/mounts.conf", MOUNTS)
        service(machine, "transmission.service", "ExecStart=/bin/sleep infinity")
        machine.boot()
        machine.systemctl("start", "transmission")
        configure(machine, "[MountNamespace]\nWrap=docker.service\n", "docker.conf")
        machine.daemon_reload()
        shown = node.on_terminal("status").stdout.replace("\r\n", "\n")
        print(f"# kubensctl status\n{shown}", end="")


if __name__ == "__main__":
    main()
