"""`kubensctl migrate`: the installations that people have, written here from what their documentation says of them."""

from __future__ import annotations

import itertools
import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from ctl import kubensctl, tree, write
from kubens.files import Root
from kubens_machine import install, whereabouts
from kubensctl import migrate, predecessors
from machine import CHECKOUT, Machine

Maker = Callable[..., Machine]

ETC = "/etc/systemd/system"
FILE = "/etc/kubens/60-migrated.conf"
MAKER = """\
[Unit]
Description=One mount namespace
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStartPre=mkdir -p /run/{name}
ExecStartPre=sh -c "findmnt /run/{name} || mount --make-unbindable --bind /run/{name} /run/{name}"
ExecStartPre=touch /run/{name}/mnt
ExecStart=unshare --mount=/run/{name}/mnt --propagation slave mount --make-rshared /
ExecStartPost=sh -c "echo KUBENSMNT=/run/{name}/mnt >/run/{name}/env"
ExecStop=umount -R /run/{name}
[Install]
WantedBy=multi-user.target
"""
SERVICES = {
    f"{ETC}/kubelet.service": "[Service]\nExecStart=/bin/sleep 1000\n",
    f"{ETC}/crio.service": (
        "[Service]\nExecStart=/bin/sh -c 'exec $${KUBENSMNT:+nsenter --mount=$$KUBENSMNT} sleep 1000'\n"
    ),
}
KUBENSMNT = {
    **SERVICES,
    f"{ETC}/kubens.service": MAKER.format(name="kubens"),
    f"{ETC}/kubelet.service.d/99-kubens-wrapper.conf": (
        "[Unit]\nAfter=kubens.service\n[Service]\nExecStart=\nExecStart=/usr/local/bin/kubensenter /bin/sleep 1000\n"
    ),
    f"{ETC}/crio.service.d/00-kubensmnt-env.conf": (
        "[Unit]\nAfter=kubens.service\n[Service]\nEnvironmentFile=-/run/kubens/env\n"
    ),
    "/usr/local/bin/kubensenter": (CHECKOUT / "bin/kubensenter").read_text(),
}
EXTRACTED = """\
[Unit]
Wants=container-mount-namespace.service
After=container-mount-namespace.service
[Service]
ExecStartPre=/usr/local/bin/extractExecStart %n /%t/%N-execstart.env ORIG_EXECSTART
EnvironmentFile=-/%t/%N-execstart.env
ExecStart=
ExecStart=bash -c "exec nsenter --mount=%t/container-mount-namespace/mnt \\
    ${ORIG_EXECSTART}"
"""
OPENSHIFT = {
    f"{ETC}/kubelet.service": "[Service]\nExecStart=/bin/sleep 1000\n",
    f"{ETC}/crio.service": "[Service]\nExecStart=/bin/sleep 2000\n",
    f"{ETC}/container-mount-namespace.service": MAKER.format(name="container-mount-namespace"),
    f"{ETC}/kubelet.service.d/20-container-mount-namespace.conf": EXTRACTED,
    f"{ETC}/crio.service.d/20-container-mount-namespace.conf": EXTRACTED,
    "/usr/local/bin/extractExecStart": (
        '#!/bin/sh\nunit=$(systemctl show --property=FragmentPath --value "$1")\n'
        'echo "$3=$(sed -n s/^ExecStart=//p "$unit")" >"$2"\n'
    ),
    "/usr/local/bin/nsenterCmns": '#!/bin/sh\nexec nsenter --mount=/run/container-mount-namespace/mnt "$@"\n',
}
# Their template, of which each type gets two copies; %p has the type.
INSIDE = """\
[Unit]
Requires={outside}@%i.service
After={outside}@%i.service
[Service]
Type=oneshot
RemainAfterExit=yes
{inside}PrivateMounts=no
ExecStart=/usr/sbin/netnsinit up {place} %p %i
ExecStop=/usr/sbin/netnsinit down {place} %p %i
[Install]
WantedBy=multi-user.target
"""
INSIDE_OWN = INSIDE.format(outside="netns_outside-own", inside="NetworkNamespacePath=/run/netns/%i\n", place="inside")
OUTSIDE_OWN = INSIDE.format(outside="netns_name", inside="", place="outside")
OWN = "".join(
    f"configure_own_{way}_{place}() {{ echo {way} {place} $1 $SAID $(ip -o link | wc -l) >>/var/log/own; }}\n"
    for way in ("up", "down") for place in ("outside", "inside")
)  # fmt: skip
NETNS = {
    f"{ETC}/netns-own@.service": INSIDE_OWN,
    f"{ETC}/netns_outside-own@.service": OUTSIDE_OWN,
    "/usr/lib/systemd/system/netns@.service": INSIDE_OWN,
    "/usr/lib/systemd/system/netns_outside@.service": OUTSIDE_OWN,
    "/usr/sbin/netnsinit": (
        '#!/bin/bash\ntype=${3#*-}; for file in default $type $type-$4; do . /etc/conf.d/netns/$file.conf; done\n'
        '"configure_${type}_$1_$2" "$4"\n'
    ),
    "/usr/sbin/netnsupdate": "#!/bin/sh\n",
    "/etc/conf.d/netns/default.conf": "HOST_IFNAME=eth0\n",
    "/etc/conf.d/netns/own.conf": OWN,
    "/etc/conf.d/netns/own-blue.conf": "SAID=hello\n",
}
PROGRAMS = ("/usr/local/bin/", "/usr/sbin/")


