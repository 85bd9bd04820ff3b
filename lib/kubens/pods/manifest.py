"""appc manifests, schema 0.7.4, as typed objects.

Objects and their members have the names that they have in the JSON: what an error's path names is found under
the same name in Python. `parser` makes them. They can be built by hand as well; what turns them into units checks
what it needs.
"""

from __future__ import annotations

from kubens.pods.errors import PodError

TYPE_CHECKING = False
if TYPE_CHECKING:  # what is imported here costs the boot nothing
    from kubens.pods.quantity import Quantity

CPU = "resource/cpu"
MEMORY = "resource/memory"
RETAIN_SET = "os/linux/capabilities-retain-set"
REMOVE_SET = "os/linux/capabilities-remove-set"

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


def octal_mode(mode: str) -> int:
    """The value of a volume's mode; PodError unless it is octal and at most 7777."""
    if not mode or not _OCTAL.issuperset(mode) or len(mode.lstrip("0")) > 4:
        raise PodError(f'{mode!r} is no octal mode such as "0755"')
    return int(mode, 8)
