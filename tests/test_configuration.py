"""What configuration files say together, and what each setting does to what is generated."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubens import config
from kubens.config import Configuration
from kubens.files import Root
from kubens.sandbox_rules import RULES
from machine import CHECKOUT
from trees import BASE, Content, Run, build, generate, link, program, verify

SLEEP = "[Service]\nExecStart=/bin/sleep 1000\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def load(root: Path, **files: Content) -> Configuration:
    """Read configuration files that are given by their names without .conf; `usr_a` lies in /usr/lib/kubens."""
    places = {"usr": "/usr/lib/kubens", "etc": "/etc/kubens"}
    paths = {f"{places[name[:3]]}/{name[4:]}.conf": content for name, content in files.items()}
    return config.load(Root(str(build(root, paths))))


def members(configuration: Configuration, name: str = "kubens") -> dict[str, str]:
    return {member.unit: member.mode for member in configuration.mount_namespaces[name].members.values()}


def run(root: Path, text: str, units: dict[str, str]) -> Run:
    """Generate for one configuration file and some units."""
    files: dict[str, Content] = {f"/etc/systemd/system/{name}": content for name, content in units.items()}
    build(root, {**BASE, **files, "/etc/kubens/a.conf": text})
    return generate(root, root.parent / "output")


def settings(run: Run, unit: str, name: str = "zz-kubens.conf") -> list[str]:
    """The assignments in a member's drop-in."""
    lines = (run.output / f"{unit}.d/{name}").read_text().splitlines()
    return [line for line in lines if "=" in line and not line.startswith("#")]


# Files and sections


def test_sections_of_one_name_merge_across_files(root: Path) -> None:
    found = load(
        root,
        etc_b="[MountNamespace]\nName=blue\nWrap=b\n[MountNamespace]\nEnv=c\n",
        etc_a="[MountNamespace]\nWrap=a\nWhenMissing=host\n",
        usr_c="[MountNamespace]\nWrap=d e\nWrap=f\nWhenMissing=fail\n",
    )
    assert not found.findings
    assert list(found.mount_namespaces) == ["kubens", "blue"]
    assert members(found) == {
        "a.service": "wrap", "c.service": "env", "d.service": "wrap", "e.service": "wrap", "f.service": "wrap"
    }  # fmt: skip
    assert members(found, "blue") == {"b.service": "wrap"}


@pytest.mark.parametrize(("first", "second", "last"), [("host", "fail", "fail"), ("fail", "host", "host")])
def test_the_later_scalar_wins(first: str, second: str, last: str, root: Path) -> None:
    text = "[MountNamespace]\nWhenMissing={}\n"
    found = load(root, etc_a=text.format(first), etc_b=text.format(second))
    assert found.mount_namespaces["kubens"].when_missing == last


def test_an_empty_assignment_resets(root: Path) -> None:
    found = load(
        root,
        usr_a="[MountNamespace]\nWrap=a b\nEnv=c\nWrapCommands=ExecStop\nWhenMissing=host\nAllowSandboxLoss=yes\n",
        etc_b="[MountNamespace]\nWrap=\nWrap=d\nWrapCommands=\nWhenMissing=\nAllowSandboxLoss=\n",
    )
    namespace = found.mount_namespaces["kubens"]
    assert members(found) == {"c.service": "env", "d.service": "wrap"}
    assert namespace.wrap_commands == ("ExecStart",)
    assert (namespace.when_missing, namespace.allow_sandbox_loss) == ("fail", False)
    assert not found.findings


def test_etc_wins_over_usr_by_file_name(root: Path) -> None:
    text = "[MountNamespace]\nWrap={}\n"
    found = load(root, usr_a=text.format("a"), etc_a=text.format("b"), usr_b=text.format("c"))
    assert members(found) == {"b.service": "wrap", "c.service": "wrap"}


@pytest.mark.parametrize("nothing", [link("/dev/null"), ""], ids=["link to /dev/null", "empty file"])
def test_a_file_of_nothing_masks(nothing: Content, root: Path) -> None:
    found = load(root, usr_a="[MountNamespace]\nWrap=a\n", etc_a=nothing, usr_b="[MountNamespace]\nWrap=b\n")
    assert members(found) == {"b.service": "wrap"}
    assert not found.findings


