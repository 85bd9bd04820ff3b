"""What the tests of network namespaces share: a machine with kubens, types and namespaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kubens_machine import configure, install, service
from machine import Machine

Maker = Callable[..., Machine]

VETH = "VETH_IFADDR_OUTSIDE=10.1.{0}.1/24\nVETH_IFADDR_INSIDE=10.1.{0}.2/24\nVETH_GATEWAY=10.1.{0}.1\n"
SLEEP = "ExecStart=/bin/sleep 1000"


def node_with(node: Machine, configuration: str = "", types: Mapping[str, str] | None = None) -> Machine:
    """A machine with kubens, its configuration, and files in /etc/conf.d/netns; not booted yet."""
    install(node)
    if configuration:
        configure(node, configuration)
    for name, text in (types or {}).items():
        node.write(f"/etc/conf.d/netns/{name}", text)
    return node


def states(node: Machine, *units: str) -> list[str]:
    """What each unit is once no job is left."""
    settle(node)
    return [node.show(unit, "ActiveState")["ActiveState"] for unit in units]


def settle(node: Machine) -> None:
    node.wait_until(lambda: node.systemctl("show", "--property=NJobs").stdout == "NJobs=0\n")


def units_of(name: str, *types: str) -> list[str]:
    return [f"netns_name@{name}", *(unit for kind in types for unit in (f"netns_outside-{kind}@{name}",
                                                                        f"netns-{kind}@{name}"))]  # fmt: skip


def namespace_of(node: Machine, unit: str) -> str:
    """The name of the network namespace that a unit's main process is in; `host`, or `` where it is in none of both."""
    script = """
for path in /run/netns/* /proc/1/ns/net; do
    if [ "$(stat -Lc %d:%i "$path")" = "$(stat -Lc %d:%i /proc/$0/ns/net)" ]; then echo "${path##*/}"; fi
done
"""
    settle(node)
    found = node.run("sh", "-c", script, str(node.main_pid(unit)), check=False).stdout.strip()
    return "host" if found == "net" else found


def remains(node: Machine) -> list[str]:
    """What is left of network namespaces: names, devices, and what the runner keeps."""
    settle(node)
    script = "ls -A /run/netns /run/kubens-generator 2>/dev/null | grep -v ^/; ls /sys/class/net"
    return [line for line in node.run("sh", "-c", script).stdout.split() if line != "lo"]


__all__ = ["SLEEP", "VETH", "Machine", "Maker", "configure", "namespace_of", "node_with", "remains", "service",
           "settle", "states", "units_of"]  # fmt: skip
