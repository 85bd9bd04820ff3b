"""What each setting of sandbox means: which assignment of it takes effect, and what would take that away.

One table for every release.
"""

from __future__ import annotations

from kubens.sandbox import BARS, DOMAIN, LOSES
from kubens.syntax import boolean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kubens.units import Setting, Unit

    Rule = tuple[int, Callable[[list[Setting]], "Setting | None"], str, "str | None"]


class Obstacle:
    """A setting of a unit that forbids wrapping it, or entering at all.

    reason: LOSES, BARS or DOMAIN. neutral: the assignment that takes the setting's effect away, as (key, value);
    None where there is no such thing.
    """

    __slots__ = ("key", "neutral", "reason", "setting")

    def __init__(self, key: str, setting: Setting, reason: str, neutral: tuple[str, str] | None) -> None:
        self.key = key
        self.setting = setting
        self.reason = reason
        self.neutral = neutral


def _enabled(settings: list[Setting]) -> Setting | None:
    """A boolean, or a word that is more than one: the last assignment that systemd takes."""
    for setting in reversed(settings):
        answer = boolean(setting.value)
        if answer is False:
            return None
        if answer or setting.value:
            return setting
    return None


def _text(settings: list[Setting]) -> Setting | None:
    """A path or a name: the last assignment, unless it is empty."""
    return settings[-1] if settings[-1].value else None


def _other_than(harmless: str, *others: str) -> Callable[[list[Setting]], Setting | None]:
    """A word out of a few: the last assignment that is one of them, unless it is the harmless one."""

    def applies(settings: list[Setting]) -> Setting | None:
        words = [setting for setting in settings if setting.value == harmless or setting.value in others]
        return words[-1] if words and words[-1].value != harmless else None

    return applies


def _listed(settings: list[Setting]) -> Setting | None:
    """The last assignment of a list, where the list is not empty after resets."""
    found = None
    for setting in settings:
        found = setting if setting.value else None
    return found


def _holds(*endings: str) -> Callable[[list[Setting]], Setting | None]:
    """A list in which, after resets, a word has one of the endings."""

    def applies(settings: list[Setting]) -> Setting | None:
        found = None
        for setting in settings:
            if not setting.value:
                found = None
            elif any(word.endswith(endings) for word in setting.value.split()):
                found = setting
        return found

    return applies


def _root(settings: list[Setting]) -> Setting | None:
    """RootDirectory=: the host's own is none."""
    last = settings[-1]
    return last if last.value not in ("", "/") else None


def _propagation(settings: list[Setting]) -> Setting | None:
    """MountFlags=: shared is what services have anyway."""
    last = settings[-1]
    return last if last.value not in ("", "shared") else None


def _user(settings: list[Setting]) -> Setting | None:
    last = settings[-1]
    return last if last.value not in ("", "root", "0") else None


def _capabilities(settings: list[Setting]) -> Setting | None:
    """config_parse_capability_set(): "", "~" and the first assignment replace, later ones merge."""
    missing: dict[str, Setting] = {}
    fresh = True
    for setting in settings:
        inverted = setting.value.startswith("~")
        named = setting.value.lstrip("~").lower().split()
        for capability, number in (("cap_sys_admin", "21"), ("cap_sys_chroot", "18")):
            given = capability in named or number in named
            if (fresh or not named) and not inverted:
                present = given
            elif inverted:
                present = not given if fresh or not named else capability not in missing and not given
            else:
                present = given or capability not in missing
            if present:
                missing.pop(capability, None)
            else:
                missing.setdefault(capability, setting)
        fresh = False
    return next(iter(missing.values()), None)


def _namespaces(settings: list[Setting]) -> Setting | None:
    """config_parse_restrict_namespaces(): a boolean or a list that merges, of which "mnt" is what counts."""
    barred = None
    fresh = True
    for setting in settings:
        answer = boolean(setting.value)
        if not setting.value or answer is False:
            barred, fresh = None, True
            continue
        inverted = setting.value.startswith("~")
        named = setting.value.lstrip("~").split()
        if answer:
            barred = setting
        elif inverted:
            barred = setting if "mnt" in named else barred
        elif "mnt" in named:
            barred = None
        elif fresh:
            barred = setting
        fresh = False
    return barred


# The sets that have setns(2) in them, on every release ("systemd-analyze syscall-filter").
_WITH_SETNS = frozenset(("setns", "@process", "@system-service", "@known"))


