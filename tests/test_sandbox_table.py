"""The table of what keeps a service from entering is true: for each rule, systemd is asked on every release."""

from __future__ import annotations

import re
from collections.abc import Callable

from differential import settings
from kubens import sandbox, sandbox_rules
from kubens.units import Setting, Unit
from machine import Machine

# Some assignments for each rule, of which one at least takes effect on a release that knows the setting. What the
# table says of each has to be so, of those that are no obstacle as well. Behind "#" stands the release that gave the
# value its effect: before, the table is stricter than it need be.
ASSIGNMENTS = """
User=nobody
User=0
User=root
User=nobody User=
DynamicUser=yes
DynamicUser=no
PrivateUsers=yes
PrivateUsers=no
UserNamespacePath=/proc/1/ns/user
DelegateNamespaces=yes
DelegateNamespaces=mnt
DelegateNamespaces=no
SecureBits=noroot
SecureBits=keep-caps
SecureBits=noroot SecureBits=
CapabilityBoundingSet=CAP_SYS_ADMIN
CapabilityBoundingSet=CAP_SYS_CHROOT
CapabilityBoundingSet=CAP_SYS_ADMIN CapabilityBoundingSet=cap_sys_chroot
CapabilityBoundingSet=~CAP_SYS_ADMIN
CapabilityBoundingSet=~CAP_NET_ADMIN
CapabilityBoundingSet=~CAP_SYS_CHROOT CapabilityBoundingSet=CAP_SYS_CHROOT
CapabilityBoundingSet=~
CapabilityBoundingSet=
RestrictNamespaces=yes
RestrictNamespaces=no
RestrictNamespaces=net
RestrictNamespaces=net RestrictNamespaces=mnt
RestrictNamespaces=~mnt
RestrictNamespaces=~net
SystemCallFilter=~setns
SystemCallFilter=~@mount
SystemCallFilter=@system-service
SystemCallFilter=@system-service SystemCallFilter=~setns
SystemCallFilter=~setns SystemCallFilter=
RootDirectory=/opt/dir
RootDirectory=/
RootImage=/opt/dir/file
RootMStack=/opt/dir
PrivateTmp=yes
PrivateTmp=no
PrivateTmp=yes PrivateTmp=off
PrivateTmp=disconnected  # 257
PrivateDevices=yes
PrivateMounts=yes
PrivateIPC=yes
IPCNamespacePath=/proc/1/ns/ipc
PrivatePIDs=yes
PrivateBPF=yes
ProtectSystem=yes
ProtectSystem=strict
ProtectSystem=no
ProtectHome=yes
ProtectHome=tmpfs
ProtectHome=no
ProtectProc=noaccess
ProtectProc=default
ProcSubset=pid
ProcSubset=all
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectControlGroups=no
ReadWritePaths=/opt/dir
ReadWritePaths=/opt/dir ReadWritePaths=
ReadOnlyPaths=/opt/dir
InaccessiblePaths=/opt/dir
ReadWriteDirectories=/opt/dir
ReadOnlyDirectories=/opt/dir
InaccessibleDirectories=/opt/dir
ExecPaths=/opt/dir
NoExecPaths=/opt/dir
BindPaths=/opt/dir
BindReadOnlyPaths=/opt/dir
BindReadOnlyPaths=/opt/dir BindReadOnlyPaths=
TemporaryFileSystem=/opt/dir
MountImages=/opt/dir/file:/opt/dir2
ExtensionImages=/opt/dir/file
ExtensionDirectories=/opt/dir
MountFlags=private
MountFlags=slave
MountFlags=shared
MountAPIVFS=yes  # 257
BindLogSockets=yes
BindLogSockets=no
LogNamespace=name
LogNamespace=no
LogNamespace=name LogNamespace=
RuntimeDirectory=name::ro
RuntimeDirectory=name
StateDirectory=name::ro
StateDirectory=name
CacheDirectory=name::ro
LogsDirectory=name::ro
ConfigurationDirectory=name::ro
ConfigurationDirectory=name
"""
# No kernel here has these.
DOMAINS = {"SELinuxContext", "AppArmorProfile", "SmackProcessLabel"}


def _settings(line: str) -> list[tuple[str, str]]:
    """`A=b c A=` is two assignments; a blank that no setting follows is part of a value."""
    return [(key, value.strip()) for key, value in re.findall(r"([A-Z]\w+)=(.*?)(?=\s[A-Z]\w+=|$)", line)]


def _obstacles(line: str) -> list[sandbox_rules.Obstacle]:
    unit = Unit("a.service", "/a.service")
    for key, value in _settings(line):
        unit.service.setdefault(key, []).append(Setting(value, "/a.service", 1))
    return sandbox.obstacles(unit)


CASES = dict(line.partition("  # ")[::2] for line in ASSIGNMENTS.strip().split("\n"))


def test_each_rule_has_a_case_that_is_an_obstacle() -> None:
    assert {one.key for line in CASES for one in _obstacles(line)} == {*sandbox_rules.RULES} - DOMAINS


def test_the_table_is_true(machine: Callable[..., Machine], lower: str) -> None:
    """What it names is an obstacle from the release on that it says, and nothing once the neutral value is set."""
    node = machine(lower)
    settings.prepare(node)
    release = int(re.findall(r"systemd (\d+)", node.systemctl("--version").stdout)[0])
    since = {key: rule[0] for key, rule in sandbox_rules.RULES.items()}
    expected, tried = {}, {}
    for line, effective_since in CASES.items():
        assignments = _settings(line)
        text = "\n".join(f"{key}={value}" for key, value in assignments)
        obstacles = _obstacles(line)
        tried[line] = text
        expected[line] = bool(obstacles) and max(since[assignments[0][0]], int(effective_since or 0)) <= release
        for neutral in (one.neutral for one in obstacles if one.neutral is not None):
            tried[f"{line}, neutral"] = f"{text}\n{neutral[0]}={neutral[1]}"
            expected[f"{line}, neutral"] = False
    effects = dict(zip(tried, settings.observe(node, list(tried.values()))))
    wrong = [f"{case}: {effect}" for case, effect in effects.items() if (effect != settings.FREE) != expected[case]]
    assert not wrong


def test_system_call_sets_that_have_setns(machine: Callable[..., Machine], lower: str) -> None:
    """The sets of `systemd-analyze syscall-filter`, of which one may be in another."""
    node = machine(lower)
    node.boot()
    sets: dict[str, set[str]] = {}
    name = ""
    for line in node.run("systemd-analyze", "syscall-filter", env={"SYSTEMD_COLORS": "0"}).stdout.splitlines():
        if line.startswith("@"):
            name = line.strip()
            sets[name] = set()
        elif line.startswith("    ") and not line.strip().startswith("#"):
            sets[name].add(line.strip())
    found = {"setns"}
    while True:
        more = {name for name, calls in sets.items() if calls & found} - found
        if not more:
            break
        found |= more
    assert found == sandbox_rules._WITH_SETNS


def test_a_network_namespace_is_no_obstacle_without_private_mounts(machine: Callable[..., Machine], lower: str) -> None:
    node = machine(lower)
    settings.prepare(node)
    assert settings.observe(node, ["PrivateNetwork=yes\nPrivateMounts=no"]) == [settings.FREE]


def test_every_setting_with_a_rule_is_looked_for() -> None:
    assert {*sandbox_rules.RULES} == sandbox._KEYS
