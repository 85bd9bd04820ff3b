"""The configuration: kubens.conf(5). /etc/kubens/*.conf and /usr/lib/kubens/*.conf, merged into namespaces."""

from __future__ import annotations

from kubens import names, syntax
from kubens.files import in_byte_order, why
from kubens.finding import ERROR, WARNING, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.files import Root
    from kubens.netns import NetworkNamespace
    from kubens.pods.host import HostPod

DIRECTORIES = ("/etc/kubens", "/usr/lib/kubens")
# Where a namespace that lives is recorded as it was configured; render.record_service() has it written.
LIVE = "/run/kubens-generator"
WRAP, ENV, JOIN = "wrap", "env", "join"
# Where systemd-netns' users have their types; kubens-netns(5).
NETNS_DIRECTORY = "/etc/conf.d/netns"
# Where pods have their manifests; kubens-pod(5).
PODS_DIRECTORY = "/etc/kubens/pods"
# In the order in which systemd runs them.
EXEC_SETTINGS = (
    "ExecCondition",
    "ExecStartPre",
    "ExecStart",
    "ExecStartPost",
    "ExecReload",
    "ExecReloadPost",
    "ExecStop",
    "ExecStopPost",
)

# What a section may hold: (section, key, type, default). The man page and the shipped sample are tested against it.
UNIT_LIST, EXEC_LIST, WORDS, NAME, MISSING, BOOLEAN = "units", "exec", "words", "name", "missing", "boolean"
SETTINGS = (
    ("MountNamespace", "Name", NAME, "kubens"),
    ("MountNamespace", "Wrap", UNIT_LIST, ""),
    ("MountNamespace", "Env", UNIT_LIST, ""),
    ("MountNamespace", "WrapCommands", EXEC_LIST, "ExecStart"),
    ("MountNamespace", "WhenMissing", MISSING, "fail"),
    ("MountNamespace", "AllowSandboxLoss", BOOLEAN, "no"),
    ("NetworkNamespace", "Name", NAME, ""),
    ("NetworkNamespace", "Types", WORDS, ""),
    ("NetworkNamespace", "Services", UNIT_LIST, ""),
    ("NetworkNamespace", "WantedBy", WORDS, "multi-user.target"),
)
_TYPES = {(section, key): kind for section, key, kind, _ in SETTINGS}
_SECTIONS = frozenset(section for section, *_ in SETTINGS)

# What is below /run under these names is somebody else's, whatever units exist.
RESERVED = frozenset(
    ("blkid", "credentials", "cryptsetup", "dbus", "initctl", "initramfs", "kubens-compiled", "kubens-generator",
     "kubens-problems", "lock", "log", "mount", "netns", "nologin", "sshd", "sudo", "systemd", "tmpfiles.d", "udev",
     "user", "utmp", "containerd", "cri-dockerd", "crio", "docker", "flannel", "k3s", "NetworkManager", "rke2",
     "rpcbind")
)  # fmt: skip
# No configuration is larger, and nobody reads more about one file.
SIZE_MAX = 256 * 1024
FINDINGS_MAX = 20
_NAME_MAX = 200  # leaves room for what is built around it: NAME-record.service, SERVICE.d/NAME.conf


class Member:
    """A unit that a namespace names: how it gets in (WRAP, ENV or JOIN), and where that is written."""

    __slots__ = ("file", "line", "mode", "unit")

    def __init__(self, unit: str, mode: str, file: str, line: int) -> None:
        self.unit = unit
        self.mode = mode
        self.file = file
        self.line = line


class MountNamespace:
    """What all [MountNamespace] sections of one Name= say together. file, line: the first of them.

    recorded: whether its units keep what it is made of, for later reloads; static units do not change with one.
    """

    __slots__ = ("allow_sandbox_loss", "commands_given", "file", "line", "members", "name", "recorded", "when_missing")

    def __init__(self, name: str, file: str, line: int) -> None:
        self.name = name
        self.file = file
        self.line = line
        self.members: dict[str, Member] = {}
        self.commands_given: tuple[str, ...] = ()
        self.when_missing = "fail"
        self.allow_sandbox_loss = False
        self.recorded = True

    @property
    def wrap_commands(self) -> tuple[str, ...]:
        """The Exec*= settings to wrap, in the order systemd runs them."""
        if not self.commands_given:
            return ("ExecStart",)
        return tuple(key for key in EXEC_SETTINGS if key in self.commands_given)

    @property
    def unit(self) -> str:
        return self.name + ".service"

    @property
    def makers(self) -> tuple[str, ...]:
        """The units without which members cannot start."""
        return (self.unit,)

    @property
    def record_unit(self) -> str:
        return self.name + "-record.service"

    @property
    def pin(self) -> str:
        return f"/run/{self.name}/mnt"


