"""The Debian packages: installed, used, upgraded, removed and purged on a running node, whose services go on.

`make check` walks through this on the machine's own release, `make check-packages` on all.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kubens import __version__
from kubens_machine import configure, service, whereabouts
from machine import CHECKOUT, Machine
from package import GENERATOR, is_compiled_for, provide

pytestmark = pytest.mark.needs("dpkg-buildpackage", "lintian")

Maker = Callable[..., Machine]

# Starts over and over, and says where.
RESTLESS = """\
[Unit]
StartLimitIntervalSec=0
[Service]
Restart=always
RestartSec=0
ExecStart=/bin/sh -c 'readlink /proc/self/ns/mnt >>/var/log/restless; exec sleep 0.05'
"""


def _next_version(package: Path, directory: Path) -> Path:
    """The package as a later version of itself, with another module."""
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {__version__}", f"Version: {__version__}+next"))
    module = tree / "usr/lib/kubens/kubens/__init__.py"
    module.write_text(module.read_text().replace(__version__, f"{__version__}+next"))
    sums = tree / "DEBIAN/md5sums"
    sums.write_text("".join(line for line in sums.open() if "kubens/__init__.py" not in line))
    later = directory / "next.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, later], check=True, stdout=subprocess.DEVNULL)
    return later


def _files(node: Machine) -> set[str]:
    """All that a package could have left."""
    found = node.run("find", "/etc", "/usr", "/var", "-xdev", "!", "-type", "d").stdout.splitlines()
    # What comes and goes, or was made by this test.
    passing = ("/etc/systemd/", "/var/cache/", "/var/log/", "/var/lib/apt/", "/var/lib/dpkg/", "/var/lib/systemd/")
    return {path for path in found if not path.startswith(passing) and "__pycache__" not in path}


def test_the_life_of_a_package(machine: Maker, packages: Path, tmp_path: Path, each_lower: str) -> None:
    node = machine(each_lower)
    provide(node, packages, each_lower)
    node.install(_next_version(packages / f"kubens_{__version__}_all.deb", tmp_path), "/root/next.deb")
    node.write("/etc/systemd/system/a.service", RESTLESS)
    service(node, "b.service", "ExecStart=/bin/sleep 1000")
    for name in "a", "b":
        node.link(f"/etc/systemd/system/multi-user.target.wants/{name}.service", f"../{name}.service")
    node.boot()
    before = _files(node)

    # Installed, and nothing is disturbed.
    pid = node.main_pid("b")
    node.run("dpkg", "--install", "/root/kubens", "/root/python3-kubens", "/root/kubens-doc")
    assert node.main_pid("b") == pid
    assert node.read("/etc/kubens/services.conf") == (CHECKOUT / "conf/services.conf").read_text()
    assert is_compiled_for(node)
    node.run("python3", "-c", "import kubens.nsenter, kubens.pods")

    # Used.
    configure(node, "[MountNamespace]\nWrap=a b\n")
    node.daemon_reload()
    node.systemctl("restart", "a", "b")
    assert whereabouts(node, "b") == ["inside"]
    inside = node.mount_namespace(node.main_pid("b"))
    node.run("kubensctl", "check")

    def unchanged() -> None:
        """All runs inside, and b is the very same process."""
        assert node.main_pid("b") == pid
        node.write("/var/log/restless", "")
        node.wait_until(lambda: len(node.read("/var/log/restless").splitlines()) > 2)
        assert set(node.read("/var/log/restless").split()) == {inside}

    # Upgraded, while a starts again and again; and the interpreter after it.
    pid = node.main_pid("b")
    node.write("/var/log/restless", "")
    node.run("dpkg", "--install", "/root/next.deb")
    node.daemon_reload()
    assert set(node.read("/var/log/restless").split()) == {inside}
    unchanged()
    assert node.run("kubensctl", "--version").stdout == f"kubensctl {__version__}+next\n"
    assert node.read("/etc/kubens/services.conf") == "[MountNamespace]\nWrap=a b\n"
    node.run("sh", "-c", "for file in /usr/lib/kubens/__pycache__/start.*; do echo of another interpreter >$file; done")
    node.daemon_reload()
    unchanged()
    node.run("dpkg-trigger", "--by-package=kubens", "/usr/bin/python3")
    node.run("dpkg", "--triggers-only", "--pending")
    assert is_compiled_for(node)

    # Removed: the generator is gone at once, and what lives stays as it is, restarts included.
    node.run("dpkg", "--remove", "kubens")
    assert not (node.tree / GENERATOR[1:]).exists()
    assert not (node.tree / "usr/lib/kubens").exists()
    unchanged()
    node.systemctl("restart", "kubens")
    assert whereabouts(node, "b") == ["inside"]
    inside, pid = node.mount_namespace(node.main_pid("b")), node.main_pid("b")
    # Back, as if nothing had been.
    node.run("dpkg", "--install", "/root/kubens")
    assert node.show("kubens", "FragmentPath") == {"FragmentPath": "/run/systemd/generator/kubens.service"}
    unchanged()
    node.systemctl("stop", "kubens")
    node.systemctl("start", "b")
    assert whereabouts(node, "b") == ["inside"]

    # Removed, and booted: as if we had never been there, but for the configuration. Then that goes, too.
    node.run("dpkg", "--remove", "kubens")
    node.reboot()
    assert whereabouts(node, "b") == ["host"]
    assert node.systemctl("--failed", "--plain", "--no-legend").stdout == ""
    assert node.read("/etc/kubens/services.conf") == "[MountNamespace]\nWrap=a b\n"
    configure(node, "# mine\n", "mine.conf")
    node.write("/etc/kubens/50-kubensctl.conf", "# kubensctl's\n")
    node.run("dpkg", "--purge", "kubens", "python3-kubens", "kubens-doc")
    assert _files(node) - before == {"/etc/kubens/mine.conf"}
    assert before - _files(node) == set()


def test_packages_agree() -> None:
    """All of one version, of one home: a name reserved for examples, until the project has one."""
    changelog = (CHECKOUT / "debian/changelog").read_text()
    assert changelog.startswith(f"kubens ({__version__}) ")
    for path, home in (("debian/control", "Homepage: "), ("debian/copyright", "Source: "), ("setup.cfg", "url = "),
                       ("packaging/rpm/kubens.spec", "URL:            ")):  # fmt: skip
        lines = (CHECKOUT / path).read_text().splitlines()
        assert f"{home}https://kubens.example.org/" in lines, path
    for path in ("debian/control", "debian/changelog", "debian/copyright", "packaging/rpm/kubens.spec", "setup.cfg"):
        assert "developers@kubens.example.org" in (CHECKOUT / path).read_text(), path