def test_files_are_read_in_byte_order_of_their_names(root: Path) -> None:
    names = ["10", "9", "B", "a", "a-", "a.b", "é", "\U0001f600", "\uffee", "\udc80"]
    ordered = ["10", "9", "B", "a-", "a.b", "a", "\udc80", "é", "\uffee", "\U0001f600"]
    files: dict[str, Content] = {
        f"{('/etc/kubens', '/usr/lib/kubens')[place % 2]}/{name}.conf": f"[MountNamespace]\nName=n{place}\n"
        for place, name in enumerate(names)
    }
    found = config.load(Root(str(build(root, files))))
    assert list(found.mount_namespaces) == [f"n{names.index(name)}" for name in ordered]


def test_only_names_that_end_in_conf_are_read(root: Path) -> None:
    text = "[MountNamespace]\nWrap=a\n"
    build(root, {"/etc/kubens/a.conf~": text, "/etc/kubens/a.conf.dpkg-old": text, "/etc/kubens/pods/b.conf": text})
    found = config.load(Root(str(root)))
    assert not found.mount_namespaces and not found.findings


def test_links_are_followed_inside_the_root(root: Path) -> None:
    build(root, {"/etc/kubens": link("/opt/kubens"), "/opt/kubens/a.conf": link("../../srv/a")})
    build(root, {"/srv/a": "[MountNamespace]\n"})
    assert list(config.load(Root(str(root))).mount_namespaces) == ["kubens"]


def test_the_syntax_is_that_of_unit_files(root: Path) -> None:
    text = (
        "# comment\r\n; comment\r\n[MountNamespace]\r\n  Name = blue \r\n\tWrap = a \\\r\n# inside\r\n"
        "; inside\r\n   b\\\r\n\r\n[X-Mine]\r\nAnything=goes\r\n[MountNamespace]\r\nName=blue\r\nX-Mine=too\r\nEnv=c"
    )
    found = load(root, etc_a="\ufeff" + text)
    assert not found.findings
    assert members(found, "blue") == {"a.service": "wrap", "b.service": "wrap", "c.service": "env"}


def test_name_counts_for_the_whole_section(root: Path) -> None:
    found = load(root, etc_a="[MountNamespace]\nWrap=a\nName=first\nEnv=b\nName=blue\n[MountNamespace]\nName=\n")
    assert members(found, "blue") == {"a.service": "wrap", "b.service": "env"}
    assert list(found.mount_namespaces) == ["blue", "kubens"]


# Members


@pytest.mark.parametrize(
    ("word", "unit"),
    [
        ("kubelet", "kubelet.service"),
        ("kubelet.service", "kubelet.service"),
        ("a.b", "a.b.service"),
        ("a@b", "a@b.service"),
        ("a@", "a@.service"),
        ("a@b.target.wants", "a@b.target.wants.service"),
        ("my-app:x_1", "my-app:x_1.service"),
    ],
)
def test_a_name_without_a_suffix_is_a_service(word: str, unit: str, root: Path) -> None:
    assert list(members(load(root, etc_a=f"[MountNamespace]\nWrap={word}\n"))) == [unit]


def test_a_section_without_members_gives_the_namespace(tmp_path: Path, root: Path) -> None:
    done = run(root, "[MountNamespace]\nName=container-mount-namespace\n", {})
    assert (done.status, done.lines) == (0, [])
    assert "/run/container-mount-namespace/mnt" in (done.output / "container-mount-namespace.service").read_text()
    assert verify(root, done.output) == ""


def test_namespaces_are_independent(root: Path) -> None:
    text = "[MountNamespace]\nName=red\nWrap=a c\n[MountNamespace]\nName=blue\nEnv=b\nWhenMissing=host\n"
    units = {f"{name}.service": SLEEP for name in "ab"}
    build(root, {"/usr/bin/kubensenter": program})
    done = run(root, text, {**units, "c.service": SLEEP + "PrivateTmp=yes\n"})
    assert done.status == 1
    assert not (done.output / "red.service").exists() and not (done.output / "a.service.d").exists()
    assert "EnvironmentFile=-/run/blue/env" in settings(done, "b.service")
    assert verify(root, done.output) == ""


