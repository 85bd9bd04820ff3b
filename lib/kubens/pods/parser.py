"""The parser of appc manifests: what is text becomes what `manifest` has types for, or a ManifestError."""

from __future__ import annotations

from kubens.pods.errors import ManifestError, PodError
from kubens.pods.escape import has_control, is_ac_name, target
from kubens.pods.jsonscan import Number
from kubens.pods.jsontext import DIGITS, Node, parse
from kubens.pods.manifest import (
    CPU,
    MEMORY,
    REMOVE_SET,
    RETAIN_SET,
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
    octal_mode,
)
from kubens.pods.quantity import ID_MAX, Quantity

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is imported here costs the boot nothing
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    class _HasName(Protocol):
        name: str

    _Named = TypeVar("_Named", bound=_HasName)

_THROUGHPUT = ("resource/block-bandwidth", "resource/block-iops", "resource/network-bandwidth")
_IDENTIFIER_INNER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._~/")
_IDENTIFIER_EDGE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_CAPABILITY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_VARIABLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


def parse_pod_manifest(text: str) -> PodManifest:
    """Parse a PodManifest; ManifestError for anything that the schema or safety does not allow."""
    return pod_manifest(parse(text))


def pod_manifest(node: Node) -> PodManifest:
    """parse_pod_manifest() of what is JSON already."""
    _check_kind(node, "PodManifest")
    return PodManifest(
        apps=_unique([_runtime_app(item) for item in node.items("apps")], node.path + ".apps"),
        volumes=_unique([_volume(item) for item in node.items("volumes")], node.path + ".volumes"),
        isolators=[_isolator(item) for item in node.items("isolators")],
        annotations=_annotations(node),
        ports=[_exposed_port(item) for item in node.items("ports")],
        acVersion=_version(node),
    )


def parse_image_manifest(text: str) -> ImageManifest:
    """Parse an ImageManifest; ManifestError as in parse_pod_manifest."""
    node = parse(text)
    _check_kind(node, "ImageManifest")
    app = node.get("app")
    return ImageManifest(
        name=_identifier(node.need("name")),
        app=_app(app) if app else None,
        labels=_labels(node),
        annotations=_annotations(node),
        acVersion=_version(node),
    )


def _check_kind(node: Node, kind: str) -> None:
    ac_kind = node.need("acKind")
    if ac_kind.string() != kind:
        raise ac_kind.refuse(f"must be {kind}")


def _version(node: Node) -> str:
    version = node.get("acVersion")
    if version is None:
        return ""
    text = version.string()
    numbers = text.partition("+")[0].partition("-")[0].split(".")
    if len(numbers) != 3 or not all(number and DIGITS.issuperset(number) for number in numbers):
        raise version.refuse("is no semantic version such as 0.7.4")
    if not any(number.strip("0") for number in numbers):
        raise version.refuse("must not be zero")
    return text


def _ac_name(parent: Node, member: str = "name") -> str:
    node = parent.need(member)
    name = node.string()
    if not is_ac_name(name):
        raise node.refuse(f"{name!r} is no name: lower-case letters, digits and inner dashes")
    return name


def _identifier(node: Node) -> str:
    name = node.string()
    edges = name[:1] + name[-1:]
    if not edges or not _IDENTIFIER_EDGE.issuperset(edges) or not _IDENTIFIER_INNER.issuperset(name):
        raise node.refuse(f"{name!r} is no identifier: lower-case letters, digits and inner -._~/")
    return name


def _unique(records: list[_Named], path: str) -> list[_Named]:
    """The records; refused where two have one name."""
    seen = set()
    for index, record in enumerate(records):
        if record.name in seen:
            raise ManifestError(f"{path}[{index}].name", f"{record.name!r} is there twice")
        seen.add(record.name)
    return records


def _labels(node: Node) -> list[NameValue]:
    items = node.items("labels")
    labels = [NameValue(_identifier(item.need("name")), item.need("value").string()) for item in items]
    return _unique(labels, node.path + ".labels")


