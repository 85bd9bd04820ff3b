"""`kubensctl status`: what is configured next to what really runs, asked of a real systemd."""

from __future__ import annotations

import re

from ctl import Maker, Node
from kubens_machine import configure, service

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
CONFIGURATION = "[MountNamespace]\nWrap=a b gone t@ late dead.service\nEnv=self outsider\n"


def _node(machine: Maker, lower: str = "/") -> Node:
    """All that a member can be: inside, outside, stopped, failed, missing, an instance."""
    ctl = Node(machine, lower)
    node = ctl.machine
    configure(node, CONFIGURATION)
    mounts = "for n in 1 2 3; do mkdir /tmp/$$n; mount -t tmpfs inside /tmp/$$n; done"
    service(node, "a.service", f"ExecStart=sh -c '{mounts}; exec sleep 1000'")
    service(node, "b.service", "ExecStart=/bin/sleep 1000")
    service(node, "t@.service", "ExecStart=/bin/sleep 1000")
    service(node, "self.service", "ExecStart=/bin/sh -c 'exec nsenter --mount=$KUBENSMNT sleep 1000'")
    service(node, "outsider.service", "ExecStart=/bin/sleep 1000")
    service(node, "dead.service", "ExecStart=/bin/false")
    node.boot()
    node.systemctl("start", "a", "t@x", "self", "outsider", "dead")
    node.wait_until(lambda: "/tmp/3" in node.mounts(node.main_pid("a")))
    node.wait_until(lambda: node.show("dead", "ActiveState")["ActiveState"] == "failed")
    # Installed after the last reload, so that it still runs as without us.
    service(node, "late.service", "ExecStart=/bin/sleep 1000")
    node.run("sh", "-c", "rm -r /run/systemd/generator/late.service.d 2>/dev/null; systemctl start late")
    return ctl


def test_every_state(machine: Maker, lower: str) -> None:
    ctl = _node(machine, lower)
    done = ctl.ctl("status")
    assert (done.returncode, done.stderr) == (3, "")
    found = ctl.status()
    assert {key: found[key] for key in ("name", "kind", "active", "pin", "mounts_hidden")} == {
        "name": "kubens", "kind": "mount", "active": True, "pin": "/run/kubens/mnt", "mounts_hidden": 3,
    }  # fmt: skip
    assert {unit: (member["mode"], member["state"]) for unit, member in found["members"].items()} == {
        "a.service": ("wrap", "inside"),
        "b.service": ("wrap", "stopped"),
        "gone.service": ("wrap", "missing"),
        "t@x.service": ("wrap", "inside"),
        "late.service": ("wrap", "outside"),
        "dead.service": ("wrap", "stopped"),
        "self.service": ("env", "inside"),
        "outsider.service": ("env", "outside"),
    }
    notes = {unit: member["note"] for unit, member in found["members"].items()}
    assert notes["late.service"] == "systemctl daemon-reload; systemctl restart late.service"
    assert notes["dead.service"] == "failed (exit-code): systemctl status dead.service"
    assert "KUBENSMNT" in notes["outsider.service"]
    assert found["members"]["a.service"]["process"] == ctl.machine.main_pid("a")
    # What each line asks for makes all well.
    configure(ctl.machine, "[MountNamespace]\nWrap=a b gone t@ late\nEnv=self\n")
    ctl.machine.daemon_reload()
    ctl.machine.systemctl("restart", "late")
    ctl.machine.systemctl("stop", "kubens")
    ctl.machine.daemon_reload()
    assert ctl.ctl("status").returncode == 3
    assert not ctl.status()["active"]
    ctl.machine.systemctl("start", "kubens", "a", "b", "self")
    done = ctl.ctl("status", "kubens")
    assert (done.returncode, "outside" in done.stdout) == (0, False)


def test_from_inside_the_namespace_it_is_the_same(machine: Maker) -> None:
    ctl = _node(machine)
    outside = ctl.ctl("status")
    inside = ctl.ctl("status", front=("nsenter", "--mount=/run/kubens/mnt"))
    assert (inside.stdout, inside.returncode) == (outside.stdout, outside.returncode)


