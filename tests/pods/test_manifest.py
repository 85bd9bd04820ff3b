"""The parser: the schema's rules, each with a fault, the path that names it, and a good neighbour."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kubens import pods

HERE = Path(__file__).parent
NUMBER = '{"acKind": "PodManifest", "ports": [{"name": "a", "hostPort": %s}]}'
APP = {"exec": ["/bin/true"], "user": "0", "group": "0"}
IMAGE = {"id": "sha512-0"}


def parse(manifest: object) -> pods.PodManifest:
    return pods.parse_pod_manifest(json.dumps(manifest))


def parse_app(**members: object) -> pods.App:
    """The app of a manifest with these members more than the needed ones."""
    app = {"name": "a", "image": IMAGE, "app": {**APP, **members}}
    parsed = parse({"acKind": "PodManifest", "apps": [app]}).apps[0].app
    assert parsed is not None
    return parsed


def refused(text: object) -> pods.ManifestError:
    with pytest.raises(pods.ManifestError) as caught:
        pods.parse_pod_manifest(text if isinstance(text, str) else json.dumps(text))
    assert str(caught.value).startswith(caught.value.path + ": ")
    return caught.value


def test_the_example_in_full(example: str) -> None:
    manifest = pods.parse_pod_manifest(example)
    web, indexer = manifest.apps
    assert manifest.acVersion == "0.7.4"
    assert web.name == "web-front"
    assert web.image.id == "sha512-" + "1" * 64
    assert web.image.labels == [pods.NameValue("version", "2.4.1")]
    assert web.app == pods.App(
        exec=["/usr/bin/web", "--title=It's $HOME", "--root", "/srv/site"],
        user="33",
        group="33",
        supplementaryGIDs=[4, 27],
        workingDirectory="/srv",
        environment=[pods.NameValue("LANG", "C.UTF-8"), pods.NameValue("HOME", "/srv")],
        eventHandlers=[
            pods.EventHandler("pre-start", ["/usr/bin/web-migrate", "--once"]),
            pods.EventHandler("post-stop", ["/usr/bin/web-flush"]),
        ],
        mountPoints=[
            pods.MountPoint("assets", "/srv/site", True),
            pods.MountPoint("scratch", "/var/tmp/web"),
        ],
        ports=[pods.Port("http", "tcp", 8080, 1, True), pods.Port("metrics", "tcp", 9100)],
        isolators=[
            pods.Isolator("resource/cpu", pods.Resource(pods.Quantity("250m"), pods.Quantity("500m"))),
            pods.Isolator("resource/memory", pods.Resource(limit=pods.Quantity("64Mi"))),
            pods.Isolator(
                "os/linux/capabilities-retain-set",
                pods.CapabilitySet(["CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN"]),
            ),
        ],
    )
    assert web.annotations == [pods.NameValue("example.org/tier", "edge")]
    assert indexer.mounts == [pods.Mount("scratch", "/work")]
    assert manifest.volumes == [
        pods.Volume("assets", "host", "/srv/shop/assets"),
        pods.Volume("scratch", "empty", mode="0770", uid=33, gid=33),
    ]
    assert manifest.volumes[0].readOnly is None
    limit = pods.Resource(limit=pods.Quantity("256Mi"))
    assert manifest.isolators == [pods.Isolator("resource/memory", limit)]
    assert manifest.ports == [pods.ExposedPort("http", 80)]
    assert manifest.annotations == [pods.NameValue("example.org/owner", "shop-team")]


def change(manifest: Any, path: str, value: object) -> None:
    """Set what a path such as apps[0].name leads to; the value ... removes it."""
    steps = [int(s) if s.isdigit() else s for s in path.replace("[", ".").replace("]", "").split(".")]
    for step in steps[:-1]:
        manifest = manifest[step]
    if value is ...:
        del manifest[steps[-1]]
    elif isinstance(manifest, list) and steps[-1] == len(manifest):
        manifest.append(value)
    else:
        manifest[steps[-1]] = value


A = "apps[0].app"


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("acKind", ..., ""),
        ("acKind", "ImageManifest", ""),
        ("acKind", None, ""),
        ("acVersion", "0.0.0", ""),
        ("acVersion", "1.2", ""),
        ("acVersion", 1, ""),
        ("apps", {}, ""),
        ("apps", "x", ""),
        ("apps[0]", [], ""),
        ("apps[0].name", ..., ""),
        ("apps[0].name", "A", ""),
        ("apps[0].name", "a\nExecStart=/bin/sh", ""),
        ("apps[0].name", "../../etc", ""),
        ("apps[0].name", "%h", ""),
        ("apps[0].name", 5, ""),
        ("apps[1].name", "web-front", ""),
        ("apps[0].image", ..., ""),
        ("apps[0].image.id", "sha256-0", ""),
        ("apps[0].image.id", "sha512-0-1", ""),
        ("apps[0].image.id", "sha512-", ""),
        ("apps[0].image.name", "Ex ample", ""),
        ("apps[0].image.labels[1]", {"name": "version", "value": "2"}, ".name"),
        ("apps[0].mounts", [{"volume": "assets"}], "[0].path"),
        ("apps[0].mounts", [{"volume": "a/b", "path": "/"}], "[0].volume"),
        ("apps[0].annotations[1]", {"name": "example.org/tier", "value": "edge"}, ".name"),
        (f"{A}.exec", "x", ""),
        (f"{A}.exec[0]", "", ""),
        (f"{A}.exec[0]", "/bin/a\nUser=0", ""),
        (f"{A}.exec[1]", "\0", ""),
        (f"{A}.exec[1]", "\ud800", ""),
        (f"{A}.exec[1]", 1, ""),
        (f"{A}.user", ..., ""),
        (f"{A}.user", "", ""),
        (f"{A}.group", "", ""),
        (f"{A}.supplementaryGIDs[0]", -1, ""),
        (f"{A}.supplementaryGIDs[0]", 2**32 - 1, ""),
        (f"{A}.supplementaryGIDs[0]", 10**30, ""),
        (f"{A}.supplementaryGIDs[0]", 1.5, ""),
        (f"{A}.supplementaryGIDs[0]", "4", ""),
        (f"{A}.supplementaryGIDs[0]", True, ""),
        (f"{A}.workingDirectory", "srv", ""),
        (f"{A}.environment[0].name", "A=B", ""),
        (f"{A}.environment[0].name", "1A", ""),
        (f"{A}.environment[0].name", "", ""),
        (f"{A}.environment[0].value", ..., ""),
        (f"{A}.environment[0].value", "a\0b", ""),
        (f"{A}.environment[1].name", "LANG", ""),
        (f"{A}.eventHandlers[0].name", "post-start", ""),
        (f"{A}.eventHandlers[1].name", "pre-start", ""),
        (f"{A}.eventHandlers[0].exec", [], ""),
        (f"{A}.mountPoints[0].path", "/srv/../../etc", ""),
        (f"{A}.mountPoints[0].path", "", ""),
        (f"{A}.mountPoints[0].path", "/a\nOptions=x", ""),
        (f"{A}.mountPoints[0].path", "/a\\", ""),
        (f"{A}.mountPoints[0].name", "..", ""),
        (f"{A}.mountPoints[0].readOnly", "true", ""),
        (f"{A}.ports[0].port", 0, ""),
        (f"{A}.ports[0].port", 65536, ""),
        (f"{A}.ports[0].port", ..., ""),
        (f"{A}.ports[0].protocol", ..., ""),
        (f"{A}.ports[0].count", 57457, ""),
        (f"{A}.ports[0].socketActivated", 1, ""),
        (f"{A}.ports[1].name", "http", ""),
        (f"{A}.isolators[0].value", ..., ""),
        (f"{A}.isolators[0].value.limit", "1K", ""),
        (f"{A}.isolators[0].value.limit", True, ""),
        (f"{A}.isolators[0].value.limit", "9" * 100, ""),
        (f"{A}.isolators[0].value.default", True, ""),
        (f"{A}.isolators[2].value.set", [], ""),
        (f"{A}.isolators[2].value.set", ["all"], "[0]"),
        (f"{A}.isolators[2].value.set", ["CAP_X,CAP_Y"], "[0]"),
        (f"{A}.isolators[3]", {"name": "resource/block-iops", "value": {"limit": 1}}, ".value.default"),
        (
            f"{A}.isolators[3]",
            {"name": "resource/network-bandwidth", "value": {"default": True, "request": 1}},
            ".value.request",
        ),
        ("volumes[0].kind", "nfs", ""),
        ("volumes[0].kind", ..., ""),
        ("volumes[0].name", "a b", ""),
        ("volumes[0].source", ..., ""),
        ("volumes[0].source", "srv", ""),
        ("volumes[0].source", "/srv/..", ""),
        ("volumes[0].source", "/srv\n", ""),
        ("volumes[0].mode", "0755", ""),
        ("volumes[0].uid", 0, ""),
        ("volumes[0].gid", 0, ""),
        ("volumes[0].readOnly", "no", ""),
        ("volumes[1].source", "/srv", ""),
        ("volumes[1].mode", 755, ""),
        ("volumes[1].mode", "0788", ""),
        ("volumes[1].mode", "17777", ""),
        ("volumes[1].mode", "", ""),
        ("volumes[1].uid", -1, ""),
        ("volumes[1].uid", "33", ""),
        ("volumes[1].name", "assets", ""),
        ("ports[0].hostPort", 0, ""),
        ("annotations[1]", {"name": "homepage", "value": "ftp://x"}, ".value"),
        ("annotations[1]", {"name": "documentation", "value": "x"}, ".value"),
        ("annotations[1]", {"name": "created", "value": "yesterday"}, ".value"),
        ("annotations[1]", {"name": "example.org/owner", "value": "x"}, ".name"),
    ],
)
def test_a_fault_is_refused_with_its_path(example: str, path: str, value: object, fault: str) -> None:
    manifest = json.loads(example)
    parse(copy.deepcopy(manifest))
    change(manifest, path, value)
    assert refused(manifest).path == f"$.{path}{fault}"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("acVersion", "0.7.4+git"),
        ("acVersion", "1.0.0-rc.1"),
        ("acVersion", ...),
        ("apps", []),
        ("apps", None),
        ("apps[0].app", ...),
        ("apps[0].name", "a--b"),
        ("apps[0].mounts", None),
        ("apps[0].unknown", {"b": [1, 1.5, None]}),
        (f"{A}.exec", ["relative"]),
        (f"{A}.exec", []),
        (f"{A}.exec[1]", "line\nline\r\t%h $x"),
        (f"{A}.workingDirectory", ""),
        (f"{A}.supplementaryGIDs[0]", 2**32 - 2),
        (f"{A}.environment[0].value", "a\nb=c"),
        (f"{A}.environment[0].name", "_a1"),
        (f"{A}.mountPoints[0].path", "relative/%h:é"),
        (f"{A}.ports[0].count", 0),
        (f"{A}.ports[0].count", 57456),
        (f"{A}.isolators[0].value.limit", 2),
        (f"{A}.isolators[0].value.limit", 0.5),
        (f"{A}.isolators[0].value", {}),
        (f"{A}.isolators[3]", {"name": "resource/block-iops", "value": {"limit": 1, "default": True}}),
        (f"{A}.isolators[3]", {"name": "example.org/other", "value": [1]}),
        ("volumes[0].readOnly", None),
        ("volumes[1].mode", "1777"),
        ("volumes[1].mode", ...),
        ("annotations[1]", {"name": "homepage", "value": "https://example.org"}),
        ("annotations[1]", {"name": "created", "value": "2016-02-03T10:00:00.5+01:00"}),
    ],
)
def test_the_good_neighbours(example: str, path: str, value: object) -> None:
    manifest = json.loads(example)
    change(manifest, path, value)
    assert parse(manifest)


def test_defaults_and_shapes() -> None:
    app = parse_app(ports=[{"name": "p", "protocol": "udp", "port": 1, "count": 0}])
    assert app.ports == [pods.Port("p", "udp", 1, count=1, socketActivated=False)]
    assert (app.workingDirectory, app.supplementaryGIDs, app.environment) == ("", [], [])
    flags = (True, False, None)
    volumes = [{"name": f"v{i}", "kind": "empty", "readOnly": flag} for i, flag in enumerate(flags)]
    parsed = parse({"acKind": "PodManifest", "volumes": volumes}).volumes
    assert [volume.readOnly for volume in parsed] == [True, False, None]
    assert (parsed[0].mode, parsed[0].uid, parsed[0].gid, parsed[0].source) == ("0755", 0, 0, "")
    limits = [{"name": "resource/cpu", "value": {"limit": 1e-2}}, {"name": "x", "value": 1}]
    assert parse_app(isolators=limits).isolators == [
        pods.Isolator("resource/cpu", pods.Resource(limit=pods.Quantity("10m"))),
        pods.Isolator("x", None),
    ]


def test_keys_are_found_in_any_case() -> None:
    text = '{"ACKind": "PodManifest", "Apps": [{"NAME": "a", "image": {"ID": "sha512-0"}}]}'
    assert pods.parse_pod_manifest(text).apps[0].name == "a"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (NUMBER % ("1" + "0" * 100_000), "$.ports[0].hostPort"),
        (NUMBER % ("1e" + "9" * 50), "$.ports[0].hostPort"),
        ('{"acKind": "PodManifest", "acKind": "PodManifest"}', "$.acKind"),
        ('{"acKind": "PodManifest", "ackind": "PodManifest"}', "$.ackind"),
        ('{"acKind": "PodManifest", "apps": [{"name": "a", "name": "b"}]}', "$.apps[0].name"),
        ('{"acKind": "PodManifest", "x": {"odd key": {"b": 1, "b": 2}}}', '$.x["odd key"].b'),
        ('{"acKind": "PodManifest", "apps": [[[]]]', "$"),
        ('{"acKind": "PodManifest", "x": NaN}', "$"),
        ('{"acKind": "PodManifest", "x": -Infinity}', "$"),
        ("", "$"),
        ("[]", "$"),
        ("null", "$"),
        ("1", "$"),
        ('"x"', "$"),
        ("\ufeff{}", "$"),
        ('{"acKind": "PodManifest"} x', "$"),
        ("[" * 100_000, "$"),
        ('{"acKind": "PodManifest", "x": ' + "[" * 100 + "]" * 100 + "}", "$.x" + "[0]" * 32),
        ('{"acKind": "PodManifest", "x": {"\\ud800": "\\ud800"}}', '$.x["\\ud800"]'),
    ],
)
def test_hostile_json_is_refused_with_its_path(text: str, path: str) -> None:
    assert refused(text).path == path


def test_harmless_extremes_survive() -> None:
    nested = "[" * 30 + "]" * 30
    text = '{"acKind": "PodManifest", "x": ' + nested + ', "y": 1' + "0" * 100_000 + ', "z": 1e999999999}'
    assert pods.parse_pod_manifest(text).apps == []


def test_ten_thousand_apps_are_refused_and_a_thousand_are_not() -> None:
    apps = [{"name": f"a{index}", "image": IMAGE, "app": APP} for index in range(10_000)]
    assert refused({"acKind": "PodManifest", "apps": apps}).path == "$.apps"
    assert len(parse({"acKind": "PodManifest", "apps": apps[:1000]}).apps) == 1000


def test_a_manifest_of_endless_text_is_refused_unread() -> None:
    assert refused('{"acKind": "' + "x" * 2**22 + '"}').path == "$"


def test_image_manifests() -> None:
    manifest = {
        "acKind": "ImageManifest",
        "acVersion": "0.7.4",
        "name": "example.org/shop/web~1",
        "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "riscv64"}],
        "app": APP,
        "annotations": [{"name": "created", "value": "2016-02-03T10:00:00Z"}],
        "dependencies": [{"imageName": "x"}],
    }
    image = pods.parse_image_manifest(json.dumps(manifest))
    assert (image.name, image.app) == ("example.org/shop/web~1", pods.App(["/bin/true"], "0", "0"))
    assert image.app is not None and image.app.where == "$.app"
    for name in ("a\nb", "", "a%h", "-a", "a b"):
        with pytest.raises(pods.ManifestError, match=r"^\$\.name: "):
            pods.parse_image_manifest(json.dumps({**manifest, "name": name}))
    with pytest.raises(pods.ManifestError, match=r"^\$\.acKind: "):
        pods.parse_image_manifest(json.dumps({**manifest, "acKind": "PodManifest"}))


def test_records_compare_by_their_members() -> None:
    assert pods.Mount("a", "/b") == pods.Mount("a", "/b") != pods.Mount("a", "/c")
    assert pods.Mount("a", "/b") != pods.ExposedPort("a", 1)
    assert repr(pods.ExposedPort("a", 1)) == "ExposedPort(1, 'a')"


BROKEN = [
    "", " ", "{", "[", '{"a"', '{"a":', '{"a" 1}', '{"a": 1,}', '{"a": 1', "[1 2]", "[1,]", '"a', '"\\x"', '"\\u12"',
    '"a\nb"', "nul", "-", "1.", "01", "1 2", "{} x", "'a'", "NaN", "[Infinity]", "\ufeff{}", "\0",
]  # fmt: skip


def test_broken_text_is_refused_by_an_interpreter_that_has_not_imported_json() -> None:
    """As at boot; what the standard library says of each, with its place."""
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from kubens.pods.errors import ManifestError
from kubens.pods.jsontext import load
for name in [name for name in sys.modules if name.partition(".")[0] == "json"]:
    del sys.modules[name]
for text in sys.argv[2:]:
    try:
        print("loaded", load(bytes.fromhex(text).decode()))
    except ManifestError as error:
        print(error)
    for name in [name for name in sys.modules if name.partition(".")[0] == "json"]:
        del sys.modules[name]
"""
    texts = [text.encode().hex() for text in BROKEN]
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", "-c", program, str(Path(pods.__file__).parents[2]), *texts],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(BROKEN)
    assert [line for line in lines if not line.startswith(("$: no JSON: ", "$: NaN is", "$: Infinity is"))] == []


