"""Where things are in a pod: paths and unit names. Lexical; nothing here touches a file.

root is the pod's directory. App names are checked, so that no path leaves it.
"""

from __future__ import annotations

from kubens.pods.errors import PodError
from kubens.pods.escape import is_ac_name, join, path_escape

FLAVOR_FILE = "flavor"
"""Name of the link that tells a pod's flavor."""

UNITS_DIR = "/usr/lib/systemd/system"
"""Where the units are, seen from the stage1 root file system."""

DEFAULT_WANTS_DIR = UNITS_DIR + "/default.target.wants"
SOCKETS_WANTS_DIR = UNITS_DIR + "/sockets.target.wants"
ENV_DIR = "/rkt/env"
STATUS_DIR = "/rkt/status"
STAGE1_MNT_DIR = "/mnt"
"""Where volumes are staged in pods of flavor kvm, seen from the stage1 root file system."""

SHARED_VOLUMES_DIR = "sharedVolumes"


def stage1_rootfs_path(root: str) -> str:
    """The root file system that the pod's own systemd runs in."""
    return join(root, "stage1/rootfs")


def rel_app_rootfs_path(app_name: str) -> str:
    """The app's root file system, seen from stage1's."""
    return join("/opt/stage2", _checked(app_name), "rootfs")


def service_unit_name(app_name: str) -> str:
    return _checked(app_name) + ".service"


def service_unit_path(root: str, app_name: str) -> str:
    return join(stage1_rootfs_path(root), UNITS_DIR, service_unit_name(app_name))


def service_want_path(root: str, app_name: str) -> str:
    return join(stage1_rootfs_path(root), DEFAULT_WANTS_DIR, service_unit_name(app_name))


def socket_unit_name(app_name: str) -> str:
    return _checked(app_name) + ".socket"


def socket_unit_path(root: str, app_name: str) -> str:
    return join(stage1_rootfs_path(root), UNITS_DIR, socket_unit_name(app_name))


def socket_want_path(root: str, app_name: str) -> str:
    return join(stage1_rootfs_path(root), SOCKETS_WANTS_DIR, socket_unit_name(app_name))


def rel_env_file_path(app_name: str) -> str:
    """The app's environment file, seen from the stage1 root file system."""
    return join(ENV_DIR, _checked(app_name))


def env_file_path(root: str, app_name: str) -> str:
    return join(stage1_rootfs_path(root), rel_env_file_path(app_name))


def instantiated_prepare_app_unit_name(app_name: str) -> str:
    return f"prepare-app@{path_escape(rel_app_rootfs_path(app_name))}.service"


def _checked(app_name: str) -> str:
    if not is_ac_name(app_name):
        raise PodError(f"{app_name!r} is no app name: lower-case letters, digits and inner dashes")
    return app_name
