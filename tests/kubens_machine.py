"""Machines with kubens installed, as `make install` does it."""

from __future__ import annotations

import subprocess

from machine import CHECKOUT, Machine


def install(node: Machine, **variables: str) -> None:
    """`make install` into a machine; variables such as WRAP_SERVICES go to make."""
    settings = [f"{name}={value}" for name, value in variables.items()]
    command = ["make", "--silent", f"--directory={CHECKOUT}", "install", f"DESTDIR={node.tree}", *settings]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def configure(node: Machine, text: str, name: str = "services.conf") -> None:
    node.write(f"/etc/kubens/{name}", text)


def service(node: Machine, name: str, text: str) -> None:
    """A unit in /etc/systemd/system; `text` is its [Service] section where it has no section of its own."""
    node.write(f"/etc/systemd/system/{name}", text if text.startswith("[") else f"[Service]\n{text}\n")


def is_inside(node: Machine, unit: str, name: str = "kubens") -> bool:
    """Whether the unit's main process is in the pinned mount namespace."""
    pin = node.run("nsenter", f"--mount=/run/{name}/mnt", "readlink", "/proc/self/ns/mnt").stdout.strip()
    return node.mount_namespace(node.main_pid(unit)) == pin