def test_the_parser_is_light() -> None:
    """The generator loads it at boot, where every import counts."""
    code = f"""
import sys, json
sys.path[:0] = [{str(HERE.parents[1] / "lib")!r}]
before = set(sys.modules)
import kubens.pods.parser
print(*sorted(set(sys.modules) - before))
"""
    command = [sys.executable, "-I", "-S", "-c", code]
    shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    parts = ("errors", "escape", "jsonscan", "jsontext", "manifest", "parser", "quantity")
    loaded = ["__future__", "kubens", "kubens.pods", *("kubens.pods." + part for part in parts), "kubens.syntax"]
    assert shown.stdout.split() == loaded


def test_the_index_is_complete() -> None:
    names = """
        app_to_systemd_mount_units env_file_path generate_mounts get_app_hashes get_flavor get_machine_id
        init_debug instantiated_prepare_app_unit_name is_mount_read_only pod_to_nspawn_args
        pod_to_systemd
        pod_to_systemd_host_mount_units rel_env_file_path service_unit_name service_unit_path
        service_want_path set_journal_permissions socket_unit_name socket_unit_path
        socket_want_path volumes_to_kvm_disk_args
        write_default_target write_prepare_app_template
        FLAVOR_FILE UNITS_DIR Pod parse_pod_manifest parse_image_manifest quote_exec
    """
    star: dict[str, object] = {}
    exec("from kubens.pods import *", star)
    for name in names.split():
        assert star[name] is getattr(pods, name)
    with pytest.raises(AttributeError):
        getattr(pods, "nonsense")  # noqa: B009