class Configuration:
    """All that is configured. findings: what was wrong with it.

    netns_types: the administrator's own types of network namespaces, with the file that each is read from first.
    netns_files: the names of all files that types and their instances are read from. netns_unreadable: whether there
    may be more.
    pods: those whose manifests can be made units of. recorded_pods: of those that live, the units they are made of.
    unreadable: whether there is more of it that could not be read.
    """

    def __init__(self) -> None:
        self.mount_namespaces: dict[str, MountNamespace] = {}
        self.network_namespaces: dict[str, NetworkNamespace] = {}
        self.netns_types: dict[str, str] = {}
        self.netns_files: list[str] = []
        self.netns_unreadable = False
        self.pods: dict[str, HostPod] = {}
        self.recorded_pods: dict[str, dict[str, str]] = {}
        self.findings: list[Finding] = []
        self.unreadable = False

    @property
    def has_networks(self) -> bool:
        return bool(self.network_namespaces or self.netns_types)

    @property
    def has_pods(self) -> bool:
        return bool(self.pods or self.recorded_pods)


def load(root: Root, directories: tuple[str, ...] = DIRECTORIES) -> Configuration:
    """Read every file of the directories: for one name the first directory wins, then byte order of the names."""
    configuration = Configuration()
    chosen: dict[str, str] = {}
    for directory in directories:
        try:
            found = root.names(directory)
        except OSError as error:
            configuration.findings.append(Finding(ERROR, directory, 0, "", f"cannot be read: {why(error)}"))
            continue
        if not found and (root.is_file(directory) or (root.link(directory) and not root.exists(directory))):
            configuration.findings.append(
                Finding(ERROR, directory, 0, "", "is no directory, nothing is read from it: make it one")
            )
        for name in found:
            if name.endswith(".conf") and name[0] != ".":
                chosen.setdefault(name, f"{directory}/{name}")
            elif f"{directory}/{name}" == PODS_DIRECTORY:
                from kubens import manifests

                manifests.load(configuration, root)
    for name in in_byte_order(chosen):
        read_file(configuration, root, chosen[name])
    try:
        configuration.netns_files = root.names(NETNS_DIRECTORY)
    except OSError as error:
        configuration.netns_unreadable = True
        configuration.findings.append(Finding(ERROR, NETNS_DIRECTORY, 0, "", f"cannot be read: {why(error)}"))
    if configuration.netns_files:
        from kubens import netns

        netns.find_types(configuration)
    return configuration


def load_live(root: Root) -> Configuration:
    """What runs, as it was configured when it started: namespaces, and types of network namespaces."""
    found = Configuration()
    try:
        entries = root.names(LIVE)
    except OSError as error:
        found.findings.append(Finding(ERROR, LIVE, 0, "", f"cannot be read: {why(error)}"))
        found.unreadable = True
        return found
    for name in entries:
        if name.startswith("."):
            continue  # being made
        kind, at, instance = name.partition("@")
        if at and kind.startswith("netns-"):
            found.netns_types[kind[len("netns-") :]] = f"{LIVE}/{name}"
            continue
        if at and kind == "pod":
            from kubens import manifests

            manifests.load_live(found, root, instance)
            continue
        recorded = Configuration()
        read_file(recorded, root, f"{LIVE}/{name}/namespace.conf")
        if recorded.unreadable:
            found.findings += recorded.findings
            found.unreadable = True
        if at and instance in recorded.network_namespaces:
            from kubens import netns

            namespace = found.network_namespaces[instance] = recorded.network_namespaces[instance]
            # In a configuration there must be such a type. Here nobody asks again, and it becomes the path of a unit.
            namespace.types = {kind: place for kind, place in namespace.types.items() if netns.is_word(kind)}
        elif name in recorded.mount_namespaces:
            found.mount_namespaces[name] = recorded.mount_namespaces[name]
    return found


def read_file(configuration: Configuration, root: Root, path: str) -> None:
    """Add what one file says. A file that cannot be read is a finding; so is each line that means nothing."""
    findings = configuration.findings
    before = len(findings)
    try:
        text = root.read(path, SIZE_MAX)
    except OSError as error:
        findings.append(Finding(ERROR, path, 0, "", f"cannot be read, ignored: {why(error)}"))
        configuration.unreadable = True
        return
    if text is None:
        findings.append(Finding(ERROR, path, 0, "", "a link to nothing, ignored: mend it, or link it to /dev/null"))
        return
    if "\0" in text:
        findings.append(Finding(ERROR, path, 0, "", "binary data, ignored: remove it, this is no configuration file"))
        return
    parsed = syntax.parse(text)
    if parsed.broken or parsed.untold:
        # What stands before it might be half of a namespace.
        line, reason = parsed.broken or parsed.untold or (0, "")
        findings.append(Finding(ERROR, path, line, "", f"{reason}, the whole file is ignored: mend it"))
        return
    for line, reason in parsed.problems:
        findings.append(Finding(WARNING, path, line, "", f"{reason}: mend or remove it"))
    for section in parsed.sections:
        name, line, _ = section
        if name == "MountNamespace":
            _mount_namespace(configuration, section, path)
        elif name == "NetworkNamespace":
            from kubens import netns

            unknown_keys(findings, section, path)
            netns.read_section(configuration, section, path)
        elif not name.startswith("X-"):
            reason = f"unknown section [{name}], ignored: write one of {_sections()}"
            findings.append(Finding(WARNING, path, line, "", reason))
    more = len(findings) - before - FINDINGS_MAX
    if more > 0:
        findings[before + FINDINGS_MAX :] = [
            Finding(ERROR, path, 0, "", f"{more} more findings like these: mend those first")
        ]


