"""Machines with kubens installed, as `make install` does it."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache

from machine import CHECKOUT, Machine


def install(node: Machine, **variables: str) -> None:
    """`make install` into a machine; variables such as WRAP_SERVICES go to make."""
    settings = tuple(f"{name}={value}" for name, value in sorted(variables.items()))
    if (node.tree / "usr/lib/kubens").exists():
        _make_install(str(node.tree), settings)
        return
    # What is configured already stays, as `make install` has it.
    command = ["cp", "--archive", "--no-clobber", f"{_installed(settings)}/.", str(node.tree)]
    subprocess.run(command, check=True)


@cache
def _installed(settings: tuple[str, ...]) -> str:
    """A directory with what `make install` makes, to be copied: compiling takes longer than booting a machine."""
    directory = tempfile.mkdtemp(prefix="kubens-installed-")
    atexit.register(shutil.rmtree, directory)
    os.chmod(directory, 0o755)
    _make_install(directory, settings)
    return directory


def _make_install(directory: str, settings: tuple[str, ...]) -> None:
    command = ["make", "--silent", f"--directory={CHECKOUT}", "install", f"DESTDIR={directory}", *settings]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def configure(node: Machine, text: str, name: str = "services.conf") -> None:
    node.write(f"/etc/kubens/{name}", text)


def service(node: Machine, name: str, text: str) -> None:
    """A unit in /etc/systemd/system; `text` is its [Service] section where it has no section of its own."""
    node.write(f"/etc/systemd/system/{name}", text if text.startswith("[") else f"[Service]\n{text}\n")


# What a service's main process is on its way to the service's own program.
_ON_THE_WAY = ("(", "env\n", "kubensenter\n", "nsenter\n", "sh\n", "systemd-executo\n")


def _is_settled(node: Machine, units: tuple[str, ...]) -> bool:
    if node.systemctl("show", "--property=NJobs").stdout != "NJobs=0\n":
        return False
    pids = [pid for pid in map(node.main_pid, units) if pid]
    try:
        return not any(node.read(f"/proc/{pid}/comm").startswith(_ON_THE_WAY) for pid in pids)
    except OSError:
        return False  # ended in this moment


def whereabouts(node: Machine, *units: str, name: str = "kubens") -> list[str]:
    """For each unit: `inside` the namespace, on the `host`, `elsewhere`, or its state where it does not run.

    Waits for all jobs, and for each service to be what it is to be: systemctl(1) does not wait until nsenter is in.
    """
    node.wait_until(lambda: _is_settled(node, units))
    pin = node.run("nsenter", f"--mount=/run/{name}/mnt", "readlink", "/proc/self/ns/mnt", check=False).stdout.strip()
    places = {pin: "inside", node.mount_namespace(): "host"}
    found = []
    for unit in units:
        state = node.show(unit, "ActiveState", "MainPID")
        pid = int(state["MainPID"])
        found.append(places.get(node.mount_namespace(pid), "elsewhere") if pid else state["ActiveState"])
    return found
