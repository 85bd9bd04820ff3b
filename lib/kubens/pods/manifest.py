"""appc manifests, schema 0.7.4: typed objects and the parser.

Objects and their members have the names that they have in the JSON: what an error's path names is found under
the same name in Python. They can be built by hand as well; what turns them into units checks what it needs.
"""

from __future__ import annotations

from kubens.pods.errors import ManifestError, PodError
from kubens.pods.escape import has_control, is_ac_name, target
from kubens.pods.jsontext import DIGITS, Node, Number, parse
from kubens.pods.quantity import Quantity

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is imported here costs the boot nothing
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    class _HasName(Protocol):
        name: str

    _Named = TypeVar("_Named", bound=_HasName)

ID_MAX = 2**32 - 2
"""Largest user or group id; the next one means «none» to the kernel."""

CPU = "resource/cpu"
MEMORY = "resource/memory"
RETAIN_SET = "os/linux/capabilities-retain-set"
REMOVE_SET = "os/linux/capabilities-remove-set"

_THROUGHPUT = ("resource/block-bandwidth", "resource/block-iops", "resource/network-bandwidth")
_IDENTIFIER_INNER = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._~/")
_IDENTIFIER_EDGE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_CAPABILITY = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_VARIABLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_OCTAL = frozenset("01234567")


class Record:
    """Members are the slots; records of one class with equal members are equal. where is not compared."""

    __slots__: tuple[str, ...] = ()

    def _members(self) -> list[object]:
        return [getattr(self, name) for name in self.__slots__ if name != "where"]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Record) and self._members() == other._members()

    __hash__ = None  # type: ignore[assignment]  # members can be lists

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._members()))})"


class NameValue(Record):
    """An annotation, a label or a variable of the environment."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value


class EventHandler(Record):
    """A command run at an event: `pre-start` or `post-stop`."""

    __slots__ = ("exec", "name")

    def __init__(self, name: str, exec: list[str]) -> None:
        self.name = name
        self.exec = exec


class MountPoint(Record):
    """A path of an app that wants a volume."""

    __slots__ = ("name", "path", "readOnly")

    def __init__(self, name: str, path: str, readOnly: bool = False) -> None:
        self.name = name
        self.path = path
        self.readOnly = readOnly


class Mount(Record):
    """A volume, by its name, at a path of an app."""

    __slots__ = ("path", "volume")

    def __init__(self, volume: str, path: str) -> None:
        self.volume = volume
        self.path = path


class Volume(Record):
    """Storage of a pod. readOnly: None where the manifest is silent. mode, uid, gid: for kind `empty`."""

    __slots__ = ("gid", "kind", "mode", "name", "readOnly", "source", "uid")

    def __init__(
        self,
        name: str,
        kind: str,
        source: str = "",
        readOnly: bool | None = None,
        mode: str = "0755",
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        self.name = name
        self.kind = kind
        self.source = source
        self.readOnly = readOnly
        self.mode = mode
        self.uid = uid
        self.gid = gid


class Port(Record):
    """A port that an app listens on."""

    __slots__ = ("count", "name", "port", "protocol", "socketActivated")

    def __init__(self, name: str, protocol: str, port: int, count: int = 1, socketActivated: bool = False) -> None:
        self.name = name
        self.protocol = protocol
        self.port = port
        self.count = count
        self.socketActivated = socketActivated


class ExposedPort(Record):
    """A port of the host for an app's port of that name."""

    __slots__ = ("hostPort", "name")

    def __init__(self, name: str, hostPort: int) -> None:
        self.name = name
        self.hostPort = hostPort


class Resource(Record):
    """The value of a resource isolator."""

    __slots__ = ("default", "limit", "request")

    def __init__(self, request: Quantity | None = None, limit: Quantity | None = None, default: bool = False) -> None:
        self.request = request
        self.limit = limit
        self.default = default


class CapabilitySet(Record):
    """The value of a capability isolator."""

    __slots__ = ("set",)

    def __init__(self, set: list[str]) -> None:
        self.set = set


class Isolator(Record):
    """A limit; value is None where the name is none that this schema knows."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Resource | CapabilitySet | None) -> None:
        self.name = name
        self.value = value


class App(Record):
    """What to run and what it needs. where: this object's JSON path in its manifest, for messages."""

    __slots__ = (
        "environment",
        "eventHandlers",
        "exec",
        "group",
        "isolators",
        "mountPoints",
        "ports",
        "supplementaryGIDs",
        "user",
        "where",
        "workingDirectory",
    )

    def __init__(
        self,
        exec: list[str],
        user: str,
        group: str,
        supplementaryGIDs: list[int] | None = None,
        workingDirectory: str = "",
        environment: list[NameValue] | None = None,
        eventHandlers: list[EventHandler] | None = None,
        mountPoints: list[MountPoint] | None = None,
        ports: list[Port] | None = None,
        isolators: list[Isolator] | None = None,
        where: str = "$.app",
    ) -> None:
        self.exec = exec
        self.user = user
        self.group = group
        self.supplementaryGIDs = supplementaryGIDs or []
        self.workingDirectory = workingDirectory
        self.environment = environment or []
        self.eventHandlers = eventHandlers or []
        self.mountPoints = mountPoints or []
        self.ports = ports or []
        self.isolators = isolators or []
        self.where = where


class RuntimeImage(Record):
    """The image of an app: an id `sha512-…`, and its name and labels where the manifest gives them."""

    __slots__ = ("id", "labels", "name")

    def __init__(self, id: str, name: str = "", labels: list[NameValue] | None = None) -> None:
        self.id = id
        self.name = name
        self.labels = labels or []


class RuntimeApp(Record):
    """An app of a pod. app is None where the image's own is to be used. where: as for App."""

    __slots__ = ("annotations", "app", "image", "mounts", "name", "where")

    def __init__(
        self,
        name: str,
        image: RuntimeImage,
        app: App | None = None,
        mounts: list[Mount] | None = None,
        annotations: list[NameValue] | None = None,
        where: str = "$",
    ) -> None:
        self.name = name
        self.image = image
        self.app = app
        self.mounts = mounts or []
        self.annotations = annotations or []
        self.where = where


class PodManifest(Record):
    """What stage0 made of the images and the command line: the whole pod."""

    __slots__ = ("acVersion", "annotations", "apps", "isolators", "ports", "volumes")

    def __init__(
        self,
        apps: list[RuntimeApp],
        volumes: list[Volume] | None = None,
        isolators: list[Isolator] | None = None,
        annotations: list[NameValue] | None = None,
        ports: list[ExposedPort] | None = None,
        acVersion: str = "",
    ) -> None:
        self.apps = apps
        self.volumes = volumes or []
        self.isolators = isolators or []
        self.annotations = annotations or []
        self.ports = ports or []
        self.acVersion = acVersion


class ImageManifest(Record):
    """What an image says of itself."""

    __slots__ = ("acVersion", "annotations", "app", "labels", "name")

    def __init__(
        self,
        name: str,
        app: App | None = None,
        labels: list[NameValue] | None = None,
        annotations: list[NameValue] | None = None,
        acVersion: str = "",
    ) -> None:
        self.name = name
        self.app = app
        self.labels = labels or []
        self.annotations = annotations or []
        self.acVersion = acVersion


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


def octal_mode(mode: str) -> int:
    """The value of a volume's mode; PodError unless it is octal and at most 7777."""
    if not mode or not _OCTAL.issuperset(mode) or len(mode.lstrip("0")) > 4:
        raise PodError(f'{mode!r} is no octal mode such as "0755"')
    return int(mode, 8)


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