def _sections() -> str:
    return " ".join(sorted(f"[{name}]" for name in _SECTIONS))


def unknown_keys(findings: list[Finding], section: syntax.Section, path: str) -> None:
    name, _, assignments = section
    for key, _, line in assignments:
        if (name, key) not in _TYPES and not key.startswith("X-"):
            known = " ".join(k for s, k, *_ in SETTINGS if s == name)
            reason = f"unknown setting {key}= in [{name}], ignored: write one of {known}"
            findings.append(Finding(WARNING, path, line, "", reason))


def _mount_namespace(configuration: Configuration, section: syntax.Section, path: str) -> None:
    findings = configuration.findings
    unknown_keys(findings, section, path)
    _, begin, assignments = section
    name, line = "kubens", begin
    for key, value, number in assignments:
        if key == "Name":
            name, line = value or "kubens", number
    problem = bad_namespace_name(name)
    if problem:
        findings.append(Finding(ERROR, path, line, "", f"Name={name} {problem}, section ignored: choose another"))
        return
    namespace = configuration.mount_namespaces.get(name)
    if namespace is None:
        namespace = configuration.mount_namespaces[name] = MountNamespace(name, path, begin)
    for key, value, number in assignments:
        if key in ("Wrap", "Env"):
            _members(namespace, WRAP if key == "Wrap" else ENV, value, path, number, findings)
        elif key == "WrapCommands":
            _wrap_commands(namespace, value, path, number, findings)
        elif key == "WhenMissing":
            if value in ("fail", "host", ""):
                namespace.when_missing = value or "fail"
            else:
                reason = f"WhenMissing={value} is neither fail nor host, ignored: write one of them"
                findings.append(Finding(WARNING, path, number, "", reason))
        elif key == "AllowSandboxLoss":
            answer = syntax.boolean(value or "no")
            if answer is None:
                reason = f"AllowSandboxLoss={value} is neither yes nor no, ignored: write one of them"
                findings.append(Finding(WARNING, path, number, "", reason))
            else:
                namespace.allow_sandbox_loss = answer


def bad_namespace_name(name: str) -> str:
    """Why a namespace cannot have this name; "" where it can. It names a unit, a directory of /run, and drop-ins."""
    if names.kind(name + ".service") != names.PLAIN or name.startswith((".", "-")) or "\\" in name:
        return "is not a plain unit name"
    if name.startswith(("netns-", "netns_")):
        return "is taken: units of that name make network namespaces"
    if name.endswith("-record"):
        return "is taken: NAME-record.service keeps the record of another namespace"
    if len(name) > _NAME_MAX:
        return f"is longer than {_NAME_MAX} characters"
    if name in RESERVED:
        return f"is taken: /run/{name} belongs to another program"
    return ""


def _members(namespace: MountNamespace, mode: str, value: str, path: str, line: int, findings: list[Finding]) -> None:
    if not value:
        kept = {unit: member for unit, member in namespace.members.items() if member.mode != mode}
        namespace.members = kept
        return
    for word in syntax.words(value):
        unit = word
        if not names.kind(word):
            unit += ".service"
            if not names.kind(unit):
                findings.append(Finding(ERROR, path, line, word, "not a unit name, ignored: mend or remove it"))
                continue
        if not unit.endswith(".service"):
            findings.append(
                Finding(ERROR, path, line, unit, "not a service, ignored: remove it, only services run commands")
            )
            continue
        known = namespace.members.get(unit)
        if known is None or (known.mode == ENV and mode == WRAP):
            namespace.members[unit] = Member(unit, mode, path, line)
        if known is not None:
            where = f"{known.file}:{known.line}"
            if known.mode == mode:
                reason = f"listed twice, first at {where}: remove one"
            else:
                reason = f"in Wrap= and in Env= ({where}), wrapped: remove one"
            findings.append(Finding(WARNING, path, line, unit, reason))


def _wrap_commands(namespace: MountNamespace, value: str, path: str, line: int, findings: list[Finding]) -> None:
    if not value:
        namespace.commands_given = ()
    for word in syntax.words(value):
        if word in EXEC_SETTINGS:
            namespace.commands_given += (word,)
        else:
            reason = f"WrapCommands={word} ignored: write one of {' '.join(EXEC_SETTINGS)}"
            findings.append(Finding(WARNING, path, line, "", reason))