def test_a_template_wraps_its_instances(root: Path) -> None:
    """The template's drop-in reaches every instance; one with files of its own gets a drop-in for what it runs."""
    template = "[Service]\nExecStart=/bin/sleep %i\n"
    own = "[Service]\nExecStart=/bin/sleep 7\n"
    dropin = "[Service]\nExecStart=\nExecStart=/bin/sleep 8\n"
    done = run(
        root,
        "[MountNamespace]\nWrap=a@\n",
        {"a@.service": template, "a@own.service": own, "a@more.service.d/x.conf": dropin},
    )
    commands = {
        unit: [line for line in settings(done, unit) if line.startswith("ExecStart=/")]
        for unit in ("a@.service", "a@own.service", "a@more.service")
    }
    inside = "ExecStart=/usr/bin/nsenter --mount=/run/kubens/mnt /bin/sleep "
    assert commands == {
        "a@.service": [f"{inside}%i"],
        "a@own.service": [f"{inside}7"],
        "a@more.service": [f"{inside}8"],
    }


def test_an_instance_alone_leaves_its_template(root: Path) -> None:
    done = run(root, "[MountNamespace]\nWrap=a@one\n", {"a@.service": "[Service]\nExecStart=/bin/sleep %i\n"})
    assert sorted(path.name for path in done.output.glob("a@*")) == ["a@one.service.d"]


def test_an_alias_is_the_unit_it_stands_for(root: Path) -> None:
    build(root, {"/etc/systemd/system/dbus.service": link("real.service")})
    done = run(root, "[MountNamespace]\nWrap=dbus\nEnv=real\n", {"real.service": SLEEP})
    assert done.lines == [
        "warning: /etc/kubens/a.conf:3: real.service: is the same as dbus.service, which is listed already: remove one"
    ]
    assert sorted(path.name for path in done.output.glob("*.d")) == ["real.service.d"]


# WrapCommands=

ALL = "".join(f"{key}=/bin/true {key}\n" for key in config.EXEC_SETTINGS if key != "ExecReloadPost")


@pytest.mark.parametrize(
    ("value", "wrapped"),
    [
        ("", ["ExecStart"]),
        ("ExecStart", ["ExecStart"]),
        ("ExecStop ExecStart", ["ExecStart", "ExecStop"]),
        ("ExecStartPre\nWrapCommands=ExecReload", ["ExecStartPre", "ExecReload"]),
        (" ".join(config.EXEC_SETTINGS), [key for key in config.EXEC_SETTINGS if key != "ExecReloadPost"]),
    ],
)
def test_wrap_commands_names_what_is_wrapped(value: str, wrapped: list[str], root: Path) -> None:
    done = run(root, f"[MountNamespace]\nWrap=a\nWrapCommands={value}\n", {"a.service": f"[Service]\n{ALL}"})
    assert done.lines == []
    commands = [line.split("=", 1) for line in settings(done, "a.service") if line.startswith("Exec")]
    inside = "/usr/bin/nsenter --mount=/run/kubens/mnt /bin/true "
    assert commands == [part for key in wrapped for part in ([key, ""], [key, inside + key])]
    assert verify(root, done.output) == ""


# WhenMissing=


@pytest.mark.parametrize(
    ("value", "bond", "command", "environment"),
    [
        (
            "fail",
            ["Requires=kubens.service", "After=kubens.service"],
            "/usr/bin/nsenter --mount=/run/kubens/mnt /bin/sleep 1000",
            "Environment=KUBENSMNT=/run/kubens/mnt",
        ),
        (
            "host",
            ["Wants=kubens.service", "PartOf=kubens.service", "After=kubens.service"],
            "/usr/bin/kubensenter -n kubens -- /bin/sleep 1000",
            "EnvironmentFile=-/run/kubens/env",
        ),
    ],
)
def test_when_missing(value: str, bond: list[str], command: str, environment: str, root: Path) -> None:
    build(root, {"/usr/bin/kubensenter": program})
    text = f"[MountNamespace]\nWrap=a\nEnv=b\nWhenMissing={value}\n"
    done = run(root, text, {"a.service": SLEEP, "b.service": SLEEP})
    assert done.lines == []
    of_kubens = [line for line in settings(done, "a.service") if line.endswith("=kubens.service")]
    assert of_kubens == [line for line in settings(done, "b.service") if line.endswith("=kubens.service")] == bond
    assert f"ExecStart={command}" in settings(done, "a.service")
    assert environment in settings(done, "b.service")
    assert not any(line.startswith("Exec") for line in settings(done, "b.service"))