def test_what_only_root_can_see(machine: Maker) -> None:
    ctl = _node(machine)
    done = ctl.ctl("status", front=NOBODY)
    assert (done.returncode, done.stderr) == (3, "kubensctl: only root can see which namespace each process is in\n")
    assert "    Hidden: only root can count the mounts inside\n" in done.stdout
    assert re.search(r"a\.service +wrap +running +\d+ sleep\n", done.stdout)
    assert re.search(r"b\.service +wrap +stopped +-\n", done.stdout)


def test_refusals_and_changes_since_the_last_reload(machine: Maker) -> None:
    ctl = Node(machine)
    node = ctl.machine
    configure(node, "[MountNamespace]\nWrap=a\n[MountNamespace]\nName=blue\nWrap=b c\n")
    service(node, "a.service", "ExecStart=/bin/sleep 1000")
    service(node, "b.service", "ExecStart=/bin/sleep 1000\nProtectHome=yes")
    service(node, "c.service", "ExecStart=/bin/sleep 1000")
    node.boot()
    node.systemctl("start", "a", "b", "c")
    done = ctl.ctl("status")
    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert lines[0] == "● kubens - mount namespace"
    assert "    Active: inactive" in lines
    assert "            refused: kubensctl check" in lines
    assert re.search(r"b\.service +wrap +refused +\d+ sleep +/etc/systemd/system/b\.service:3: ", done.stdout)
    assert re.search(r"c\.service +wrap +outside +\d+ sleep +there is no namespace\n", done.stdout)
    assert lines[-1] == "The configuration has errors: kubensctl check"
    assert ctl.ctl("status", "kubens").stdout.startswith("● kubens - mount namespace\n")
    # A member that is declared no more stays inside while the namespace lives.
    configure(node, "[MountNamespace]\n")
    node.daemon_reload()
    assert "released, stays inside until: systemctl stop kubens.service" in ctl.ctl("status").stdout
    configure(node, "")
    node.daemon_reload()
    assert "no longer configured, lives until: systemctl stop kubens.service" in ctl.ctl("status").stdout
    node.systemctl("stop", "kubens")
    node.daemon_reload()
    done = ctl.ctl("status")
    assert (done.returncode, done.stdout) == (0, "No namespace is configured. To begin: kubensctl wrap UNIT…\n")
    done = ctl.ctl("status", "kubens")
    assert (done.returncode, done.stderr) == (1, "kubensctl: no namespace kubens is configured, and none lives\n")


def test_a_pin_that_somebody_unmounted(machine: Maker) -> None:
    ctl = Node(machine)
    configure(ctl.machine, "[MountNamespace]\n")
    ctl.machine.boot()
    assert ctl.ctl("status").returncode == 0
    ctl.machine.run("umount", "/run/kubens/mnt")
    done = ctl.ctl("status")
    assert done.returncode == 3
    assert "nothing is pinned at /run/kubens/mnt: systemctl restart kubens.service" in done.stdout


def test_on_a_terminal_it_is_coloured_and_aligned(machine: Maker) -> None:
    ctl = _node(machine)
    done = ctl.on_terminal("status")
    assert "\x1b[0;1;32minside\x1b[0m" in done.stdout
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).replace("\r\n", "\n")
    piped = ctl.ctl("status").stdout
    assert plain.split() == piped.split()
    assert max(map(len, plain.splitlines())) <= 80
    assert "\x1b" not in piped
    columns = [match.start(1) for match in re.finditer(r"^ +\S+ +(wrap|env) ", plain, re.MULTILINE)]
    offsets = [plain.rfind("\n", 0, column) for column in columns]
    assert len(columns) == 8
    assert len({column - offset for column, offset in zip(columns, offsets)}) == 1


GENERATOR = """\
#!/bin/sh
mkdir "$3/a.service.d" "$3/b.service.d"
printf '[Service]\\nExecStart=\\nExecStart=/bin/sleep 2000\\n' >"$3/a.service.d/zzz.conf"
printf '[Service]\\nNice=1\\n' >"$3/b.service.d/zzz.conf"
"""


