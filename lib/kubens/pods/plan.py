"""From a pod to units, links, directories and arguments: the pure core.

Nothing here reads or writes. Paths in plans are relative to the stage1 root file system, those of plan_nspawn
to the pod's directory.
"""

from __future__ import annotations

from kubens.pods.errors import ManifestError, PodError
from kubens.pods.escape import (
    base,
    bind_field,
    has_control,
    is_ac_name,
    is_utf8,
    join,
    path_escape,
    quote_exec,
    specifiers,
    word,
)
from kubens.pods.layout import (
    DEFAULT_WANTS_DIR,
    SHARED_VOLUMES_DIR,
    SOCKETS_WANTS_DIR,
    STAGE1_MNT_DIR,
    UNITS_DIR,
    instantiated_prepare_app_unit_name,
    rel_app_rootfs_path,
    rel_env_file_path,
    service_unit_name,
    socket_unit_name,
    stage1_rootfs_path,
)
from kubens.pods.manifest import (
    CPU,
    MEMORY,
    RETAIN_SET,
    App,
    CapabilitySet,
    Port,
    Resource,
    RuntimeApp,
    Volume,
    octal_mode,
)
from kubens.pods.mounts import Bind, complete_app
from kubens.pods.ondisk import Directory, File, Plan
from kubens.pods.pod import Pod, get_machine_id
from kubens.pods.quantity import ID_MAX, MAX
from kubens.pods.units import Unit

DEFAULT_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "SHELL": "/bin/sh",
    "USER": "root",
    "LOGNAME": "root",
    "HOME": "/root",
}

TAG_MAX = 30
"""Longest tag of a 9p share in bytes."""

_HANDLER_KEYS = {"pre-start": "ExecStartPre", "post-stop": "ExecStopPost"}
_LISTEN_KEYS = {"tcp": "ListenStream", "udp": "ListenDatagram"}


def default_target(app_names: list[str]) -> Unit:
    """The unit that starts all apps."""
    unit = Unit("default.target")
    unit.add("Unit", "Description", "rkt apps target")
    unit.add("Unit", "DefaultDependencies", "false")
    for name in app_names:
        unit.add("Unit", "After", service_unit_name(name))
        unit.add("Unit", "Wants", service_unit_name(name))
    return unit


def prepare_app_template() -> Unit:
    """The template that makes /dev, /proc and the like in an app's root file system."""
    unit = Unit("prepare-app@.service")
    unit.add("Unit", "Description", "Prepare minimum environment for chrooted applications")
    unit.add("Unit", "DefaultDependencies", "false")
    unit.add("Unit", "OnFailureJobMode", "fail")
    unit.add("Unit", "Requires", "systemd-journald.service")
    unit.add("Unit", "After", "systemd-journald.service")
    unit.add("Service", "Type", "oneshot")
    unit.add("Service", "Restart", "no")
    unit.add("Service", "ExecStart", "/prepare-app %I")
    unit.add("Service", "User", "0")
    unit.add("Service", "Group", "0")
    unit.add("Service", "CapabilityBoundingSet", "CAP_SYS_ADMIN CAP_DAC_OVERRIDE")
    return unit


def plan_app(pod: Pod, ra: RuntimeApp, interactive: bool, private_users: str) -> Plan:
    """The app's service, its socket where a port is activated, its reaper and its environment file."""
    app = complete_app(ra)
    _check_app_name(ra)
    image_name = pod.images[ra.name].name
    if not app.exec:
        reason = f'image "{image_name}" has an empty "exec" (try --exec=BINARY)'
        raise ManifestError(app.where + ".exec", reason)
    plan = Plan()
    plan.files.append(_environment_file(ra, app, pod.metadata_service_url, private_users))
    activated = [(index, port) for index, port in enumerate(app.ports) if port.socketActivated]
    description = f"Application={ra.name} Image={image_name}"
    if activated:
        plan.add_unit(_socket(ra, app, activated, description), UNITS_DIR)
        plan.add_want(socket_unit_name(ra.name), SOCKETS_WANTS_DIR)
    plan.add_unit(_service(ra, app, description, interactive, bool(activated)), UNITS_DIR)
    plan.add_want(service_unit_name(ra.name), DEFAULT_WANTS_DIR)
    plan.add_unit(_reaper(ra.name), UNITS_DIR)
    return plan