def _annotations(node: Node) -> list[NameValue]:
    annotations = []
    for item in node.items("annotations"):
        value = item.need("value")
        annotation = NameValue(_identifier(item.need("name")), value.string())
        if annotation.name == "created" and not _is_date(annotation.value):
            raise value.refuse("is no date such as 2016-02-03T10:00:00Z")
        if annotation.name in ("homepage", "documentation") and not _is_url(annotation.value):
            raise value.refuse("is no http or https address")
        annotations.append(annotation)
    return _unique(annotations, node.path + ".annotations")


def _is_date(text: str) -> bool:
    shape = "".join("0" if char in DIGITS else char for char in text)
    zoned = shape.endswith("Z") or shape[-6:] in ("+00:00", "-00:00")
    return zoned and shape.startswith("0000-00-00T00:00:00")


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://")) and not has_control(text)


def _runtime_app(node: Node) -> RuntimeApp:
    app = node.get("app")
    return RuntimeApp(
        name=_ac_name(node),
        image=_runtime_image(node.need("image")),
        app=_app(app) if app else None,
        mounts=[Mount(_ac_name(item, "volume"), _mount_path(item)) for item in node.items("mounts")],
        annotations=_annotations(node),
        where=node.path,
    )


def _runtime_image(node: Node) -> RuntimeImage:
    id_node = node.need("id")
    id_text = id_node.string()
    kind, _, value = id_text.partition("-")
    if kind != "sha512" or not value or "-" in value or has_control(value):
        raise id_node.refuse("must be sha512- and a value")
    name = node.get("name")
    return RuntimeImage(id_text, _identifier(name) if name else "", _labels(node))


def _app(node: Node) -> App:
    directory = node.get("workingDirectory")
    return App(
        exec=_exec(node),
        user=_user(node, "user"),
        group=_user(node, "group"),
        supplementaryGIDs=[item.integer(0, ID_MAX) for item in node.items("supplementaryGIDs")],
        workingDirectory=_absolute(directory) if directory and directory.value != "" else "",
        environment=_environment(node),
        eventHandlers=_event_handlers(node),
        mountPoints=[_mount_point(item) for item in node.items("mountPoints")],
        ports=_unique([_port(item) for item in node.items("ports")], node.path + ".ports"),
        isolators=[_isolator(item) for item in node.items("isolators")],
        where=node.path,
    )


def _exec(node: Node) -> list[str]:
    items = node.items("exec")
    command = [item.string() for item in items]
    if command and (not command[0] or has_control(command[0])):
        raise items[0].refuse("is empty or has a control character; it names the program, and what it logs")
    return command


def _user(node: Node, member: str) -> str:
    user = node.need(member)
    if not user.string():
        raise user.refuse("is empty")
    return user.string()


def _absolute(node: Node) -> str:
    path = node.string()
    if not path.startswith("/"):
        raise node.refuse(f"{path!r} is not absolute")
    return path


def _environment(node: Node) -> list[NameValue]:
    environment = []
    for item in node.items("environment"):
        name = item.need("name")
        text = name.string()
        if not text or not _VARIABLE.issuperset(text) or text[0] in DIGITS:
            raise name.refuse(f"{text!r} is no name of a variable")
        environment.append(NameValue(text, item.need("value").string()))
    return _unique(environment, node.path + ".environment")


def _event_handlers(node: Node) -> list[EventHandler]:
    handlers = []
    for item in node.items("eventHandlers"):
        name = item.need("name")
        if name.string() not in ("pre-start", "post-stop"):
            raise name.refuse("must be pre-start or post-stop")
        command = _exec(item)
        if not command:
            raise ManifestError(item.path + ".exec", "is empty")
        handlers.append(EventHandler(name.string(), command))
    return _unique(handlers, node.path + ".eventHandlers")