def test_what_another_generator_takes_back(machine: Maker) -> None:
    ctl = Node(machine)
    configure(ctl.machine, "[MountNamespace]\nWrap=a b\n")
    ctl.machine.write("/etc/systemd/system-generators/other", GENERATOR, 0o755)
    for name in ("a", "b"):
        service(ctl.machine, f"{name}.service", "ExecStart=/bin/sleep 1000")
    ctl.machine.boot()
    ctl.machine.systemctl("start", "a", "b")
    members = ctl.status()["members"]
    assert (members["a.service"]["state"], members["b.service"]["state"]) == ("outside", "inside")
    path = "/run/systemd/generator.late/a.service.d/zzz.conf"
    assert members["a.service"]["note"].startswith(f"{path} comes after what kubens makes")
    assert f"{path}:2:1: warning: a.service" in ctl.ctl("check").stdout


def test_without_a_bus(machine: Maker) -> None:
    ctl = Node(machine)
    configure(ctl.machine, "[MountNamespace]\n")
    ctl.machine.boot()
    ctl.machine.systemctl("stop", "dbus.socket", "dbus.service")
    for verb in (("status",), ("status", "--json"), ("wrap", "a"), ("release", "a")):
        done = ctl.ctl(*verb)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(r"kubensctl: the system bus does not answer, [^\n]*\n", done.stderr)
    assert ctl.ctl("check").returncode == 0


def test_without_pystemd(machine: Maker) -> None:
    ctl = Node(machine)
    ctl.machine.boot()
    ctl.machine.run("umount", "/usr/local/lib/python3.11/dist-packages/pystemd")
    done = ctl.ctl("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"kubensctl: pystemd is not installed, [^\n]*\n", done.stderr)


def test_a_member_that_another_generator_makes(machine: Maker) -> None:
    """Nobody can know before; so it is to be seen."""
    ctl = Node(machine)
    node = ctl.machine
    configure(node, "[MountNamespace]\nWrap=a made idle\n")
    service(node, "a.service", "ExecStart=/bin/sleep 1000")
    text = "[Service]\\nExecStart=/bin/sleep 1000\\n"
    script = f'for unit in made idle; do printf "{text}" >"$1/$unit.service"; done'
    node.write("/etc/systemd/system-generators/other", f"#!/bin/sh\n{script}\n", 0o755)
    node.boot()
    node.systemctl("start", "a", "made")
    done = ctl.ctl("status")
    assert done.returncode == 3
    assert re.search(r"a\.service +wrap +inside", done.stdout)
    assert re.search(r"made\.service +wrap +outside +\d+ sleep +made by another generator", done.stdout)
    assert re.search(r"idle\.service +wrap +stopped +- +made by another generator", done.stdout)


CONTAINER = """\
#!/bin/sh
mkdir -p /srv/c/usr
mount --bind /usr /srv/c/usr
ln -sf usr/lib usr/lib64 usr/bin /srv/c
exec chroot /srv/c /bin/sleep 3000
"""


def test_what_a_restart_left_behind(machine: Maker) -> None:
    """KillMode=process, as container runtimes have it: what watches over containers stays in the old namespace."""
    ctl = Node(machine)
    node = ctl.machine
    configure(node, "[MountNamespace]\nWrap=runtime plain\n")
    node.write("/usr/bin/container", CONTAINER, 0o755)
    start = "unshare --mount /usr/bin/container & sleep 2000 & exec sleep 1000"
    service(node, "runtime.service", f"KillMode=process\nExecStart=sh -c '{start}'")
    service(node, "plain.service", "ExecStart=sh -c 'sleep 4000 & exec sleep 1000'")
    node.boot()
    node.systemctl("start", "runtime", "plain")
    node.wait_until(lambda: node.run("pgrep", "-fx", "/bin/sleep 3000", check=False).stdout)
    assert (ctl.status()["survivors"], ctl.ctl("status").returncode) == ([], 0)
    shim = int(node.run("pgrep", "-fx", "sleep 2000").stdout)

    node.systemctl("restart", "kubens")
    # A new one has come, and the container of before is none: its root directory is its own.
    node.wait_until(lambda: len(node.run("pgrep", "-fx", "/bin/sleep 3000", check=False).stdout.split()) == 2)
    left = {"process": shim, "unit": "runtime.service", "where": "an earlier namespace", "command": "sleep 2000"}
    assert ctl.status()["survivors"] == [left]
    done = ctl.ctl("status")
    assert (done.returncode, "1 process in another namespace: drain the node" in done.stdout) == (3, True)
    node.run("kill", str(shim))
    node.wait_until(lambda: ctl.ctl("status").returncode == 0)
