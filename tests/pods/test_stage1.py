"""What lands on disk and on nspawn's command line, byte for byte."""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path
from typing import Any

import pytest

from kubens import pods
from kubens.pods import journal, log
from kubens.pods.tree import beneath
from kubens.pods.units import Unit

from .conftest import IMAGES, UUID, MakePod, example_images, make_stage1, runtime_app, unable, write_units

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
UNITS = "stage1/rootfs" + pods.UNITS_DIR
RETAIN_SET = "os/linux/capabilities-retain-set"


def contents(directory: Path) -> dict[str, str]:
    """Every file with its text and every link with its target, by the path from directory."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = "-> " + os.readlink(path)
        elif path.is_file():
            found[name] = path.read_text()
    return found


def mode_of(path: Path) -> str:
    return oct(stat.S_IMODE(path.lstat().st_mode))


# The example, byte for byte


@pytest.mark.parametrize("flavor", ["host", "kvm"])
def test_the_units_of_the_example(pod: pods.Pod, tmp_path: Path, flavor: str) -> None:
    write_units(pod, flavor)
    golden = contents(GOLDEN / "host")
    if flavor == "kvm":
        golden.update(contents(GOLDEN / "kvm"))
    assert contents(tmp_path / UNITS) == golden
    assert {mode_of(path) for path in (tmp_path / UNITS).glob("*.*") if path.is_file()} == {"0o644"}


def test_the_environment_of_the_example(pod: pods.Pod, tmp_path: Path) -> None:
    pods.pod_to_systemd(pod, False, "host", "")
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    start = f"{path}\0SHELL=/bin/sh\0USER=root\0LOGNAME=root\0"
    env = tmp_path / "stage1/rootfs/rkt/env"
    assert (env / "web-front").read_text() == start + "LANG=C.UTF-8\0HOME=/srv\0AC_APP_NAME=web-front\0"
    assert (env / "indexer").read_text() == start + "HOME=/root\0AC_APP_NAME=indexer\0"
    assert mode_of(env / "indexer") == "0o644"


def test_the_arguments_of_the_example(pod: pods.Pod, tmp_path: Path) -> None:
    shared = f"{tmp_path}/sharedVolumes"
    web, indexer = "/opt/stage2/web-front/rootfs", "/opt/stage2/indexer/rootfs"
    try:
        arguments = pods.pod_to_nspawn_args(pod)
    except PermissionError:
        unable("only root can give the implicit volume to root")
    assert arguments == [
        f"--uuid={UUID}",
        f"--machine=rkt-{UUID}",
        f"--directory={tmp_path}/stage1/rootfs",
        f"--bind-ro=/srv/shop/assets:{web}/srv/site",
        f"--bind={shared}/scratch:{web}/var/tmp/web",
        "--capability=CAP_NET_BIND_SERVICE,CAP_NET_ADMIN",
        f"--bind={shared}/scratch:{indexer}/work",
        f"--bind={shared}/cache:{indexer}/var/cache/indexer",
        f"--bind=/srv/shop/assets:{indexer}/data",
    ]
    assert mode_of(tmp_path / "sharedVolumes") == "0o755"
    assert mode_of(tmp_path / "sharedVolumes/scratch") == "0o770"
    assert mode_of(tmp_path / "sharedVolumes/cache") == "0o755"
    status = (tmp_path / "sharedVolumes/scratch").stat()
    assert [status.st_uid, status.st_gid] == [pod.manifest.volumes[1].uid, pod.manifest.volumes[1].gid]
    assert pods.pod_to_nspawn_args(pod) == arguments


# Services


def service(pod: pods.Pod, name: str = "a", interactive: bool = False, private_users: str = "") -> str:
    pods.pod_to_systemd(pod, interactive, "host", private_users)
    return Path(pods.service_unit_path(pod.root, name)).read_text()


def test_interactive_apps_have_the_terminal(make_pod: MakePod) -> None:
    text = service(make_pod(a=runtime_app("a")), interactive=True)
    terminal = "StandardInput=tty\nStandardOutput=tty\nStandardError=tty\n"
    assert f"User=0\nGroup=0\n{terminal}TimeoutStartSec=0\n" in text
    assert "SyslogIdentifier" not in text and "journal" not in text


@pytest.mark.parametrize(
    ("members", "line"),
    [
        ({}, '\nExecStart="/appexec" "/opt/stage2/a/rootfs" "/" "/rkt/env/a" "0" "0" "/bin/true"\n'),
        ({"user": "root", "group": "root"}, ' "/rkt/env/a" "0" "0" "/bin/true"\n'),
        ({"user": "007", "supplementaryGIDs": [1, 2]}, '"/rkt/env/a" "7" "0,1,2" "/bin/true"'),
        ({"workingDirectory": "/a b%"}, '"/a b%%" "/rkt/env/a"'),
        ({"exec": ["/bin/x%h y"]}, "SyslogIdentifier=x%%h y\n"),
        ({"exec": ["name"]}, "SyslogIdentifier=name\n"),
        ({"exec": ["/"]}, "SyslogIdentifier=/\n"),
        ({"exec": ["-x"]}, ' "-x"\n'),
        ({"exec": ["/a", "b\nc"]}, ' "/a" "b\\nc"\n'),
    ],
)
def test_lines_of_a_service(make_pod: MakePod, members: dict[str, Any], line: str) -> None:
    assert line in service(make_pod(a=runtime_app("a", **members)))


@pytest.mark.parametrize(
    ("name", "limit", "line"),
    [
        ("resource/cpu", "500m", "CPUQuota=50%\n"),
        ("resource/cpu", "2", "CPUQuota=200%\n"),
        ("resource/cpu", "10m", "CPUQuota=1%\n"),
        ("resource/cpu", "19m", "CPUQuota=1%\n"),
        ("resource/cpu", "9223372036854775", "CPUQuota=922337203685477500%\n"),
        ("resource/memory", "64Mi", "MemoryLimit=67108864\n"),
        ("resource/memory", "1500m", "MemoryLimit=2\n"),
        ("resource/memory", "8Ei", "MemoryLimit=9223372036854775807\n"),
    ],
)
def test_limits(make_pod: MakePod, name: str, limit: str, line: str) -> None:
    isolators = [
        pods.Isolator("resource/block-iops", pods.Resource(limit=pods.Quantity("1"), default=True)),
        pods.Isolator(name, pods.Resource(request=pods.Quantity("1"), limit=pods.Quantity(limit))),
        pods.Isolator(name, pods.Resource(request=pods.Quantity("1"))),
        pods.Isolator("os/linux/capabilities-remove-set", pods.CapabilitySet(["CAP_KILL"])),
        pods.Isolator("example.org/x", None),
        pods.Isolator(name, pods.Resource(limit=pods.Quantity(limit))),
    ]
    text = service(make_pod(a=runtime_app("a", isolators=isolators)))
    assert text.endswith("TimeoutStartSec=0\n" + line + line)


def test_the_metadata_service_and_the_name_are_in_the_environment(make_pod: MakePod) -> None:
    variables = {"AC_APP_NAME": "other", "X": "a\nb", "PATH": "/"}
    environment = [pods.NameValue(name, value) for name, value in variables.items()]
    pod = make_pod(a=runtime_app("a", environment=environment))
    pod.metadata_service_url = "http://169.254.0.1"
    pods.pod_to_systemd(pod, False, "host", "")
    entries = Path(pods.env_file_path(pod.root, "a")).read_text().split("\0")
    assert entries[:4] == ["SHELL=/bin/sh", "USER=root", "LOGNAME=root", "HOME=/root"]
    assert entries[4:] == ["AC_APP_NAME=a", "X=a\nb", "PATH=/", "AC_METADATA_URL=http://169.254.0.1", ""]


def test_sockets_have_every_activated_port(make_pod: MakePod, tmp_path: Path) -> None:
    ports = [
        pods.Port("a", "tcp", 80, socketActivated=True),
        pods.Port("b", "udp", 53, count=3, socketActivated=True),
        pods.Port("c", "sctp", 1),
    ]
    pod = make_pod(a=runtime_app("a", ports=ports))
    text = service(pod)
    assert "OnFailure=halt.target\nRequires=a.socket\nRequires=prepare-app@" in text
    socket = Path(pods.socket_unit_path(pod.root, "a")).read_text()
    listening = "ListenStream=80\nListenDatagram=53\n"
    assert socket.endswith("[Socket]\nBindIPv6Only=both\nService=a.service\n" + listening)
    assert os.readlink(pods.socket_want_path(pod.root, "a")) == "../a.socket"


@pytest.mark.parametrize(
    ("members", "path", "reason"),
    [
        ({"exec": []}, ".exec", 'image "example.org/i" has an empty "exec" (try --exec=BINARY)'),
        ({"user": "www"}, ".user", "non-numerical user id not supported yet"),
        ({"user": "-1"}, ".user", "non-numerical user id not supported yet"),
        ({"user": "4294967295"}, ".user", "non-numerical user id not supported yet"),
        ({"group": "/etc"}, ".group", "non-numerical group id not supported yet"),
        ({"exec": ["/a\nUser=0"]}, ".exec[0]", "cannot name the program"),
        ({"exec": ["/a\\"]}, ".exec[0]", "cannot name the program"),
        ({"exec": ["/a "]}, ".exec[0]", "cannot name the program"),
        ({"exec": [""]}, ".exec[0]", "cannot name the program"),
        ({"eventHandlers": [pods.EventHandler("x", ["/a"])]}, ".eventHandlers[0].name", "unknown event"),
        ({"ports": [pods.Port("p", "sctp", 1, 1, True)]}, ".ports[0].protocol", "not tcp or udp"),
        ({"environment": [pods.NameValue("A", "\0")]}, ".environment", "cannot be written"),
        ({"environment": [pods.NameValue("A=B", "")]}, ".environment", "cannot be written"),
        *(
            ({"isolators": [pods.Isolator(f"resource/{kind}", limit)]}, ".isolators[0].value.limit", reason)
            for kind, limit, reason in (
                ("cpu", pods.Resource(limit=pods.Quantity("9m")), "below 10m"),
                ("cpu", pods.Resource(limit=pods.Quantity("9223372036854775.001")), "more cores"),
                ("memory", pods.Resource(limit=pods.Quantity("0")), "zero bytes"),
            )
        ),
    ],
)
def test_a_refused_app_costs_no_file(
    make_pod: MakePod, tmp_path: Path, members: dict[str, Any], path: str, reason: str
) -> None:
    good = runtime_app("good")
    before = contents(tmp_path)
    with pytest.raises(pods.ManifestError) as caught:
        pods.pod_to_systemd(make_pod(g=good, a=runtime_app("a", **members)), False, "host", "")
    assert caught.value.path == "$.app" + path
    assert 'failed to transform app "a" into systemd service: ' in str(caught.value)
    assert reason in str(caught.value)
    assert contents(tmp_path) == before
    pods.pod_to_systemd(make_pod(g=good), False, "host", "")


@pytest.mark.parametrize("name", ["shutdown", "systemd-journald"])
def test_no_app_replaces_a_unit_of_stage1(make_pod: MakePod, name: str) -> None:
    with pytest.raises(pods.ManifestError, match=r"^\$\.apps\[0\]\.name: "):
        pods.pod_to_systemd(make_pod(a=runtime_app(name)), False, "host", "")
    pods.pod_to_systemd(make_pod(a=runtime_app("shut-down"), b=runtime_app("systemd")), False, "host", "")


def test_no_app_replaces_a_unit_of_another(make_pod: MakePod) -> None:
    with pytest.raises(pods.PodError, match=r"reaper-a\.service"):
        pods.pod_to_systemd(make_pod(a=runtime_app("a"), b=runtime_app("reaper-a")), False, "host", "")
    pods.pod_to_systemd(make_pod(a=runtime_app("a"), b=runtime_app("reaper-b")), False, "host", "")


def test_names_that_are_too_long_for_a_unit(make_pod: MakePod) -> None:
    with pytest.raises(pods.ManifestError, match="more than 255"):
        pods.pod_to_systemd(make_pod(a=runtime_app("a" * 241)), False, "host", "")
    assert service(make_pod(a=runtime_app("a" * 200)), "a" * 200)


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "a\\", " a", "a ", "\ta", "x" * 2**20])
def test_a_unit_takes_no_value_that_systemd_would_read_otherwise(value: str) -> None:
    unit = Unit("a.service")
    with pytest.raises(pods.PodError):
        unit.add("Unit", "Description", value)
    unit.add("Unit", "Description", "a b\\c é")
    assert unit.serialize() == "[Unit]\nDescription=a b\\c é\n"


def test_serialization() -> None:
    unit = Unit("a.service")
    assert unit.serialize() == ""
    for section, key, value in [("B", "x", "1"), ("A", "y", ""), ("B", "x", "2"), ("A", "w", "3")]:
        unit.add(section, key, value)
    assert unit.serialize() == "[B]\nx=1\nx=2\n\n[A]\ny=\nw=3\n"


def test_private_users(make_pod: MakePod) -> None:
    pod = make_pod(a=runtime_app("a"))
    env = Path(pods.env_file_path(pod.root, "a"))
    for bad in ("1", "1:2:3", "a:1", ":", "-1:1", "4294967296:1", "1:4294967296", "١:1", "1: 1"):
        with pytest.raises(pods.PodError, match="private users"):
            service(pod, private_users=bad)
        assert not env.exists()
    for none in ("", "0:0", "0:65536", "65536:0"):
        service(pod, private_users=none)
        assert env.stat().st_uid == os.geteuid()
    if os.geteuid() != 0:
        unable("only root gives files away")
    service(pod, private_users="65536:65536")
    assert (env.stat().st_uid, env.stat().st_gid) == (65536, 65536)


# Writing


def test_writing_again_replaces_and_leaves_nothing_behind(pod: pods.Pod, tmp_path: Path) -> None:
    write_units(pod, "kvm")
    before = contents(tmp_path / UNITS)
    unit = tmp_path / UNITS / "indexer.service"
    unit.write_text("long" * 1000)
    want = Path(pods.service_want_path(pod.root, "indexer"))
    want.unlink()
    want.symlink_to("elsewhere")
    write_units(pod, "kvm")
    assert contents(tmp_path / UNITS) == before


def test_the_umask_changes_nothing(pod: pods.Pod, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        write_units(pod, "kvm")
    finally:
        os.umask(old)
    assert mode_of(tmp_path / UNITS / "default.target") == "0o644"
    assert mode_of(tmp_path / UNITS / "indexer.service.requires") == "0o755"
    assert mode_of(tmp_path / "stage1/rootfs/mnt/assets") == "0o700"


def test_directories_of_the_image_are_not_made(pod: pods.Pod, tmp_path: Path) -> None:
    (tmp_path / UNITS / "sockets.target.wants").rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        pods.pod_to_systemd(pod, False, "host", "")
    assert caught.value.filename == str(tmp_path / UNITS / "sockets.target.wants")
    (tmp_path / UNITS / "default.target.wants").rename(tmp_path / "away")
    (tmp_path / UNITS).rename(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match="failed to create service unit file"):
        pods.write_prepare_app_template(pod)


def test_a_link_in_the_tree_is_no_way_out(pod: pods.Pod, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    env = tmp_path / "stage1/rootfs/rkt/env"
    env.rmdir()
    env.symlink_to(outside)
    with pytest.raises(pods.PodError, match="remove it"):
        pods.pod_to_systemd(pod, False, "host", "")
    (tmp_path / "sharedVolumes").symlink_to(outside)
    with pytest.raises(pods.PodError, match="remove it"):
        pods.pod_to_nspawn_args(pod)
    assert list(outside.iterdir()) == []


def test_a_file_that_is_a_link_is_replaced_not_followed(pod: pods.Pod, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    (tmp_path / UNITS / "default.target").symlink_to(outside)
    pods.write_default_target(pod)
    assert outside.read_text() == "precious"
    assert not (tmp_path / UNITS / "default.target").is_symlink()


@pytest.mark.parametrize(
    ("link", "target", "path", "resolved"),
    [
        ("data", "real", "/data/x", "/real/x"),
        ("a/data", "../real", "/a/data", "/real"),
        ("a/data", "./b/../c", "/a/data/x", "/a/c/x"),
        ("data", "missing/..", "/data", "/"),
        ("other", "/etc", "/data/x", "/data/x"),
    ],
)
def test_links_inside_the_app_are_followed(tmp_path: Path, link: str, target: str, path: str, resolved: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / link).symlink_to(target)
    assert beneath(str(tmp_path), path) == resolved


@pytest.mark.parametrize("target", ["/etc", "../etc", "a/../../..", "data", "//"])
@pytest.mark.parametrize("flavor", ["nspawn", "kvm"])
def test_links_out_of_the_app_are_refused(make_pod: MakePod, tmp_path: Path, target: str, flavor: str) -> None:
    rootfs = tmp_path / "stage1/rootfs/opt/stage2/a/rootfs"
    rootfs.mkdir(parents=True)
    (rootfs / "data").symlink_to(target)
    own = {"mode": "0700", "uid": os.geteuid(), "gid": os.getegid()}
    app = runtime_app("a", mountPoints=[pods.MountPoint("v", "/data/x")])
    pod = make_pod([pods.Volume("v", "empty", **own)], a=app)  # type: ignore[arg-type]

    def emit() -> None:
        if flavor == "kvm":
            pods.pod_to_systemd(pod, False, "kvm", "")
        else:
            pods.pod_to_nspawn_args(pod)

    with pytest.raises(pods.ManifestError, match=r"^\$\.app\.mountPoints\[0\]\.path: "):
        emit()
    (rootfs / "data").unlink()
    (rootfs / "data").symlink_to("inside")
    emit()


def test_targets_that_overlap_through_a_link_are_refused(make_pod: MakePod, tmp_path: Path) -> None:
    rootfs = tmp_path / "stage1/rootfs/opt/stage2/a/rootfs"
    rootfs.mkdir(parents=True)
    (rootfs / "b").symlink_to("a")
    points = [pods.MountPoint("v", "/a"), pods.MountPoint("v", "/b")]
    pod = make_pod([pods.Volume("v", "host", "/srv")], a=runtime_app("a", mountPoints=points))
    with pytest.raises(pods.ManifestError, match="overlaps"):
        pods.pod_to_nspawn_args(pod)
    (rootfs / "b").unlink()
    assert len(pods.pod_to_nspawn_args(pod)) == 5


# Arguments


def test_arguments_of_a_relative_root(make_pod: MakePod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"uid": os.geteuid(), "gid": os.getegid(), "mode": "1777"}
    points = [pods.MountPoint("v", "a:b\\c/"), pods.MountPoint("h", "/h")]
    retain = [pods.Isolator(RETAIN_SET, pods.CapabilitySet([name])) for name in ("CAP_A", "CAP_B")]
    shared = pods.Volume("v", "empty", readOnly=True, **own)  # type: ignore[arg-type]
    volumes = [shared, pods.Volume("h", "host", "/s:t")]
    pod = make_pod(volumes, a=runtime_app("a", mountPoints=points, isolators=retain))
    pod.root = "."
    monkeypatch.chdir(tmp_path)
    assert pods.pod_to_nspawn_args(pod)[2:] == [
        "--directory=stage1/rootfs",
        f"--bind-ro={tmp_path}/sharedVolumes/v:/opt/stage2/a/rootfs/a\\:b\\\\c",
        "--bind=/s\\:t:/opt/stage2/a/rootfs/h",
        "--capability=CAP_A",
        "--capability=CAP_B",
    ]
    assert mode_of(tmp_path / "sharedVolumes/v") == "0o1777"


def test_the_directory_of_shared_volumes_is_always_there(make_pod: MakePod, tmp_path: Path) -> None:
    (tmp_path / "sharedVolumes").mkdir(mode=0o700)
    assert len(pods.pod_to_nspawn_args(make_pod(a=runtime_app("a")))) == 3
    assert mode_of(tmp_path / "sharedVolumes") == "0o755"


@pytest.mark.parametrize(
    ("volume", "reason"),
    [
        (pods.Volume("v", "nfs"), '"host" or "empty"'),
        (pods.Volume("v", "empty", mode="rwx"), "volume 'v': 'rwx' is no octal mode"),
        (pods.Volume("../v", "empty"), "no name of a volume"),
    ],
)
def test_volumes_that_are_refused(make_pod: MakePod, tmp_path: Path, volume: pods.Volume, reason: str) -> None:
    app = runtime_app("a", [pods.Mount(volume.name, "/d")])
    with pytest.raises(pods.PodError, match=reason):
        pods.pod_to_nspawn_args(make_pod([volume], a=app))
    assert not (tmp_path / "sharedVolumes").exists()


def test_kvm_disk_arguments() -> None:
    volumes = [pods.Volume("a", "host", "/s"), pods.Volume("e", "empty"), pods.Volume("b", "host", "/t u")]
    assert pods.volumes_to_kvm_disk_args(volumes) == ["--9p=/s,a", "--9p=/t u,b"]
    assert pods.volumes_to_kvm_disk_args([]) == []
    with pytest.raises(pods.PodError, match="comma"):
        pods.volumes_to_kvm_disk_args([pods.Volume("a", "host", "/s,t")])
    with pytest.raises(pods.PodError, match="too long"):
        pods.volumes_to_kvm_disk_args([pods.Volume("a" * 31, "host", "/s")])
    assert pods.volumes_to_kvm_disk_args([pods.Volume("a" * 30, "host", "/s")]) == ["--9p=/s," + "a" * 30]


# Mount units of flavor kvm


def test_host_mount_units_without_apps(tmp_path: Path) -> None:
    rootfs = make_stage1(tmp_path)
    (rootfs / "units").mkdir()
    volumes = [pods.Volume("a-b", "host", "/s"), pods.Volume("e", "empty")]
    pods.pod_to_systemd_host_mount_units(str(rootfs), volumes, [], "/units")
    (unit,) = (rootfs / "units").iterdir()
    assert unit.name == "mnt-a\\x2db.mount"
    assert "Before=\n" in unit.read_text() and unit.read_text().endswith("[Install]\nRequiredBy=\n")
    assert mode_of(rootfs / "mnt/a-b") == "0o700"
    assert not (rootfs / "mnt/e").exists()


def test_app_mount_units_need_their_host_volumes(tmp_path: Path) -> None:
    rootfs = make_stage1(tmp_path)
    (rootfs / "units").mkdir()
    volumes = [pods.Volume("v", "host", "/s")]
    app = runtime_app("a", [pods.Mount("v", "/d")])
    with pytest.raises(pods.ManifestError, match="bug: missing source for volume v"):
        pods.app_to_systemd_mount_units(str(rootfs), "a", volumes, app, "/units")
    (rootfs / "mnt/v").mkdir(parents=True)
    pods.app_to_systemd_mount_units(str(rootfs), "a", volumes, app, "/units")
    assert sorted(contents(rootfs / "units")) == [
        "a.service.requires/opt-stage2-a-rootfs-d.mount",
        "opt-stage2-a-rootfs-d.mount",
    ]
    assert mode_of(rootfs / "opt/stage2/a/rootfs/d") == "0o700"


def test_empty_volumes_of_flavor_kvm_have_mode_and_owner(tmp_path: Path) -> None:
    rootfs = make_stage1(tmp_path)
    own = {"uid": os.geteuid(), "gid": os.getegid(), "mode": "1750"}
    app = runtime_app("a", [pods.Mount("v", "/d")])
    volumes = [pods.Volume("v", "empty", **own)]  # type: ignore[arg-type]
    pods.app_to_systemd_mount_units(str(rootfs), "a", volumes, app, pods.UNITS_DIR)
    assert mode_of(rootfs / "mnt/v") == "0o1750"


# The rest of the index


def test_pods(example: str) -> None:
    manifest = pods.parse_pod_manifest(example)
    pod = pods.Pod("/pod", UUID.replace("-", "").upper(), manifest, example_images())
    assert pods.get_app_hashes(pod) == ["sha512-" + "1" * 64, "sha512-" + "2" * 64]
    assert pods.get_machine_id(pod) == "rkt-" + UUID
    for bad in ("", "x", UUID[:-1], UUID + "0", UUID[:-1] + "\n", "g" * 32):
        with pytest.raises(pods.PodError, match="UUID"):
            pods.Pod("/pod", bad, manifest, example_images())


def test_an_app_comes_from_its_image_where_the_pod_has_none() -> None:
    app = pods.App(["/bin/true"], "0", "0")
    bare = pods.RuntimeApp("a", pods.RuntimeImage("sha512-0"), where="$.apps[0]")
    manifest = pods.PodManifest([bare])
    pod = pods.Pod("/pod", UUID, manifest, {"a": pods.ImageManifest("i", app)})
    assert pod.manifest.apps[0].app is app
    assert manifest.apps[0].app is None
    with pytest.raises(pods.ManifestError, match=r"^\$\.apps\[0\]\.app: "):
        pods.Pod("/pod", UUID, manifest, {"a": pods.ImageManifest("i")})
    with pytest.raises(pods.ManifestError, match=r"^\$\.apps\[0\]\.name: "):
        pods.Pod("/pod", UUID, manifest, {})


def test_load_pod(tmp_path: Path, example: str) -> None:
    (tmp_path / "pod").write_text(example)
    image = '{"acKind": "ImageManifest", "name": "%s"}'
    for name in IMAGES:
        directory = tmp_path / "stage1/rootfs/opt/stage2" / name
        directory.mkdir(parents=True)
        (directory / "manifest").write_text(image % IMAGES[name])
    assert pods.load_pod(str(tmp_path), UUID).images == example_images()
    (directory / "manifest").write_text(image % "A")
    with pytest.raises(pods.PodError, match=r"/manifest: \$\.name: "):
        pods.load_pod(str(tmp_path), UUID)


def test_flavors(make_pod: MakePod, tmp_path: Path) -> None:
    pod = make_pod(a=runtime_app("a"))
    rootfs = tmp_path / "stage1/rootfs"
    with pytest.raises(pods.PodError, match="cannot determine flavor"):
        pods.get_flavor(pod)
    (rootfs / "flavor").symlink_to("host")
    assert pods.get_flavor(pod) == ("host", "")
    (rootfs / "flavor").unlink()
    (rootfs / "flavor").symlink_to("anything")
    with pytest.raises(pods.PodError, match="version of systemd"):
        pods.get_flavor(pod)
    (rootfs / "systemd-version").write_text(" \nv225 \n")
    assert pods.get_flavor(pod) == ("anything", "v225")


def test_the_journal_is_readable_for_group_rkt(
    make_pod: MakePod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = make_pod(a=runtime_app("a"))
    groups = tmp_path / "group"
    monkeypatch.setattr(journal, "GROUP_FILE", str(groups))
    groups.write_text("root:x:0:\nrkt-admin:x:7:\nbroken\n")
    with pytest.raises(pods.PodError, match=r'^group "rkt" not found$'):
        pods.set_journal_permissions(pod)
    groups.write_text("root:x:0:\nrkt:x:4711:a,b\n")
    try:
        pods.set_journal_permissions(pod)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        unable("the file system has no access lists")
    path = tmp_path / "stage1/rootfs/var/log/journal"
    assert mode_of(path) == "0o755"
    value = os.getxattr(path, "system.posix_acl_default")
    nobody = 2**32 - 1
    assert struct.unpack("<I", value[:4]) == (2,)
    assert list(struct.iter_unpack("<HHI", value[4:])) == [
        (0x01, 7, nobody),
        (0x04, 5, nobody),
        (0x08, 5, 4711),
        (0x10, 5, nobody),
        (0x20, 5, nobody),
    ]
    (path / "file").touch(0o644)
    assert b"system.posix_acl_access" in [os.fsencode(name) for name in os.listxattr(path / "file")]


def test_loggers(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise PodsTrouble("outer") from OSError("inner")
    except PodsTrouble as error:
        trouble = error
    try:
        log.diag.print("chatter")
        pods.init_debug(False)
        log.diag.print("silence")
        log.log.error("failed", trouble)
        assert capsys.readouterr().err == "stage1: chatter\nstage1: failed: inner\n"
        pods.init_debug(True)
        log.diag.print("chatter")
        log.log.error("failed", trouble)
        lines = ["chatter", "failed:", "  outer", "    inner"]
        assert capsys.readouterr().err.splitlines() == ["stage1: " + line for line in lines]
    finally:
        log.log.debug = log.diag.debug = log.diag.discard = False


class PodsTrouble(Exception):
    pass