def test_the_host_is_no_way_out_without_kubensenter(root: Path) -> None:
    """The command that tells whether there is a namespace has to be there itself."""
    done = run(root, "[MountNamespace]\nWrap=a\nWhenMissing=host\n", {"a.service": SLEEP})
    assert done.status == 1
    assert len(done.lines) == 1
    assert "kubensenter" in done.lines[0]
    assert not (done.output / "a.service.d").exists()


# AllowSandboxLoss=

# A value of every setting of the table that keeps a service out.
OBSTACLES = {
    "User": "nobody", "DynamicUser": "yes", "PrivateUsers": "yes", "CapabilityBoundingSet": "CAP_CHOWN",
    "RestrictNamespaces": "net", "SystemCallFilter": "~setns", "RootDirectory": "/srv", "RootImage": "/srv.img",
    "PrivateTmp": "disconnected", "PrivateIPC": "yes", "IPCNamespacePath": "/run/ipc", "PrivatePIDs": "yes",
    "ProtectSystem": "strict", "ProtectHome": "tmpfs", "ProtectProc": "invisible", "ProcSubset": "pid",
    "ReadWritePaths": "/srv", "ReadOnlyPaths": "/srv", "InaccessiblePaths": "/srv", "ReadWriteDirectories": "/srv",
    "ReadOnlyDirectories": "/srv", "InaccessibleDirectories": "/srv", "ExecPaths": "/srv", "NoExecPaths": "/srv",
    "BindPaths": "/srv", "BindReadOnlyPaths": "/srv", "TemporaryFileSystem": "/srv", "MountImages": "/a.img:/srv",
    "ExtensionImages": "/a.img", "ExtensionDirectories": "/srv", "MountFlags": "slave", "LogNamespace": "mine",
    "SecureBits": "keep-caps noroot", "RuntimeDirectory": "x::ro", "StateDirectory": "x:y:ro",
    "CacheDirectory": "x::ro", "LogsDirectory": "x::ro",
    "ConfigurationDirectory": "x::ro", "UserNamespacePath": "/run/x", "RootMStack": "/x",
    "SELinuxContext": "system_u:system_r:x_t:s0", "AppArmorProfile": "x", "SmackProcessLabel": "x",
}  # fmt: skip
VALUES = {key: OBSTACLES.get(key, "yes") for key in RULES}
NEUTRAL = {key: f"{key}={neutral}" for key, (*_, neutral) in RULES.items() if neutral is not None}
DOMAINS = ("SELinuxContext", "AppArmorProfile", "SmackProcessLabel")


def test_the_values_cover_the_table() -> None:
    assert set(OBSTACLES) <= set(VALUES)


def one_namespace_each(more: str = "", mode: str = "Wrap") -> str:
    return "".join(f"[MountNamespace]\nName=n-{key}\n{mode}=s-{key}\n{more}" for key in VALUES)


def services(more: dict[str, str]) -> dict[str, str]:
    """A service for each setting of the table."""
    return {f"s-{key}.service": f"{SLEEP}{key}={value}\n{more.get(key, '')}" for key, value in VALUES.items()}


def refused(key: str) -> list[str]:
    """How each of the two lines about a refused service begins."""
    return [f"error: /etc/systemd/system/s-{key}.service:3: s-{key}.service: {key}=", "error: /etc/kubens/a.conf:"]


def test_every_obstacle_is_refused_where_it_stands(root: Path) -> None:
    done = run(root, one_namespace_each(), services({}))
    expected = [begin for key in VALUES for begin in refused(key)]
    assert len(done.lines) == len(expected)
    assert all(line.startswith(begin) for line, begin in zip(done.lines, expected))
    for key in VALUES:
        line = next(line for line in done.lines if f" s-{key}.service: " in line)
        assert ("AllowSandboxLoss=yes" in line) == (key in NEUTRAL)
    assert not list(done.output.glob("s-*"))