def plan_host_mounts(volumes: list[Volume], app_names: list[str], units_dir: str) -> Plan:
    """For flavor kvm: a mount unit for each share of the host, required by every app."""
    plan = Plan()
    services = [service_unit_name(name) for name in app_names]
    for volume in volumes:
        if volume.kind != "host":
            continue
        where = _staged(volume)
        plan.directories.append(Directory(where, 0o700))
        unit = _mount_unit(_tag(volume), where, "9p", "trans=virtio", " ".join(services))
        plan.add_unit(unit, units_dir)
        for service in services:
            plan.add_requirement(unit.name, service, units_dir)
    return plan


def plan_app_mounts(app_name: str, binds: list[Bind], units_dir: str) -> Plan:
    """For flavor kvm: a mount unit for each of the app's binds, and one that makes it read-only."""
    plan = Plan()
    service = service_unit_name(app_name)
    for bind in binds:
        what = _staged(bind.volume)
        if bind.volume.kind == "empty":
            plan.directories.append(_empty_directory(bind.volume, what, 0o700))
        where = join(rel_app_rootfs_path(app_name), bind.path)
        plan.directories.append(Directory(where, 0o700))
        units = [_mount_unit(what, where, "bind", "bind", service)]
        if bind.read_only:
            units.append(_remount_unit(where, units[0].name, service))
        for unit in units:
            plan.add_unit(unit, units_dir)
            plan.add_requirement(unit.name, service, units_dir)
    return plan


def plan_nspawn(pod: Pod, binds_of_apps: list[list[Bind]], absolute_root: str) -> tuple[Plan, list[str]]:
    """What systemd-nspawn(1) needs on disk, and its arguments."""
    plan = Plan()
    plan.directories.append(Directory(SHARED_VOLUMES_DIR, 0o755, mode=0o755))
    arguments = [
        "--uuid=" + pod.uuid,
        "--machine=" + get_machine_id(pod),
        "--directory=" + stage1_rootfs_path(pod.root),
    ]
    for ra, binds in zip(pod.manifest.apps, binds_of_apps):
        for bind in binds:
            source = bind.volume.source
            if bind.volume.kind != "host":
                shared = f"{SHARED_VOLUMES_DIR}/{_volume_name(bind.volume)}"
                plan.directories.append(_empty_directory(bind.volume, shared, 0o755))
                source = join(absolute_root, shared)
            option = "--bind-ro=" if bind.read_only else "--bind="
            destination = join(rel_app_rootfs_path(ra.name), bind.path)
            arguments.append(f"{option}{bind_field(source)}:{bind_field(destination)}")
        for isolator in complete_app(ra).isolators:
            if isolator.name == RETAIN_SET and isinstance(isolator.value, CapabilitySet):
                arguments.append("--capability=" + ",".join(isolator.value.set))
    return plan, arguments


def volumes_to_kvm_disk_args(volumes: list[Volume]) -> list[str]:
    """lkvm's arguments that share the volumes of kind host. PodError for a source that lkvm cannot name."""
    arguments = []
    for volume in volumes:
        if volume.kind != "host":
            continue
        if "," in volume.source:
            raise PodError(f"source {volume.source!r} of volume {volume.name!r} has a comma, which ends it")
        arguments.append(f"--9p={volume.source},{_tag(volume)}")
    return arguments


def parse_private_users(text: str) -> tuple[int, int] | None:
    """The `shift:count` of user namespaces, None for the empty text: there is none."""
    if not text:
        return None
    numbers = text.split(":")
    if len(numbers) != 2 or not all(_is_number(number, 2**32 - 1) for number in numbers):
        raise PodError(f"unable to read the range of private users {text!r}: it must be SHIFT:COUNT")
    return int(numbers[0]), int(numbers[1])


def _check_app_name(ra: RuntimeApp) -> None:
    if ra.name == "shutdown" or ra.name.startswith("systemd-"):
        raise ManifestError(ra.where + ".name", f"{ra.name}.service is stage1's own unit; rename the app")


