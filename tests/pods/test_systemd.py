"""What comes out, shown to systemd itself: systemd-analyze, systemd as PID 1, systemd-nspawn."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kubens import pods

from .conftest import (
    IMAGES,
    UUID,
    MakePod,
    example_images,
    make_stage1,
    need,
    nspawn,
    runtime_app,
    unable,
    write_units,
)

UNITS = "stage1/rootfs" + pods.UNITS_DIR
RECORDER = '#!/bin/sh\nprintf "%s\\0" "$#" "$@" >>/recorded\n'


def verify(root: Path) -> list[str]:
    """What systemd says of every unit in the tree, given the programs and units of the stage1 image."""
    need("systemd-analyze")
    rootfs = root / "stage1/rootfs"
    units = root / UNITS
    for program in ("appexec", "prepare-app", "reaper.sh", "usr/bin/mount"):
        (rootfs / program).parent.mkdir(exist_ok=True)
        (rootfs / program).touch(0o755)
    for unit in ("shutdown.service", "systemd-journald.service"):
        (units / unit).write_text("[Service]\nExecStart=/appexec\n")
    for unit in ("exit", "halt", "poweroff", "sockets", "sysinit", "basic", "shutdown", "local-fs", "umount"):
        (units / f"{unit}.target").write_text("[Unit]\n")
    # verify takes a colon for the start of an alias; such units are loaded because others require them.
    files = [path.name for path in units.iterdir() if path.is_file()]
    names = [name for name in files if "@." not in name and ":" not in name]
    names.append("prepare-app@opt-stage2-indexer-rootfs.service")
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={rootfs}", *sorted(names)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return [line for line in result.stdout.splitlines() if not _expected(line)]


def _expected(line: str) -> bool:
    # The predecessor's setting; systemd reads it and asks for MemoryMax=.
    return "MemoryLimit=" in line


@pytest.mark.parametrize("flavor", ["host", "kvm"])
def test_every_unit_of_the_example_loads(pod: pods.Pod, tmp_path: Path, flavor: str) -> None:
    write_units(pod, flavor)
    assert verify(tmp_path) == []


def test_verify_would_see_a_fault(pod: pods.Pod, tmp_path: Path) -> None:
    write_units(pod, "host")
    service = tmp_path / UNITS / "indexer.service"
    service.write_text(service.read_text().replace('"/bin/indexer"', '"%z"'))
    assert any("%z" in line for line in verify(tmp_path))


def test_verify_would_see_a_fault_in_what_is_only_required(pod: pods.Pod, tmp_path: Path) -> None:
    write_units(pod, "kvm")
    units = tmp_path / UNITS
    (units / "a:b.mount").write_text("[Mount]\nWhat=/a\nWhere=/elsewhere\n")
    (units / "indexer.service.requires/a:b.mount").symlink_to("../a:b.mount")
    assert any("a:b.mount" in line for line in verify(tmp_path))


def test_odd_but_legal_texts_load(make_pod: MakePod, tmp_path: Path) -> None:
    path = "/a b%h/\"c\\d:e'é$x"
    app = runtime_app(
        "indexer",
        exec=["/usr/bin/we%h ird$x", "%z", "$$", ";", "", "a\nb", "\\"],
        eventHandlers=[pods.EventHandler("pre-start", ["/b", "%%"])],
        workingDirectory="/%h/é",
        mountPoints=[pods.MountPoint("data", path, True)],
    )
    write_units(make_pod([pods.Volume("data", "host", "/srv")], indexer=app), "kvm")
    assert verify(tmp_path) == []
    assert (tmp_path / "stage1/rootfs/opt/stage2/indexer/rootfs" / path[1:]).is_dir()
    unit = next(path for path in (tmp_path / UNITS).glob("opt-*.mount"))
    shown = subprocess.run(["systemd-escape", "-u", "-p", unit.stem], stdout=subprocess.PIPE, text=True)
    assert shown.stdout == "/opt/stage2/indexer/rootfs" + path + "\n"


argument = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))
nasty = st.text(st.sampled_from("$%{}HOME;\\\"'` \t\n\r\a\x7fxuU07é\u0080\u200b\u2028\U0001f600\udcff\udc80"))
NASTY = [
    [],
    [""],
    [";"],
    ["\\;", "a;b", ";", ""],
    ["$HOME", "${HOME}", "$$", "$", "$${HOME}", "%h", "%%", "%z", "%"],
    ["\\", "\\\\", "\\n", '"', "'", "a'b", " ", "\t", "\n", "a\nb\rc"],
    ["-x", "@x", "+x", "#", "é", "\x7f", "\x01", "\u200b", "\ufeff"],
    ["\U0010ffff", "\ufdd0", "\ufffe", "\udcff", "\udce9x"],
]


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(commands=st.lists(st.lists(argument | nasty, max_size=6), min_size=100, max_size=200))
def test_systemd_reads_what_quote_exec_was_given(machine_tree: Path, commands: list[list[str]]) -> None:
    commands = NASTY + commands
    rootfs = machine_tree / "stage1/rootfs"
    (rootfs / "recorded").unlink(missing_ok=True)
    (rootfs / "record").write_text(RECORDER)
    (rootfs / "record").chmod(0o755)
    lines = [f"ExecStart={pods.quote_exec(['/record', *command])}\n" for command in commands]
    (rootfs / "etc/systemd/system/fuzz.service").write_text(
        "[Unit]\nDefaultDependencies=no\nSuccessAction=exit-force\nFailureAction=exit-force\n"
        "[Service]\nType=oneshot\nEnvironment=HOME=expanded\n" + "".join(lines)
    )
    result = nspawn([f"--directory={rootfs}"], ["--boot", "systemd.unit=fuzz.service"])
    assert (rootfs / "recorded").exists(), result
    expected = [item for command in commands for item in (str(len(command)), *command)]
    assert os.fsdecode((rootfs / "recorded").read_bytes()).split("\0")[:-1] == expected


def test_nspawn_starts_with_the_arguments(machine_tree: Path) -> None:
    """Every kind of mount, seen from inside, with a colon and a backslash where nspawn would split."""
    shop = machine_tree.parent / "sh:op\\"
    shop.mkdir()
    (shop / "price").write_text("1")
    web = runtime_app(
        "web-front",
        mountPoints=[
            pods.MountPoint("assets", "/srv/si:ze\\x", True),
            pods.MountPoint("scratch", "/var/tmp/web"),
        ],
        isolators=[pods.Isolator("os/linux/capabilities-retain-set", pods.CapabilitySet(["CAP_NET_ADMIN"]))],
    )
    indexer = runtime_app(
        "indexer",
        mounts=[pods.Mount("scratch", "work")],
        mountPoints=[pods.MountPoint("cache", "/cache"), pods.MountPoint("assets", "/data")],
    )
    scratch = pods.Volume("scratch", "empty", mode="1770", uid=33, gid=34)
    volumes = [pods.Volume("assets", "host", str(shop)), scratch]
    pod = pods.Pod(str(machine_tree), UUID, pods.PodManifest([web, indexer], volumes), example_images())
    for name in IMAGES:
        (machine_tree / "stage1/rootfs/opt/stage2" / name / "rootfs").mkdir(parents=True)
    script = """
        cd /opt/stage2/web-front/rootfs
        cat 'srv/si:ze\\x/price'
        echo 2 2>&- > 'srv/si:ze\\x/price' || echo ' read-only'
        stat -c '%a %u %g' var/tmp/web
        echo shared > var/tmp/web/note
        cd ../../indexer/rootfs
        cat work/note
        stat -c '%a %u %g' cache
        echo 3 > data/price
    """
    result = nspawn([*pods.pod_to_nspawn_args(pod), "--quiet"], ["/bin/sh", "-c", script])
    seen = result.stdout.replace("\r", "").splitlines()
    assert seen == ["1 read-only", "1770 33 34", "shared", "755 0 0"], result
    assert (shop / "price").read_text() == "3\n"
    assert (machine_tree / "sharedVolumes/scratch/note").read_text() == "shared\n"


APPEXEC = """#!/usr/bin/python3
import os, sys
root, directory, environment, uid, gids, *command = sys.argv[1:]
with open(environment) as file:
    variables = dict(entry.split("=", 1) for entry in file.read().split("\\0")[:-1])