def test_an_env_service_keeps_its_domain(root: Path) -> None:
    done = run(root, one_namespace_each(mode="Env"), services({}))
    assert sorted(path.name for path in done.output.glob("s-*")) == sorted(f"s-{key}.service.d" for key in DOMAINS)


def test_allowed_sandbox_loss_writes_the_neutral_value_and_says_so(root: Path) -> None:
    done = run(root, one_namespace_each("AllowSandboxLoss=yes\n"), services({}))
    for key, value in VALUES.items():
        about = [line for line in done.lines if f" s-{key}.service: " in line]
        if key in NEUTRAL:
            place = f"/etc/systemd/system/s-{key}.service:3"
            assert about == [
                f"warning: {place}: s-{key}.service: {key}={value} is lost to AllowSandboxLoss=yes: "
                "remove that, to keep it"
            ]
            assert NEUTRAL[key] in settings(done, f"s-{key}.service")
        else:
            assert len(about) == 1 and about[0].startswith(refused(key)[0])
            assert not (done.output / f"s-{key}.service.d").exists()


def test_a_neutral_value_is_no_obstacle_itself(root: Path) -> None:
    """An administrator may write it as well, and nothing is left to refuse."""
    done = run(root, one_namespace_each(), services({key: line + "\n" for key, line in NEUTRAL.items()}))
    made = sorted(path.name for path in done.output.glob("s-*"))
    assert made == sorted(f"s-{key}.service.d" for key in NEUTRAL)


def test_sandbox_loss_is_allowed_to_one_namespace_only(root: Path) -> None:
    text = "[MountNamespace]\nName=red\nWrap=a\nAllowSandboxLoss=yes\n[MountNamespace]\nName=blue\nWrap=b\n"
    done = run(root, text, {"a.service": f"{SLEEP}PrivateTmp=yes\n", "b.service": f"{SLEEP}PrivateTmp=yes\n"})
    assert "PrivateTmp=no" in settings(done, "a.service")
    assert not (done.output / "b.service.d").exists()
    assert verify(root, done.output) == ""


# The shipped sample

SAMPLE = (CHECKOUT / "conf/services.conf").read_text()


def uncommented(text: str) -> str:
    """What people get who take the # away: in front of settings there is no blank behind it."""
    return "".join(line[1:] + "\n" for line in text.splitlines() if line[:1] == "#" and line[1:2].strip())


def presets() -> dict[str, str]:
    """The examples in the sample: the configuration by its title, "kubeadm with containerd"."""
    blocks = SAMPLE.partition("# Presets.\n#\n")[2].split("\n\n")
    return {title[2:]: uncommented(settings) for title, settings in zip(blocks[::2], blocks[1::2])}


def test_the_sample_configures_nothing(root: Path) -> None:
    done = run(root, SAMPLE, {})
    assert (done.status, done.lines, list(done.output.iterdir())) == (0, [], [])


def test_the_sample_shows_every_setting_with_its_default() -> None:
    shown = uncommented(SAMPLE.partition("# Presets.")[0])
    expected: dict[str, str] = {}
    for section, key, _, default in config.SETTINGS:
        expected[section] = expected.get(section, f"[{section}]\n") + f"{key}={default}\n"
    assert shown == "".join(expected.values())


def test_the_sample_has_presets() -> None:
    for name in ("kubeadm with containerd", "kubeadm with CRI-O", "k3s", "RKE2", "docker"):
        assert [title for title in presets() if title.startswith(name)], name


@pytest.mark.parametrize("title", presets())
def test_a_preset_is_right_as_it_stands(title: str, root: Path) -> None:
    words = [word for line in presets()[title].splitlines()[1:] for word in line.partition("=")[2].split()]
    assert words
    done = run(root, presets()[title], dict.fromkeys(words, SLEEP))
    assert (done.status, done.lines) == (0, [])
    assert sorted(path.name for path in done.output.glob("*.d")) == sorted(f"{word}.d" for word in words)
    assert verify(root, done.output) == ""