def _environment_file(ra: RuntimeApp, app: App, metadata_service_url: str, private_users: str) -> File:
    environment = {variable.name: variable.value for variable in app.environment}
    environment["AC_APP_NAME"] = ra.name
    if metadata_service_url:
        environment["AC_METADATA_URL"] = metadata_service_url
    entries = {name: value for name, value in DEFAULT_ENVIRONMENT.items() if name not in environment}
    entries.update(environment)
    text = ""
    for name, value in entries.items():
        if "\0" in name + value or "=" in name or not is_utf8(name + value):
            raise ManifestError(app.where + ".environment", f"variable {name!r} cannot be written")
        text += f"{name}={value}\0"
    users = parse_private_users(private_users)
    owner = (users[0], users[0]) if users and all(users) else None
    return File(rel_env_file_path(ra.name), text.encode(), owner)


def _service(ra: RuntimeApp, app: App, description: str, interactive: bool, activated: bool) -> Unit:
    wrapper = _wrapper(ra, app)
    unit = Unit(service_unit_name(ra.name))
    unit.add("Unit", "Description", specifiers(description))
    unit.add("Unit", "DefaultDependencies", "false")
    unit.add("Unit", "Wants", _reaper_name(ra.name))
    unit.add("Service", "Restart", "no")
    unit.add("Service", "ExecStart", quote_exec(wrapper + app.exec))
    unit.add("Service", "User", "0")
    unit.add("Service", "Group", "0")
    if interactive:
        for key in ("StandardInput", "StandardOutput", "StandardError"):
            unit.add("Service", key, "tty")
    else:
        for key in ("StandardOutput", "StandardError"):
            unit.add("Service", key, "journal+console")
        unit.add("Service", "SyslogIdentifier", _identifier(app))
    unit.add("Unit", "OnFailure", "halt.target")
    for index, handler in enumerate(app.eventHandlers):
        if handler.name not in _HANDLER_KEYS:
            raise ManifestError(f"{app.where}.eventHandlers[{index}].name", f"unknown event {handler.name!r}")
        unit.add("Service", _HANDLER_KEYS[handler.name], quote_exec(wrapper + handler.exec))
    unit.add("Service", "TimeoutStartSec", "0")
    _add_limits(unit, app)
    if activated:
        unit.add("Unit", "Requires", socket_unit_name(ra.name))
    for key in ("Requires", "After"):
        unit.add("Unit", key, instantiated_prepare_app_unit_name(ra.name))
    return unit


def _wrapper(ra: RuntimeApp, app: App) -> list[str]:
    """The command that enters the app's root file system as its user; what it runs is to follow."""
    uid = _numeric_id(app.user, "user", app.where + ".user")
    gid = _numeric_id(app.group, "group", app.where + ".group")
    gids = ",".join([gid, *map(str, app.supplementaryGIDs)])
    directory = app.workingDirectory or "/"
    return ["/appexec", rel_app_rootfs_path(ra.name), directory, rel_env_file_path(ra.name), uid, gids]


def _numeric_id(text: str, kind: str, where: str) -> str:
    if text == "root":
        return "0"
    if not _is_number(text, ID_MAX):
        raise ManifestError(where, f"non-numerical {kind} id not supported yet: {text!r}")
    return str(int(text))


