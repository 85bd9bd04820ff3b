"""What keeps a service from entering a mount namespace, or loses its own there.

systemd.exec(5) names the settings; which of them give a service a mount namespace of its own is decided by
exec_needs_mount_namespace() in src/core/exec-invoke.c, which nsenter(1) would leave again, or could not leave.
What each of them means is in sandbox_rules, which is loaded when a unit has one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.sandbox_rules import Obstacle
    from kubens.units import Unit

LOSES = "gives the service a mount namespace of its own, which entering another one drops"
BARS = "keeps the service from entering a mount namespace"
DOMAIN = "sets a security domain, which the program put in front would take instead"

# Give a mount namespace only since 257, and only where PrivateMounts= says nothing: the drop-in then says no.
NETWORK = frozenset(("NetworkNamespacePath", "PrivateNetwork"))

_KEYS = frozenset(
    ("User", "DynamicUser", "PrivateUsers", "CapabilityBoundingSet", "RestrictNamespaces", "SystemCallFilter",
     "SecureBits", "UserNamespacePath", "DelegateNamespaces", "RootDirectory", "RootImage", "RootMStack",
     "RuntimeDirectory", "StateDirectory", "CacheDirectory", "LogsDirectory", "ConfigurationDirectory", "PrivateTmp",
     "PrivateDevices", "PrivateMounts", "PrivateIPC", "IPCNamespacePath", "PrivatePIDs", "PrivateBPF", "ProtectSystem",
     "ProtectHome", "ProtectProc", "ProcSubset", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs",
     "ProtectControlGroups", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ReadWriteDirectories",
     "ReadOnlyDirectories", "InaccessibleDirectories", "ExecPaths", "NoExecPaths", "BindPaths", "BindReadOnlyPaths",
     "TemporaryFileSystem", "MountImages", "ExtensionImages", "ExtensionDirectories", "MountFlags", "MountAPIVFS",
     "BindLogSockets", "LogNamespace", "SELinuxContext", "AppArmorProfile", "SmackProcessLabel")
)  # fmt: skip
KEYS = _KEYS.union(NETWORK)


def obstacles(unit: Unit) -> list[Obstacle]:
    """Every setting that forbids wrapping the unit, in the order in which the unit has them."""
    if _KEYS.isdisjoint(unit.service):
        return []
    from kubens import sandbox_rules

    return sandbox_rules.obstacles(unit)


def wants_private_mounts_off(unit: Unit) -> bool:
    """Whether the unit gets a mount namespace from 257 on for nothing but its network namespace."""
    return not NETWORK.isdisjoint(unit.service) and any(map(unit.last, NETWORK))
