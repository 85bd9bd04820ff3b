"""Which volume goes where, and whether it is read-only."""

from __future__ import annotations

import copy
import time

import pytest

from kubens import pods
from kubens.pods.mounts import generate_binds, pod_binds

from .conftest import runtime_app

DATA = pods.Volume("data", "host", "/srv")
CACHE = pods.Volume("cache", "empty")
VOLUMES = {"data": DATA, "cache": CACHE}


def point(name: str, path: str, read_only: bool = False) -> pods.MountPoint:
    return pods.MountPoint(name, path, read_only)


@pytest.mark.parametrize(
    ("mounts", "points", "expected"),
    [
        ([], [], []),
        ([("cache", "/b"), ("data", "/a")], [], [("cache", "/b"), ("data", "/a")]),
        ([], [("data", "/x"), ("cache", "/y")], [("data", "/x"), ("cache", "/y")]),
        ([("cache", "/a")], [("data", "/b")], [("cache", "/a"), ("data", "/b")]),
        ([("cache", "/a")], [("data", "/a")], [("cache", "/a")]),
        ([("cache", "a/")], [("data", "/./a")], [("cache", "/a")]),
        ([("data", "/a"), ("data", "/b")], [], [("data", "/a"), ("data", "/b")]),
        ([], [("new", "/n"), ("new", "/m")], [("new", "/n"), ("new", "/m")]),
        ([("data", "/ab")], [("cache", "/a")], [("data", "/ab"), ("cache", "/a")]),
    ],
)
def test_generate_mounts(
    mounts: list[tuple[str, str]], points: list[tuple[str, str]], expected: list[tuple[str, str]]
) -> None:
    app = runtime_app("a", [pods.Mount(*mount) for mount in mounts], mountPoints=[point(*p) for p in points])
    result, _ = pods.generate_mounts(app, VOLUMES)
    assert result == [pods.Mount(*pair) for pair in expected]


def test_an_implicit_volume_is_empty_and_nothing_else_changes(capsys: pytest.CaptureFixture[str]) -> None:
    app = runtime_app("a", mountPoints=[point("new", "/n"), point("data", "/d")])
    before = copy.deepcopy(app), copy.deepcopy(VOLUMES)
    for _ in range(2):
        mounts, volumes = pods.generate_mounts(app, VOLUMES)
        assert mounts == [pods.Mount("new", "/n"), pods.Mount("data", "/d")]
        assert volumes == {**VOLUMES, "new": pods.Volume("new", "empty", mode="0755", uid=0, gid=0)}
        assert volumes["new"].readOnly is None
        assert "'new'" in capsys.readouterr().err
    assert (app, VOLUMES) == before


@pytest.mark.parametrize(
    ("mounts", "points", "path"),
    [
        ([("nothing", "/a")], [], "$.apps[0].mounts[0].volume"),
        ([("data", "/a"), ("cache", "/a/")], [], "$.apps[0].mounts[1]"),
        ([], [("data", "/a"), ("cache", "/a")], "$.app.mountPoints[1]"),
        ([("data", "/a")], [("cache", "/a/b")], "$.app.mountPoints[0]"),
        ([("data", "/a-b"), ("data", "/a/b")], [("cache", "/a")], "$.apps[0].mounts[1]"),
        ([("data", "/a")], [("cache", "/")], "$.apps[0].mounts[0]"),
        ([("data", "/../a")], [], "$.apps[0].mounts[0].path"),
        ([], [("data", "/a\n")], "$.app.mountPoints[0].path"),
    ],
)
def test_what_generate_mounts_refuses(mounts: list[tuple[str, str]], points: list[tuple[str, str]], path: str) -> None:
    app = runtime_app("a", [pods.Mount(*mount) for mount in mounts], mountPoints=[point(*p) for p in points])
    with pytest.raises(pods.ManifestError) as caught:
        pods.generate_mounts(app, VOLUMES)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("of_volume", "points", "read_only"),
    [
        (None, [], False),
        (None, [("data", True)], True),
        (None, [("data", False)], False),
        (None, [("other", True)], False),
        (None, [("data", True), ("data", False)], True),
        (None, [("data", False), ("data", True)], False),
        (True, [("data", False)], True),
        (False, [("data", True)], False),
    ],
)
def test_is_mount_read_only(of_volume: bool | None, points: list[tuple[str, bool]], read_only: bool) -> None:
    volume = pods.Volume("data", "host", "/srv", readOnly=of_volume)
    mount_points = [point(name, f"/{index}", flag) for index, (name, flag) in enumerate(points)]
    assert pods.is_mount_read_only(volume, mount_points) is read_only


@pytest.mark.parametrize(
    ("mounts", "points", "read_only"),
    [
        # two mount points of one name: each has its own flag
        ([], [("data", "/a", True), ("data", "/b", False)], [True, False]),
        ([], [("data", "/a", False), ("data", "/b", True)], [False, True]),
        # a mount at the path of a mount point of another name keeps what the image's author wanted
        ([("data", "/a")], [("html", "a/", True)], [True]),
        ([("data", "/a")], [("html", "/a", False), ("data", "/b", True)], [False, True]),
        # elsewhere the mount point of the volume's name counts
        ([("data", "/x")], [("data", "/a", True)], [True, True]),
    ],
)
def test_the_mount_point_at_the_path_decides(
    mounts: list[tuple[str, str]], points: list[tuple[str, str, bool]], read_only: list[bool]
) -> None:
    app = runtime_app("a", [pods.Mount(*mount) for mount in mounts], mountPoints=[point(*p) for p in points])
    assert [bind.read_only for bind in generate_binds(app, VOLUMES)] == read_only


def test_apps_do_not_share_what_the_manifest_does_not_name() -> None:
    points = [point("tmp", "/t"), point("data", "/d")]
    apps = [runtime_app(name, mountPoints=points) for name in ("a", "b", "c")]
    names = [[bind.volume.name for bind in binds] for binds in pod_binds(apps, [DATA])]
    assert names == [["tmp", "data"], ["b-tmp", "data"], ["c-tmp", "data"]]


def test_an_implicit_volume_never_takes_a_name_in_use() -> None:
    apps = [runtime_app(name, mountPoints=[point("tmp", "/t")]) for name in ("a", "b")]
    with pytest.raises(pods.ManifestError, match="'b-tmp' is taken"):
        pod_binds(apps, [pods.Volume("b-tmp", "empty")])
    assert len(pod_binds(apps, [pods.Volume("c-tmp", "empty")])) == 2


def test_a_thousand_mount_points_are_no_work() -> None:
    points = [point("data", f"/{index}", index % 2 == 0) for index in range(1000)]
    start = time.process_time()
    binds = generate_binds(runtime_app("a", mountPoints=points), VOLUMES)
    assert time.process_time() - start < 0.3
    assert [bind.read_only for bind in binds] == [index % 2 == 0 for index in range(1000)]
