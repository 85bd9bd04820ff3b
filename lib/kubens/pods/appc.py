"""A PodManifest of appc as a pod of this host."""

from __future__ import annotations

from kubens.pods.errors import ManifestError
from kubens.pods.host import CAPABILITIES, HOST, HostApp, HostMount, HostPod, HostVolume, defaults, parse_id, percent
from kubens.pods.manifest import (
    CPU,
    MEMORY,
    REMOVE_SET,
    RETAIN_SET,
    App,
    CapabilitySet,
    Isolator,
    PodManifest,
    Resource,
    RuntimeApp,
    Volume,
    octal_mode,
)
from kubens.pods.mounts import Bind, pod_binds
from kubens.pods.parser import pod_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.pods.jsontext import Node

_HANDLERS = {"pre-start": "ExecStartPre", "post-stop": "ExecStopPost"}
_LISTEN = {"tcp": "ListenStream", "udp": "ListenDatagram"}
_LISTEN_MAX = 256


def read(node: Node, pod: HostPod) -> dict[str, str]:
    """Fill the pod from its manifest; its annotations. Raises ManifestError."""
    manifest = pod_manifest(node)
    if not manifest.apps:
        raise ManifestError("$.apps", "is empty")
    for ra in manifest.apps:
        if ra.app is None:
            raise ManifestError(ra.where + ".app", "is missing: images are not read at boot, so it must be said here")
    limits = HostApp("", "$")
    _isolators(pod, limits, manifest.isolators, "$")
    if limits.capabilities != CAPABILITIES:
        pod.warn("$.isolators", "capabilities are those of an app, not of a pod: not honoured")
    pod.cpu, pod.memory = limits.cpu, limits.memory
    host_ports = {port.name: port.hostPort for port in manifest.ports}
    for ra, binds in zip(manifest.apps, pod_binds(manifest.apps, manifest.volumes)):
        pod.apps.append(_app(pod, ra, binds, host_ports))
    _unused(pod, manifest)
    return {annotation.name: annotation.value for annotation in manifest.annotations}


def _unused(pod: HostPod, manifest: PodManifest) -> None:
    names = {port.name for ra in manifest.apps if ra.app for port in ra.app.ports}
    for index, port in enumerate(manifest.ports):
        if port.name not in names:
            pod.warn(f"$.ports[{index}]", f"no app has a port named {port.name!r}: not honoured")
    for index, volume in enumerate(manifest.volumes):
        if volume.name not in pod.volumes:
            pod.warn(f"$.volumes[{index}]", "no app mounts it")


def _app(pod: HostPod, ra: RuntimeApp, binds: list[Bind], host_ports: dict[str, int]) -> HostApp:
    assert ra.app is not None
    described, app = ra.app, HostApp(ra.name, ra.where)
    if not described.exec:
        raise ManifestError(described.where + ".exec", "is empty: write the program to run, and its arguments")
    app.exec = described.exec
    app.uid = parse_id(described.user, "user", described.where + ".user")
    app.gid = parse_id(described.group, "group", described.where + ".group")
    app.groups = described.supplementaryGIDs
    app.directory = described.workingDirectory or "/"
    app.environment = defaults(app.uid)
    app.environment.update((variable.name, variable.value) for variable in described.environment)
    app.environment["AC_APP_NAME"] = ra.name
    app.handlers = [(_HANDLERS[handler.name], handler.exec) for handler in described.eventHandlers]
    _ports(pod, app, described, host_ports)
    _isolators(pod, app, described.isolators, described.where)
    for bind in binds:
        if bind.implicit and bind.volume.name not in pod.volumes:
            reason = f"no volume is named so, it gets an empty one, {bind.volume.name}, that goes with the pod"
            pod.warn(bind.where, reason, "list one in volumes")
        app.mounts.append(HostMount(_volume(pod, bind.volume), bind.path, bind.read_only, bind.where))
    return app


def _volume(pod: HostPod, volume: Volume) -> HostVolume:
    made = pod.volumes.get(volume.name)
    if made is None:
        made = pod.volumes[volume.name] = HostVolume(volume.name, volume.kind, volume.source)
        if volume.kind != HOST:
            made.mode, made.uid, made.gid = octal_mode(volume.mode), volume.uid, volume.gid
    return made


def _ports(pod: HostPod, app: HostApp, described: App, host_ports: dict[str, int]) -> None:
    for index, port in enumerate(described.ports):
        where = f"{described.where}.ports[{index}]"
        first = host_ports.get(port.name, port.port)
        if not port.socketActivated:
            if first != port.port:
                reason = f"host port {first} is not honoured: the app has the host's network, and port {port.port}"
                pod.warn(where, reason)
            continue
        if port.protocol not in _LISTEN:
            raise ManifestError(f"{where}.protocol", f"{port.protocol!r} is neither tcp nor udp")
        if first + port.count > 65536 or len(app.listen) + port.count > _LISTEN_MAX:
            reason = f"{port.count} ports from {first} on are more than can be listened on"
            raise ManifestError(f"{where}.count", reason)
        app.listen += [(_LISTEN[port.protocol], number) for number in range(first, first + port.count)]


def _isolators(pod: HostPod, app: HostApp, isolators: list[Isolator], where: str) -> None:
    kept: tuple[str, ...] | None = None
    removed: list[str] = []
    for index, isolator in enumerate(isolators):
        place = f"{where}.isolators[{index}]"
        value = isolator.value
        if isinstance(value, CapabilitySet):
            if isolator.name == RETAIN_SET:
                kept = tuple(value.set)
            elif isolator.name == REMOVE_SET:
                removed += value.set
        elif isinstance(value, Resource) and isolator.name in (CPU, MEMORY):
            if value.request is not None:
                pod.warn(f"{place}.value.request", "is not honoured: only a scheduler has use for it")
            if value.limit is not None:
                _limit(app, isolator.name, value.limit.milli, f"{place}.value.limit")
        else:
            pod.warn(place, f"{isolator.name} is not honoured")
    if kept is not None or removed:
        app.capabilities = tuple(name for name in kept or CAPABILITIES if name not in removed)


def _limit(app: HostApp, name: str, milli: int, where: str) -> None:
    if name == CPU:
        app.cpu = percent(milli, where)
    elif milli == 0:
        raise ManifestError(where, "systemd takes no limit of zero bytes and would set none")
    else:
        app.memory = -(-milli // 1000)