def _mount_path(parent: Node) -> str:
    node = parent.need("path")
    path = node.string()
    _located(node, target, path)
    return path


def _mount_point(node: Node) -> MountPoint:
    read_only = node.get("readOnly")
    return MountPoint(_ac_name(node), _mount_path(node), read_only.boolean() if read_only else False)


def _port(node: Node) -> Port:
    count = node.get("count")
    activated = node.get("socketActivated")
    port = Port(
        name=_ac_name(node),
        protocol=node.need("protocol").string(),
        port=node.need("port").integer(1, 65535),
        count=(count.integer(0, 65535) if count else 0) or 1,
        socketActivated=activated.boolean() if activated else False,
    )
    if port.port + port.count > 65536:
        raise ManifestError(node.path + ".count", f"{port.count} ports from {port.port} on go beyond 65535")
    return port


def _exposed_port(node: Node) -> ExposedPort:
    return ExposedPort(_ac_name(node), node.need("hostPort").integer(1, 65535))


def _isolator(node: Node) -> Isolator:
    name = _identifier(node.need("name"))
    if name in (CPU, MEMORY) or name in _THROUGHPUT:
        return Isolator(name, _resource(node.need("value"), default=name in _THROUGHPUT))
    if name in (RETAIN_SET, REMOVE_SET):
        return Isolator(name, _capability_set(node.need("value")))
    return Isolator(name, None)


def _resource(node: Node, default: bool) -> Resource:
    """default: what the member of that name must be; isolators for which it is true cannot be requested."""
    given = node.get("default")
    if (given.boolean() if given else False) != default:
        raise ManifestError(node.path + ".default", f"must be {str(default).lower()} for this isolator")
    request = node.get("request")
    if request and default:
        raise request.refuse("cannot be requested, only limited")
    limit = node.get("limit")
    return Resource(_quantity(request) if request else None, _quantity(limit) if limit else None, default)


def _quantity(node: Node) -> Quantity:
    text = str(node.value) if isinstance(node.value, Number) else node.string()
    try:
        return Quantity(text)
    except PodError as error:
        raise node.refuse(str(error)) from None


def _capability_set(node: Node) -> CapabilitySet:
    names = []
    for item in node.items("set"):
        name = item.string()
        if not name.startswith("CAP_") or not _CAPABILITY.issuperset(name):
            raise item.refuse(f"{name!r} is no capability such as CAP_NET_ADMIN")
        names.append(name)
    if not names:
        raise ManifestError(node.path + ".set", "is empty")
    return CapabilitySet(names)


def _volume(node: Node) -> Volume:
    kind = node.need("kind")
    if kind.string() not in ("host", "empty"):
        raise kind.refuse('must be "host" or "empty"')
    read_only = node.get("readOnly")
    volume = Volume(_ac_name(node), kind.string(), readOnly=read_only.boolean() if read_only else None)
    if volume.kind == "host":
        volume.source = _source(node)
    else:
        _fill_empty(volume, node)
    return volume


def _source(node: Node) -> str:
    for member in ("mode", "uid", "gid"):
        extra = node.get(member)
        if extra:
            raise extra.refuse("is for volumes of kind empty; the source has its own")
    source = node.need("source")
    path = _absolute(source)
    _located(source, target, path)
    return path


def _fill_empty(volume: Volume, node: Node) -> None:
    source = node.get("source")
    if source and source.value != "":
        raise source.refuse("is for volumes of kind host")
    mode, uid, gid = node.get("mode"), node.get("uid"), node.get("gid")
    if mode:
        volume.mode = mode.string()
        _located(mode, octal_mode, volume.mode)
    volume.uid = uid.integer(0, ID_MAX) if uid else 0
    volume.gid = gid.integer(0, ID_MAX) if gid else 0


def _located(node: Node, check: Callable[[str], object], text: str) -> None:
    """Run a check that knows no path; its refusal gets the node's."""
    try:
        check(text)
    except PodError as error:
        raise node.refuse(str(error)) from None