def _is_number(text: str, high: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= high


def _identifier(app: App) -> str:
    name = base(app.exec[0])
    if not name or has_control(name) or name.endswith(("\\", " ")) or name.startswith(" "):
        raise ManifestError(app.where + ".exec[0]", f"{name!r} cannot name the program in the log")
    return specifiers(name)


def _add_limits(unit: Unit, app: App) -> None:
    for index, isolator in enumerate(app.isolators):
        if not isinstance(isolator.value, Resource) or isolator.value.limit is None:
            continue
        limit = isolator.value.limit
        where = f"{app.where}.isolators[{index}].value.limit"
        if isolator.name == CPU:
            if limit.milli > MAX // 1000 * 1000:
                raise ManifestError(where, f"{limit.text} is more cores than can be counted")
            if limit.milli < 10:
                raise ManifestError(where, f"{limit.text} is below 10m, the least that systemd can enforce")
            unit.add("Service", "CPUQuota", f"{limit.milli // 10}%")
        elif isolator.name == MEMORY:
            if limit.value == 0:
                raise ManifestError(where, "systemd takes no limit of zero bytes and would set none")
            unit.add("Service", "MemoryLimit", str(limit.value))


def _socket(ra: RuntimeApp, app: App, activated: list[tuple[int, Port]], description: str) -> Unit:
    unit = Unit(socket_unit_name(ra.name))
    unit.add("Unit", "Description", specifiers(description) + " socket-activated ports")
    unit.add("Unit", "DefaultDependencies", "false")
    unit.add("Socket", "BindIPv6Only", "both")
    unit.add("Socket", "Service", service_unit_name(ra.name))
    for index, port in activated:
        if port.protocol not in _LISTEN_KEYS:
            where = f"{app.where}.ports[{index}].protocol"
            raise ManifestError(where, f"{port.protocol!r} is not tcp or udp")
        unit.add("Socket", _LISTEN_KEYS[port.protocol], str(port.port))
    return unit


def _reaper_name(app_name: str) -> str:
    return f"reaper-{app_name}.service"


def _reaper(app_name: str) -> Unit:
    """Stores the app's exit status when the app stops, and keeps the pod up until then."""
    unit = Unit(_reaper_name(app_name))
    unit.add("Unit", "Description", f"{app_name} Reaper")
    unit.add("Unit", "DefaultDependencies", "false")
    unit.add("Unit", "StopWhenUnneeded", "yes")
    unit.add("Unit", "Wants", "shutdown.service")
    unit.add("Unit", "After", "shutdown.service")
    for target in ("exit.target", "halt.target", "poweroff.target"):
        unit.add("Unit", "Conflicts", target)
    unit.add("Service", "RemainAfterExit", "yes")
    unit.add("Service", "ExecStop", f"/reaper.sh {app_name}")
    return unit


def _mount_unit(what: str, where: str, kind: str, options: str, services: str) -> Unit:
    unit = Unit(path_escape(where + ".mount"))
    unit.add("Unit", "Description", specifiers(f"Mount unit for {where}"))
    unit.add("Unit", "DefaultDependencies", "false")
    unit.add("Unit", "Before", services)
    unit.add("Mount", "What", what)
    unit.add("Mount", "Where", specifiers(where))
    unit.add("Mount", "Type", kind)
    unit.add("Mount", "Options", options)
    unit.add("Install", "RequiredBy", services)
    return unit


def _remount_unit(where: str, mount_unit: str, service: str) -> Unit:
    """Makes a bind read-only before the app sees it: only what is oneshot has finished when others go on."""
    unit = Unit(path_escape(where + "-remount.service"))
    unit.add("Unit", "Description", specifiers(f"Remount read-only unit for {where}"))
    unit.add("Unit", "DefaultDependencies", "false")
    unit.add("Unit", "After", mount_unit)
    unit.add("Unit", "Wants", mount_unit)
    unit.add("Unit", "Before", service)
    unit.add("Service", "Type", "oneshot")
    unit.add("Service", "ExecStart", "/usr/bin/mount -o remount,bind,ro " + word(where))
    unit.add("Install", "RequiredBy", mount_unit)
    return unit


def _volume_name(volume: Volume) -> str:
    if not is_ac_name(volume.name):
        raise PodError(f"{volume.name!r} is no name of a volume: lower-case letters, digits and inner dashes")
    if volume.kind not in ("host", "empty"):
        raise PodError(f'volume {volume.name!r} is of kind {volume.kind!r}; it must be "host" or "empty"')
    return volume.name


def _tag(volume: Volume) -> str:
    name = _volume_name(volume)
    if len(name) > TAG_MAX:
        raise PodError(f"volume name {name!r} is too long for a 9p tag; {TAG_MAX} characters are allowed")
    return name


def _staged(volume: Volume) -> str:
    return join(STAGE1_MNT_DIR, _volume_name(volume))


def _empty_directory(volume: Volume, path: str, make_mode: int) -> Directory:
    try:
        mode = octal_mode(volume.mode)
    except PodError as error:
        raise PodError(f"volume {volume.name!r}: {error}") from None
    return Directory(path, make_mode, mode, (volume.uid, volume.gid))
