"""The index: everything that kubens.pods offers."""

from kubens.pods.errors import ManifestError, PodError
from kubens.pods.escape import quote_exec
from kubens.pods.journal import set_journal_permissions
from kubens.pods.layout import (
    FLAVOR_FILE,
    UNITS_DIR,
    env_file_path,
    instantiated_prepare_app_unit_name,
    rel_env_file_path,
    service_unit_name,
    service_unit_path,
    service_want_path,
    socket_unit_name,
    socket_unit_path,
    socket_want_path,
)
from kubens.pods.log import init_debug
from kubens.pods.manifest import (
    App,
    CapabilitySet,
    EventHandler,
    ExposedPort,
    ImageManifest,
    Isolator,
    Mount,
    MountPoint,
    NameValue,
    PodManifest,
    Port,
    Resource,
    RuntimeApp,
    RuntimeImage,
    Volume,
)
from kubens.pods.mounts import is_mount_read_only
from kubens.pods.parser import parse_image_manifest, parse_pod_manifest
from kubens.pods.plan import volumes_to_kvm_disk_args
from kubens.pods.pod import Pod, get_app_hashes, get_flavor, get_machine_id, load_pod
from kubens.pods.quantity import Quantity
from kubens.pods.stage1 import (
    app_to_systemd_mount_units,
    generate_mounts,
    pod_to_nspawn_args,
    pod_to_systemd,
    pod_to_systemd_host_mount_units,
    write_default_target,
    write_prepare_app_template,
)

__all__ = [
    "FLAVOR_FILE",
    "UNITS_DIR",
    "App",
    "CapabilitySet",
    "EventHandler",
    "ExposedPort",
    "ImageManifest",
    "Isolator",
    "ManifestError",
    "Mount",
    "MountPoint",
    "NameValue",
    "Pod",
    "PodError",
    "PodManifest",
    "Port",
    "Quantity",
    "Resource",
    "RuntimeApp",
    "RuntimeImage",
    "Volume",
    "app_to_systemd_mount_units",
    "env_file_path",
    "generate_mounts",
    "get_app_hashes",
    "get_flavor",
    "get_machine_id",
    "init_debug",
    "instantiated_prepare_app_unit_name",
    "is_mount_read_only",
    "load_pod",
    "parse_image_manifest",
    "parse_pod_manifest",
    "pod_to_nspawn_args",
    "pod_to_systemd",
    "pod_to_systemd_host_mount_units",
    "quote_exec",
    "rel_env_file_path",
    "service_unit_name",
    "service_unit_path",
    "service_want_path",
    "set_journal_permissions",
    "socket_unit_name",
    "socket_unit_path",
    "socket_want_path",
    "volumes_to_kvm_disk_args",
    "write_default_target",
    "write_prepare_app_template",
]
