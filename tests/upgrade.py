"""Debian's upgrade from 12 to 13, for real and with members running: whatever the interpreter is in between.

Each with what `make install` installs, whose compiled form stays that of 12, and with the package, which follows.
`make check-upgrade` makes the tree, in which all packages lie ready, and runs this; it takes some minutes. What an
interpreter may be is tried one by one as well: tests/test_reload_while_live.py does so in every run of the tests.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kubens_machine import configure, install, service, whereabouts
from machine import CHECKOUT, Machine
from package import build_packages, is_compiled_for

TREE = CHECKOUT / os.environ.get("KUBENS_UPGRADE", "build/upgrade/bookworm")
PYTHON = "/usr/bin/python3"
MEMBERS = ("a", "b")
UPGRADE = ("apt-get", "--yes", "--no-download", "--option=Dpkg::Options::=--force-confold", "full-upgrade")
# While one of these is being replaced, more is looked at.
OURS = ("python", "libc6", "util-linux", "mount", "coreutils", "bash", "dash", "perl", "systemd")


def _install_package(node: Machine, directory: Path) -> None:
    (package,) = build_packages(directory).glob("kubens_*.deb")
    node.install(package, "/root/kubens.deb")
    command = ["chroot", str(node.tree), "dpkg", "--install", "/root/kubens.deb"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _node(machine: Callable[..., Machine], packages: Path | None) -> Machine:
    """packages: where to build the package, if that is to be installed."""
    node = machine(str(TREE), kmsg=True)
    if packages:
        _install_package(node, packages)
    else:
        install(node)
    configure(node, f"[MountNamespace]\nWrap={' '.join(MEMBERS)}\n")
    for name in MEMBERS:
        service(
            node,
            f"{name}.service",
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep 10000\n"
            "[Install]\nWantedBy=multi-user.target\n",
        )
        node.link(f"/etc/systemd/system/multi-user.target.wants/{name}.service", f"../{name}.service")
    node.boot()
    assert _version(node).startswith("3.11")
    assert whereabouts(node, *MEMBERS) == ["inside"] * len(MEMBERS)
    return node


def _version(node: Machine) -> str:
    """The interpreter's, or "" where it does not run."""
    done = node.run(PYTHON, "-I", "-S", "-c", "import sys; print(*sys.version_info[:3], sep='.')", check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


class Upgrade:
    """An upgrade that goes on only between the looks that somebody takes.

    package: what dpkg(1) is at. moments: how often nobody could have looked, for want of systemctl(1).
    """

    def __init__(self, node: Machine) -> None:
        self._node = node
        node.run(
            "systemd-run", "--unit=upgrade", "--property=Type=exec", "--property=RemainAfterExit=yes",
            "--setenv=DEBIAN_FRONTEND=noninteractive", "--", *UPGRADE, timeout=60,
        )  # fmt: skip
        self.package = ""
        self.moments = 0

    def go_on(self) -> bool:
        """Let it do a little. False where it is at its end."""
        self._freeze(False)
        time.sleep(0.02 if self.package.startswith(OURS) else 0.6)
        self._freeze(True)
        lines = self._node.read("/var/log/dpkg.log").splitlines()[-1:]
        self.package = lines[0].split()[4 if " status " in lines[0] else 3] if lines else ""
        shown = self._node.run("systemctl", "show", "--property=SubState", "upgrade", check=False)
        if shown.returncode or not shown.stdout:
            # The program, its library, or the system manager is being replaced itself.
            self.moments += 1
            return self.go_on()
        return shown.stdout == "SubState=running\n"

    def _freeze(self, frozen: bool) -> None:
        group = self._node.tree / "sys/fs/cgroup/system.slice/upgrade.service/cgroup.freeze"
        if group.exists():
            group.write_text(str(int(frozen)))

    def look(self) -> list[str]:
        """Reload, restart a member, and tell where the members are."""
        self._node.daemon_reload()
        self._node.systemctl("restart", MEMBERS[int(time.monotonic() * 100) % len(MEMBERS)], check=False)
        return whereabouts(self._node, *MEMBERS)


@pytest.mark.needs("root", "namespaces", "nspawn")
@pytest.mark.parametrize("installed", ["package", "source"])
def test_members_stay_inside_while_everything_is_replaced(
    machine: Callable[..., Machine], tmp_path: Path, installed: str
) -> None:
    node = _node(machine, tmp_path if installed == "package" else None)
    upgrade = Upgrade(node)
    seen: Counter[str] = Counter()
    outside: list[tuple[str, str, list[str]]] = []
    while upgrade.go_on():
        places, version = upgrade.look(), _version(node)
        seen[f"Python {version or 'does not run'}, members {' '.join(places)}"] += 1
        if {"host", "elsewhere"} & {*places}:
            outside.append((upgrade.package, version, places))
    print(*(f"{count:5} looks: {what}" for what, count in sorted(seen.items())), sep="\n")
    print(f"{upgrade.moments:5} times systemctl did not run")
    assert not outside
    assert node.show("upgrade", "Result")["Result"] == "success", node.journal("upgrade")
    assert _version(node).startswith("3.13")
    assert "VERSION_CODENAME=trixie" in node.read("/etc/os-release")
    node.daemon_reload()
    node.systemctl("restart", "kubens")
    assert whereabouts(node, *MEMBERS) == ["inside"] * len(MEMBERS)
    assert is_compiled_for(node) == (installed == "package")
    _the_other_release(node)
    for harm in HARMS:
        _harmed(node, harm)


def _the_other_release(node: Machine) -> None:
    """What is not compiled for it runs from its source, whose boot is the same."""
    before = node.kmsg().count("did not run")
    node.kill()
    node.boot()
    assert whereabouts(node, *MEMBERS) == ["inside"] * len(MEMBERS)
    assert "kubens" not in node.systemctl("--failed", "--no-legend").stdout
    assert node.kmsg().count("did not run") == before


# What is done to the interpreter, and what undoes it.
HARMS = {
    "missing": (f"mv {PYTHON} {PYTHON}.away", f"mv {PYTHON}.away {PYTHON}"),
    "not executable": (f"chmod -x $(realpath {PYTHON})", f"chmod +x $(realpath {PYTHON})"),
    "half of it": (
        f"p=$(realpath {PYTHON}); cp -p $p $p.away; truncate -s 100000 $p",
        f"p=$(realpath {PYTHON}); mv $p.away $p",
    ),
    "no standard library": ("mv /usr/lib/python3.13 /usr/lib/away", "mv /usr/lib/away /usr/lib/python3.13"),
    "a broken standard library": (
        "cd /usr/lib/python3.13/encodings; rm -rf __pycache__; mv utf_8.py away; echo 'raise OSError' >utf_8.py",
        "cd /usr/lib/python3.13/encodings; rm -rf __pycache__; mv away utf_8.py",
    ),
}


def _units(node: Machine, state: str) -> set[str]:
    listed = node.systemctl("list-units", f"--state={state}", "--plain", "--no-legend").stdout.splitlines()
    return {line.split()[0] for line in listed}


def _others(node: Machine) -> list[set[str]]:
    """What failed and what is active of all that is not ours."""
    return [{unit for unit in _units(node, state) if "kubens" not in unit} for state in ("failed", "active")]


def _harmed(node: Machine, harm: str) -> None:
    do, undo = HARMS[harm]
    node.kill()
    node.boot("kubens=0")
    without_us = _others(node)
    node.kill()
    node.boot()
    assert whereabouts(node, *MEMBERS) == ["inside"] * len(MEMBERS)
    node.run("sh", "-ec", do)
    for name in MEMBERS:
        node.daemon_reload()
        node.systemctl("restart", name)
        assert whereabouts(node, *MEMBERS) == ["inside"] * len(MEMBERS), harm
    node.kill()
    node.boot()
    assert whereabouts(node, *MEMBERS) == ["host"] * len(MEMBERS), harm
    assert _others(node) == without_us, harm
    assert "kubens-problems.service" in _units(node, "failed"), harm
    node.run("sh", "-ec", undo)


@pytest.mark.needs("root", "namespaces", "nspawn")
@pytest.mark.parametrize("installed", ["package", "source"])
def test_the_plug_is_pulled_in_the_middle(machine: Callable[..., Machine], tmp_path: Path, installed: str) -> None:
    """At the moment in which the packages of the interpreter are being replaced."""
    node = _node(machine, tmp_path if installed == "package" else None)
    upgrade = Upgrade(node)
    while upgrade.go_on() and not upgrade.package.startswith("python3"):
        pass
    assert upgrade.package.startswith("python3")
    node.kill()
    node.boot()
    places = whereabouts(node, *MEMBERS)
    assert places in (["inside"] * len(MEMBERS), ["host"] * len(MEMBERS))
    assert node.systemctl("is-active", "multi-user.target").stdout == "active\n"
    node.run("dpkg", "--configure", "-a", "--force-confold", timeout=300, env={"DEBIAN_FRONTEND": "noninteractive"})
    node.run(*UPGRADE, "--fix-broken", timeout=600, env={"DEBIAN_FRONTEND": "noninteractive"})
    node.daemon_reload()
    node.systemctl("restart", *MEMBERS)
    assert whereabouts(node, *MEMBERS) == ["inside"] * len(MEMBERS)