def _system_calls(settings: list[Setting]) -> Setting | None:
    """config_parse_syscall_filter(): the first assignment decides whether it is a list of allowed or denied calls."""
    allow_list = None
    barred = None
    for setting in settings:
        if not setting.value:
            allow_list = barred = None
            continue
        inverted = setting.value.startswith("~")
        named = {word.partition(":")[0] for word in setting.value.lstrip("~").split()}
        if allow_list is None:
            allow_list = not inverted
            barred = setting if allow_list else None
        if named & _WITH_SETNS:
            barred = setting if inverted else None
    return barred


# by setting: (the release that brought it or 0 for before 247, which assignment takes effect as an obstacle if any,
# why it is one, the value that takes it away or None where there is no such thing)
_off = "no"
RULES: dict[str, Rule] = {
    "User": (0, _user, BARS, None),
    "DynamicUser": (0, _enabled, BARS, None),
    "PrivateUsers": (0, _enabled, BARS, _off),
    "CapabilityBoundingSet": (0, _capabilities, BARS, "CAP_SYS_ADMIN CAP_SYS_CHROOT"),
    "RestrictNamespaces": (0, _namespaces, BARS, _off),
    "SystemCallFilter": (0, _system_calls, BARS, "setns"),
    "SecureBits": (0, _holds("noroot", "noroot-locked"), BARS, ""),
    "UserNamespacePath": (262, _text, BARS, ""),
    "DelegateNamespaces": (258, _text, BARS, ""),
    "RootDirectory": (0, _root, LOSES, None),
    "RootImage": (0, _text, LOSES, None),
    "RootMStack": (262, _text, LOSES, None),
    "RuntimeDirectory": (257, _holds(":ro"), LOSES, None),
    "StateDirectory": (257, _holds(":ro"), LOSES, None),
    "CacheDirectory": (257, _holds(":ro"), LOSES, None),
    "LogsDirectory": (257, _holds(":ro"), LOSES, None),
    "ConfigurationDirectory": (257, _holds(":ro"), LOSES, None),
    "PrivateTmp": (0, _enabled, LOSES, _off),
    "PrivateDevices": (0, _enabled, LOSES, _off),
    "PrivateMounts": (0, _enabled, LOSES, _off),
    "PrivateIPC": (248, _enabled, LOSES, _off),
    "IPCNamespacePath": (248, _text, LOSES, ""),
    "PrivatePIDs": (257, _enabled, LOSES, _off),
    "PrivateBPF": (258, _enabled, LOSES, _off),
    "ProtectSystem": (0, _enabled, LOSES, _off),
    "ProtectHome": (0, _enabled, LOSES, _off),
    "ProtectProc": (247, _other_than("default", "noaccess", "invisible", "ptraceable"), LOSES, "default"),
    "ProcSubset": (247, _other_than("all", "pid"), LOSES, "all"),
    "ProtectKernelTunables": (0, _enabled, LOSES, _off),
    "ProtectKernelModules": (0, _enabled, LOSES, _off),
    "ProtectKernelLogs": (0, _enabled, LOSES, _off),
    "ProtectControlGroups": (0, _enabled, LOSES, _off),
    "ReadWritePaths": (0, _listed, LOSES, ""),
    "ReadOnlyPaths": (0, _listed, LOSES, ""),
    "InaccessiblePaths": (0, _listed, LOSES, ""),
    "ReadWriteDirectories": (0, _listed, LOSES, ""),
    "ReadOnlyDirectories": (0, _listed, LOSES, ""),
    "InaccessibleDirectories": (0, _listed, LOSES, ""),
    "ExecPaths": (248, _listed, LOSES, ""),
    "NoExecPaths": (248, _listed, LOSES, ""),
    "BindPaths": (0, _listed, LOSES, ""),
    "BindReadOnlyPaths": (0, _listed, LOSES, ""),
    "TemporaryFileSystem": (0, _listed, LOSES, ""),
    "MountImages": (247, _listed, LOSES, ""),
    "ExtensionImages": (248, _listed, LOSES, ""),
    "ExtensionDirectories": (251, _listed, LOSES, ""),
    "MountFlags": (0, _propagation, LOSES, ""),
    "MountAPIVFS": (0, _enabled, LOSES, _off),
    "BindLogSockets": (257, _enabled, LOSES, _off),
    "LogNamespace": (0, _text, LOSES, ""),
    "SELinuxContext": (0, _text, DOMAIN, None),
    "AppArmorProfile": (0, _text, DOMAIN, None),
    "SmackProcessLabel": (0, _text, DOMAIN, None),
}


def obstacles(unit: Unit) -> list[Obstacle]:
    """As sandbox.obstacles()."""
    found = []
    for key, settings in unit.service.items():
        if key in RULES:
            _, applies, reason, neutral = RULES[key]
            setting = applies(settings)
            if setting is not None:
                found.append(Obstacle(key, setting, reason, None if neutral is None else (key, neutral)))
    return found