def _lay(node: Machine, files: dict[str, str], *enabled: str) -> None:
    for path, text in files.items():
        node.write(path, text, 0o755 if path.startswith(PROGRAMS) else 0o644)
    for unit in enabled:
        template = unit.partition("@")[0] + "@.service" if "@" in unit else unit
        node.link(f"{ETC}/multi-user.target.wants/{unit}", f"{ETC}/{template}")


def _migrate(node: Machine, *options: str) -> str:
    done = kubensctl("migrate", f"--root={node.tree}", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _state(root: Path) -> dict[str, tuple[int, int, str]]:
    """All that could be changed: owner, mode, and what is in it."""
    found = {}
    etc, usr = ("etc/systemd", "etc/kubens", "etc/conf.d"), ("usr/local/bin", "usr/lib/systemd/system", "usr/sbin")
    for directory in (*etc, *usr, "var/lib/kubens"):
        for path in (root / directory).rglob("*"):
            if path.is_symlink():
                found[str(path)] = (0, 0, str(path.readlink()))
            elif path.is_file():
                status = path.stat()
                # What is large is no script: nobody's installation here.
                small = status.st_size < 65536
                content = path.read_text("utf-8", "surrogateescape") if small else str(status.st_mtime_ns)
                found[str(path)] = (status.st_uid, status.st_mode, content)
    return found


def _there_and_back(node: Machine, check: Callable[[bool], None]) -> None:
    """Booted as found, migrated, booted, undone, booted; check(migrated) after each boot."""
    node.boot()
    check(False)
    node.poweroff()
    before = _state(node.tree)
    shown = _migrate(node, "--dry-run")
    assert _state(node.tree) == before
    assert _migrate(node).startswith(shown)
    node.boot()
    check(True)
    assert node.systemctl("--failed", "--plain", "--no-legend").stdout == ""
    node.poweroff()
    assert kubensctl("migrate", f"--root={node.tree}").returncode == 1
    _migrate(node, "--undo")
    assert _state(node.tree) == before
    node.boot()
    check(False)


@pytest.mark.parametrize(
    ("files", "name"), [(KUBENSMNT, "kubens"), (OPENSHIFT, "container-mount-namespace")], ids=["kubensmnt", "openshift"]
)
def test_a_shared_mount_namespace(machine: Maker, files: dict[str, str], name: str, each_lower: str) -> None:
    node = machine(each_lower)
    _lay(node, files, f"{name}.service", "kubelet.service", "crio.service")
    install(node)

    def check(migrated: bool) -> None:
        assert whereabouts(node, "kubelet", "crio", name=name) == ["inside", "inside"]
        made_by = node.show(name, "FragmentPath")["FragmentPath"]
        assert made_by == (f"/run/systemd/generator/{name}.service" if migrated else f"{ETC}/{name}.service")
        dropins = node.show("kubelet", "DropInPaths")["DropInPaths"]
        assert ("zz-kubens.conf" in dropins) is migrated
        assert dropins.count(" ") == 0

    _there_and_back(node, check)


def test_network_namespaces(machine: Maker, each_lower: str) -> None:
    node = machine(each_lower)
    _lay(node, NETNS, "netns-own@blue.service")
    install(node)

    def check(migrated: bool) -> None:
        assert node.show("netns-own@blue", "ActiveState") == {"ActiveState": "active"}
        made_by = node.show("netns-own@blue", "FragmentPath")["FragmentPath"]
        assert made_by.startswith("/run/systemd/generator/" if migrated else ETC)
        said = node.read("/var/log/own").splitlines()
        assert said[-2].startswith("up outside blue hello ")
        # One device inside: it is there, not on the host.
        assert said[-1] == "up inside blue hello 1"
        node.systemctl("restart", "netns-own@blue")
        assert node.read("/var/log/own").splitlines()[len(said)].startswith("down inside blue hello")

    _there_and_back(node, check)


# Without a machine


def _tree(path: Path, files: dict[str, str]) -> Path:
    generator = {"/usr/lib/systemd/system-generators/kubens-generator": ""}
    root = tree(path, {**files, **generator}, ("bash", "ip", "kubensenter"))
    (root / "usr/lib/systemd/system-generators/kubens-generator").chmod(0o755)
    return root


def test_what_is_written(tmp_path: Path) -> None:
    root = _tree(tmp_path, {**KUBENSMNT, **OPENSHIFT, **NETNS})
    for path in ("crio.service.d/00-kubensmnt-env.conf", "kubelet.service.d/20-container-mount-namespace.conf"):
        (root / ETC[1:] / path).unlink()
    assert kubensctl("migrate", f"--root={root}").returncode == 0
    assert (root / FILE[1:]).read_text().partition("\n")[2] == (
        "[MountNamespace]\nWhenMissing=host\nWrap=kubelet.service\n\n"
        "[MountNamespace]\nName=container-mount-namespace\nWrap=crio.service\n"
    )
    kept = json.loads((root / "var/lib/kubens/migrated/files.json").read_text())
    assert not [path for path in kept if (root / path[1:]).exists()]
    assert "/usr/sbin/netnsupdate" in kept
    assert not [path for path in kept if path.startswith("/etc/conf.d")]


WRAPPER = f"{ETC}/kubelet.service.d/99-kubens-wrapper.conf"
EXTRACTING = f"{ETC}/kubelet.service.d/20-container-mount-namespace.conf"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({WRAPPER: "[Service]\nNice=5\nExecStart=\n"}, "99-kubens-wrapper.conf:2: Nice=5"),
        ({EXTRACTING: EXTRACTED.replace('T}"', 'T} --more"')}, "adds to"),
        ({f"{ETC}/kubelet.service": "[Service]\nExecStart=/bin/sleep 1\nPrivateTmp=yes\n"}, "PrivateTmp=yes"),
        ({"/usr/lib/systemd/system-generators/kubens-generator": ""}, "install kubens first"),
    ],
    ids=["own settings", "own arguments", "refused", "no generator"],
)  # fmt: skip
def test_what_would_be_lost_is_refused(tmp_path: Path, files: dict[str, str], reason: str) -> None:
    root = _tree(tmp_path, {**KUBENSMNT, **OPENSHIFT})
    (root / f"{ETC[1:]}/crio.service.d/00-kubensmnt-env.conf").unlink()
    (root / EXTRACTING[1:]).unlink()
    for path, text in files.items():
        write(root, path, text).chmod(0o644)
    if EXTRACTING in files:
        (root / WRAPPER[1:]).unlink()
    before = _state(root)
    done = kubensctl("migrate", f"--root={root}")
    assert (done.returncode, reason in done.stderr) == (1, True), done.stderr
    assert _state(root) == before


