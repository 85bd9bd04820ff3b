"""A pod as this host is to run it, whatever form its manifest has: what is read, before it becomes units.

Numbers and names have been checked; texts are as the manifest has them, for hostunits to escape.
"""

from __future__ import annotations

from kubens import syntax
from kubens.finding import ERROR, NOTICE, WARNING, Finding
from kubens.pods.errors import ManifestError, PodError
from kubens.pods.escape import is_ac_name, is_noncharacter

# Where the trees of apps are, POD/APP/rootfs, and what lives as long as the pod.
DIRECTORY = "/var/lib/kubens/pods"
VOLUMES = ".volumes"

# What a container runtime leaves to root, and to whom a manifest gives no more.
CAPABILITIES = (
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
)  # fmt: skip

# The names of units that are the pod's own: POD-pod.service, POD-pod-record.service.
OWN = ("pod", "pod-record")
NAME_MAX = 63

HOST, EMPTY, MEMORY = "host", "empty", "memory"
INIT, SIDECAR, MAIN = "init", "sidecar", "main"

# 65535 is «no id» to what counts in 16 bits, and to systemd.
_NO_IDS = (2**16 - 1, 2**32 - 1)
# One argument or variable, MAX_ARG_STRLEN; the NUL at its end counts.
_STRING_MAX = 128 * 1024 - 1
_VARIABLE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


class HostVolume:
    """kind: HOST (source, and what must be there), EMPTY (a directory that goes with the pod) or MEMORY (a tmpfs).

    must_be: a word of kubens-pod's `mount-point`. size: of a MEMORY volume in bytes, 0 for as much as there is.
    """

    __slots__ = ("gid", "kind", "mode", "must_be", "name", "size", "source", "uid")

    def __init__(self, name: str, kind: str, source: str = "") -> None:
        self.name = name
        self.kind = kind
        self.source = source
        self.must_be = "any"
        self.mode = 0o755
        self.uid = 0
        self.gid = 0
        self.size = 0


class HostMount:
    """A volume at a path of an app, absolute and cleaned. where: its place in the manifest.

    propagation: of mount(8): rprivate or rslave.
    """

    __slots__ = ("path", "propagation", "read_only", "volume", "where")

    def __init__(self, volume: HostVolume, path: str, read_only: bool, where: str) -> None:
        self.volume = volume
        self.path = path
        self.read_only = read_only
        self.where = where
        self.propagation = "rprivate"


class HostApp:
    """What to run. where: its place in the manifest.

    stage: INIT ends before the next app begins, SIDECAR has begun before the next, MAIN come together after both.
    handlers: commands by setting (ExecStartPre, ExecStartPost, ExecStop, ExecStopPost).
    listen: (setting, port) for each port that starts it. capabilities: None for all.
    cpu: percent of one processor, memory: bytes, weight: CPUWeight=; 0 where nothing is said.
    """

    __slots__ = (
        "capabilities",
        "cpu",
        "directory",
        "environment",
        "exec",
        "gid",
        "grace",
        "groups",
        "handlers",
        "listen",
        "memory",
        "mounts",
        "name",
        "no_new_privileges",
        "privileged",
        "read_only_root",
        "restart",
        "stage",
        "uid",
        "weight",
        "where",
    )

    def __init__(self, name: str, where: str) -> None:
        self.name = name
        self.where = where
        self.exec: list[str] = []
        self.environment: dict[str, str] = {}
        self.directory = "/"
        self.uid = 0
        self.gid = 0
        self.groups: list[int] = []
        self.mounts: list[HostMount] = []
        self.handlers: list[tuple[str, list[str]]] = []
        self.listen: list[tuple[str, int]] = []
        self.capabilities: tuple[str, ...] | None = CAPABILITIES
        self.privileged = False
        self.no_new_privileges = False
        self.read_only_root = False
        self.cpu = 0
        self.memory = 0
        self.weight = 0
        self.restart = "no"
        self.stage = MAIN
        self.grace = 0


# So many characters are looked through at most for the places of findings: the longest manifest, once.
_LOOKED_THROUGH = 1536 * 1024


class HostPod:
    """name: of its file. volumes: all that apps mount. cpu, memory: limits of all apps together, as of HostApp.

    recorded: as of a MountNamespace. text: of the manifest, in which findings have their places.
    """

    __slots__ = ("apps", "cpu", "file", "findings", "memory", "name", "recorded", "start_at_boot", "text", "volumes")

    def __init__(self, name: str, file: str, text: str = "") -> None:
        self.name = name
        self.file = file
        self.text = text
        self.apps: list[HostApp] = []
        self.volumes: dict[str, HostVolume] = {}
        self.cpu = 0
        self.memory = 0
        self.start_at_boot = True
        self.recorded = True
        self.findings: list[Finding] = []

    @property
    def directory(self) -> str:
        return f"{DIRECTORY}/{self.name}"

    def refuse(self, error: ManifestError) -> None:
        self.say(Finding(ERROR, self.file, error.line, "", f"{error}: the pod is not made until this is mended"))

    def warn(self, path: str, reason: str, step: str = "remove it") -> None:
        """step: the next one, to be rid of the warning."""
        self.say(Finding(WARNING, self.file, 0, "", f"{path}: {reason}; {step}"))

    def note(self, path: str, reason: str) -> None:
        self.say(Finding(NOTICE, self.file, 0, "", f"{path}: {reason}; set it"))

    def say(self, finding: Finding) -> None:
        self.findings.append(finding)
        if len(self.text) * len(self.findings) <= _LOOKED_THROUGH:
            from kubens.pods import place

            place.mark(finding, self.text)