os.chdir(root + directory)
os.setgroups([int(gid) for gid in gids.split(",")])
os.setgid(int(gids.split(",")[0]))
os.setuid(int(uid))
os.execvpe(command[0], command, variables)
"""
REAPER = '#!/bin/sh\nsystemctl show --value -p ExecMainStatus "$1.service" >"/rkt/status/$1"\n'
SHUTDOWN = (
    "[Unit]\nDefaultDependencies=false\nStopWhenUnneeded=yes\n"
    "[Service]\nRemainAfterExit=yes\nExecStop=/usr/bin/systemctl halt --force\n"
)


def install_stand_ins(rootfs: Path) -> None:
    """The programs and static units of the stage1 image that a pod needs to run and to halt."""
    if not (rootfs / "usr/bin/python3").exists():
        unable("there is no Python in the machine")
    for name, text in {"appexec": APPEXEC, "prepare-app": "#!/bin/sh\n", "reaper.sh": REAPER}.items():
        (rootfs / name).write_text(text)
        (rootfs / name).chmod(0o755)
    (rootfs / "usr/lib/systemd/system/shutdown.service").write_text(SHUTDOWN)
    (rootfs / "usr/lib/systemd/system/halt.target").write_text("[Unit]\nDefaultDependencies=false\n")
    (rootfs / "recorded").touch()
    (rootfs / "recorded").chmod(0o666)


def test_a_pod_boots_runs_and_halts(machine_tree: Path, example: str) -> None:
    """The whole set of units in a machine, with stand-ins for the programs of the stage1 image.

    An app's handlers and its main process write down who they are; the reapers store how the apps ended; the
    last of them halts the machine.
    """
    tell = 'echo "$0 $(id -u):$(id -G) $AC_APP_NAME $LANG $HOME $PWD $1" >>/recorded'
    manifest = json.loads(example)
    web, indexer = manifest["apps"]
    keep = "echo kept >/opt/stage2/web-front/rootfs/var/tmp/web/file"
    web["app"]["exec"] = ["/bin/sh", "-c", f"{tell}; {keep}", "m", "$x %h"]
    web["app"]["ports"] = []
    for handler in web["app"]["eventHandlers"]:
        handler["exec"] = ["/bin/sh", "-c", tell, handler["name"]]
    indexer["app"]["exec"] = ["/bin/sh", "-c", "sleep 1; test -d /opt/stage2/indexer/rootfs/work; exit 7"]
    manifest["volumes"][0]["source"] = "/etc"
    pod = pods.Pod(str(machine_tree), UUID, pods.parse_pod_manifest(json.dumps(manifest)), example_images())
    rootfs = make_stage1(machine_tree)
    install_stand_ins(rootfs)
    for name in IMAGES:
        (rootfs / "opt/stage2" / name / "rootfs/srv").mkdir(parents=True)
    write_units(pod, "host")
    result = str(nspawn(pods.pod_to_nspawn_args(pod), ["--boot", "systemd.unit=default.target"]))
    home = "33:33 4 27 web-front C.UTF-8 /srv /opt/stage2/web-front/rootfs/srv"
    assert (rootfs / "recorded").read_text().splitlines() == [
        f"pre-start {home} ",
        f"m {home} $x %h",
        f"post-stop {home} ",
    ], result
    assert (machine_tree / "sharedVolumes/scratch/file").read_text() == "kept\n"
    assert (rootfs / "rkt/status/web-front").read_text() == "0\n", result
    assert (rootfs / "rkt/status/indexer").read_text() == "7\n", result


def test_the_mount_units_of_flavor_kvm_precede_the_app(machine_tree: Path) -> None:
    """Read-only from the first moment on, an odd path included; only the 9p share needs a real kvm."""
    rootfs = make_stage1(machine_tree)
    install_stand_ins(rootfs)
    staged = rootfs / "mnt/assets"
    staged.mkdir(parents=True)
    (staged / "price").write_text("1")
    script = """
        cat "srv/a b%h$x/price"
        echo 2 >"srv/a b%h$x/price" || echo read-only
        echo 3 >data/price && cat data/price
        stat -c "%a %u" scratch
    """
    app = runtime_app(
        "web",
        exec=["/bin/sh", "-c", "{ " + script.replace("$x", "\\$x") + "} >>/recorded 2>/dev/null"],
        mountPoints=[pods.MountPoint("assets", "/srv/a b%h$x", True), pods.MountPoint("scratch", "/scratch")],
    )
    assert app.app is not None
    app.mounts.append(pods.Mount("other", "/data"))
    volumes = [
        pods.Volume("assets", "host", "/unused"),
        pods.Volume("other", "empty"),
        pods.Volume("scratch", "empty", mode="0750", uid=33),
    ]
    images = {"web": pods.ImageManifest("i")}
    pod = pods.Pod(str(machine_tree), UUID, pods.PodManifest([app], volumes), images)
    pods.write_default_target(pod)
    pods.write_prepare_app_template(pod)
    pods.pod_to_systemd(pod, False, "kvm", "")
    result = str(nspawn([f"--directory={rootfs}"], ["--boot", "systemd.unit=default.target"]))
    assert (rootfs / "recorded").read_text().splitlines() == ["1read-only", "3", "750 33"], result
    assert (staged / "price").read_text() == "1"