def _killed_at(call: int, root: Path) -> bool:
    """Migrate in a process that dies at its call number so-and-so that changes a name; whether it came that far."""
    pid = os.fork()
    if not pid:
        calls = itertools.count(1)
        for name in ("replace", "unlink"):
            function = getattr(os, name)
            # SIGKILL gives nobody the chance to clean up.
            setattr(os, name, lambda *given, _call=function, **options: (
                os._exit(9) if next(calls) == call else _call(*given, **options)
            ))  # fmt: skip
        try:
            found = predecessors.find(Root(str(root)))
            migrate.apply(Root(str(root)), found[0].configuration, found[0].files)
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 9)
    return status == 9


def test_interrupted_anywhere_it_can_be_undone(tmp_path: Path) -> None:
    root = _tree(tmp_path, {**KUBENSMNT, "/etc/kubens/services.conf": ""})
    before = _state(root)
    call = 1
    while _killed_at(call, root):
        if (root / "var/lib/kubens/migrated/files.json").exists():
            migrate.undo(Root(str(root)))
        assert {path: state for path, state in _state(root).items() if "/var/lib/kubens" not in path} == before
        call += 1
    assert call > 5
    assert _state(root) != before


def test_nothing_to_do(tmp_path: Path) -> None:
    root = _tree(tmp_path, SERVICES)
    before = _state(root)
    done = kubensctl("migrate", f"--root={root}")
    assert (done.returncode, done.stdout) == (0, "Nothing was found to be taken over.\n")
    assert _state(root) == before
    assert kubensctl("migrate", f"--root={root}", "--undo").returncode == 1