def bad_pod_name(name: str) -> str:
    """Why a pod cannot have this name; "" where it can."""
    if not is_ac_name(name):
        return "is not of lower-case letters, digits and inner dashes"
    return f"is longer than {NAME_MAX} characters" if len(name) > NAME_MAX else ""


def check(pod: HostPod) -> None:
    """Refuse what no unit can do, wherever it came from. Raises ManifestError."""
    for app in pod.apps:
        if app.name in OWN:
            raise ManifestError(f"{app.where}.name", f"{pod.name}-{app.name}.service is the pod's own: rename the app")
        if len(app.name) > NAME_MAX:
            raise ManifestError(f"{app.where}.name", f"is longer than {NAME_MAX} characters")
        for number in (app.uid, app.gid, *app.groups):
            if number in _NO_IDS:
                raise ManifestError(app.where, f"{number} is the id of nobody, and cannot be anybody's")
        for name, value in app.environment.items():
            _check_variable(app, name, value)
        if syntax.is_too_long(app.directory):
            raise ManifestError(app.where, f"{app.directory[:40]!r}… is longer than a directory can be")
        for command in (app.exec, *(command for _, command in app.handlers)):
            _check_command(app, command)
    for app in pod.apps:
        for mount in app.mounts:
            _check_mount(mount)


def _check_variable(app: HostApp, name: str, value: str) -> None:
    where = f"{app.where}: variable {name[:80]!r}"
    if not name or not _VARIABLE.issuperset(name) or name[0].isdigit():
        raise ManifestError(where, "is not of letters, digits and underscores, as systemd wants it: rename it")
    if len(f"{name}={value}".encode()) > _STRING_MAX:
        raise ManifestError(where, "is longer than 128 KiB, which Linux does not pass on")
    if not value.isascii() and any(is_noncharacter(char) for char in value):
        raise ManifestError(where, "has a character that Unicode has none of, which systemd does not pass on")


def _check_command(app: HostApp, command: list[str]) -> None:
    for argument in command:
        if len(argument.encode("utf-8", "surrogateescape")) > _STRING_MAX:
            raise ManifestError(app.where, "has an argument longer than 128 KiB, which Linux does not pass on")
    program = command[0]
    if "/" in program and not program.startswith("/"):
        raise ManifestError(app.where, f"{program[:80]!r} is neither a name nor an absolute path")
    if not syntax.UNSAFE.isdisjoint(program) or program.endswith(("/", "/.", "/..")) or program in (".", ".."):
        reason = f"{program[:80]!r} is no program for systemd: it wants no quotes, backslashes or control characters"
        raise ManifestError(app.where, reason)
    if syntax.is_too_long(program):
        raise ManifestError(app.where, f"{program[:40]!r}… is longer than the path of a program can be")


def _check_mount(mount: HostMount) -> None:
    """What systemd mounts in every root itself hides what is there; of /run and /dev parts can be put back."""
    top = mount.path.split("/")[1]
    if mount.path == "/" or top in ("proc", "sys") or mount.path in ("/run", "/dev"):
        raise ManifestError(mount.where, f"{mount.path} belongs to the app's root: mount the volume somewhere else")
    if hides(mount.path) and not _is_plain(mount.volume.source + mount.path):
        raise ManifestError(mount.where, f"{mount.path} and its source must be of plain characters below /{top}")


def hides(path: str) -> bool:
    """Whether what is mounted at a path of the tree is not seen by the app: systemd puts its own file systems there."""
    return path.startswith(("/run/", "/dev/"))


def _is_plain(path: str) -> bool:
    return path.isascii() and all(char.isalnum() or char in "/-_.,+@=" for char in path)


def parse_id(text: str, kind: str, where: str) -> int:
    """A user's or group's number. Raises ManifestError for a name: it would be the image's, not the host's."""
    if text == "root":
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < _NO_IDS[1]):
        reason = f"{text!r} is no number, and names are known in the app's tree alone: write the number of the {kind}"
        raise ManifestError(where, reason)
    return int(text)


def percent(milli: int, where: str) -> int:
    """CPUQuota= for thousandths of a processor."""
    if not 10 <= milli <= 10**9:
        raise ManifestError(where, "is not between 10m and a million processors, which systemd can enforce")
    return milli // 10


def defaults(uid: int) -> dict[str, str]:
    """The environment that an app has before it says anything. What systemd would set is of the host's user."""
    user, home = ("root", "/root") if uid == 0 else (str(uid), "/")
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "SHELL": "/bin/sh",
        "USER": user,
        "LOGNAME": user,
        "HOME": home,
    }


def located(error: PodError, where: str) -> ManifestError:
    """The refusal, with a place where it has none."""
    return error if isinstance(error, ManifestError) else ManifestError(where, str(error))
