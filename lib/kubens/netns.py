"""Network namespaces as they are configured, and what of the machine concerns them: kubens-netns(5).

Their types are read by bash when they start (libexec/kubens-netns); here the names of the files are all that counts.
"""

from __future__ import annotations

from kubens import names, syntax
from kubens.config import JOIN, NETNS_DIRECTORY, Member
from kubens.files import in_byte_order
from kubens.finding import ERROR, WARNING, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.config import Configuration
    from kubens.files import Root
    from kubens.lookup import Lookup

# The types in conf/netns, whose templates are packaged, and those of them that do nothing without a file of variables.
SHIPPED = ("bridge", "lo", "macvlan", "nft", "veth", "wireguard")
NEED_VARIABLES = ("bridge", "macvlan", "veth")
# What ip-netns(8) binds over /etc in a namespace, by its name.
ETC = "/etc/netns"
# As long as the name of a network interface may be: IFNAMSIZ - 1, netdevice(7).
NAME_MAX = 15
# What the units' program needs, besides what mount namespaces need as well.
TOOLS = ("bash", "ip")

_SAFE = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.,+@~"


class NetworkNamespace:
    """What all [NetworkNamespace] sections of one Name= say together. file, line: the first of them.

    types: where each is listed, as (file, line). members: services and sockets that join.
    recorded: as of a MountNamespace.
    """

    __slots__ = ("file", "line", "members", "name", "recorded", "types", "wanted_by")

    def __init__(self, name: str, file: str, line: int) -> None:
        self.name = name
        self.file = file
        self.line = line
        self.types: dict[str, tuple[str, int]] = {}
        self.members: dict[str, Member] = {}
        self.wanted_by: tuple[str, ...] = ("multi-user.target",)
        self.recorded = True

    @property
    def maker(self) -> str:
        """The unit that makes the namespace, and removes it."""
        return f"netns_name@{self.name}.service"

    @property
    def units(self) -> list[str]:
        """The units with which it is configured, not just there."""
        return [f"netns-{kind}@{self.name}.service" for kind in self.types] or [self.maker]

    @property
    def makers(self) -> tuple[str, ...]:
        """The units without which members cannot start."""
        outside = [unit.replace("netns-", "netns_outside-", 1) for unit in self.units if unit != self.maker]
        return (self.maker, *outside, *self.units)

    @property
    def record(self) -> str:
        """The name of the directory that holds what it is made of."""
        return f"netns@{self.name}"

    @property
    def record_unit(self) -> str:
        return f"netns_record@{self.name}.service"

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"


class EtcFile:
    """A file of /etc/netns/NAME. place: where what /etc has of that name really lies. present: whether it is there."""

    __slots__ = ("name", "place", "present")

    def __init__(self, name: str, place: str, present: bool) -> None:
        self.name = name
        self.place = place
        self.present = present


class Networks:
    """What the plan needs to know of the machine: the inventory's part for network namespaces.

    live: namespaces and types that run now. taken: the files of units whose names ours would have, "masked" for masks.
    etc: the files to bind, by namespace. missing: tools.
    """

    __slots__ = ("etc", "live", "members", "missing", "taken", "types")

    def __init__(self, root: Root, lookup: Lookup, configuration: Configuration, live: Configuration) -> None:
        from kubens import inventory

        self.live = live.network_namespaces
        self.types = {**live.netns_types, **configuration.netns_types}
        self.taken: dict[str, str] = {}
        self.etc: dict[str, list[EtcFile]] = {}
        self.members: dict[str, None] = {}
        self.missing = [name for name in TOOLS if not inventory.tool(root, name)]
        for kind in self.types:
            self._take(lookup, f"netns-{kind}@.service", f"netns_outside-{kind}@.service")
        for namespace in (*configuration.network_namespaces.values(), *self.live.values()):
            self._take(lookup, namespace.maker, namespace.record_unit, *namespace.units)
            self.members.update(dict.fromkeys(namespace.members))
            self.etc[namespace.name] = _etc_files(root, namespace.name)

    def _take(self, lookup: Lookup, *wanted: str) -> None:
        for name in wanted:
            found = lookup.find(name)
            if found:
                self.taken[name] = found


def _etc_files(root: Root, name: str) -> list[EtcFile]:
    found = []
    try:
        for entry in in_byte_order(root.names(f"{ETC}/{name}")):
            path = f"/etc/{entry}"
            place = root.follow(path) if root.link(path) is not None else path
            found.append(EtcFile(entry, place, root.exists(path)))
    except OSError:
        # In doubt there is something that must be bound.
        found.append(EtcFile("", "", False))
    return found


def is_word(text: str) -> bool:
    """Whether a type or a namespace can have this name: letters and digits, so that a hyphen parts the two."""
    return text.isascii() and text.isalnum()


def find_types(configuration: Configuration) -> None:
    """Note which types there are in /etc/conf.d/netns, and say what there means nothing."""
    findings = configuration.findings
    of_instances = []
    for file in in_byte_order(configuration.netns_files):
        stem, dot, suffix = file.rpartition(".")
        if file.startswith(".") or suffix not in ("conf", "sh") or not dot or stem == "default":
            continue
        path = f"{NETNS_DIRECTORY}/{file}"
        kind, hyphen, name = stem.partition("-")
        if not is_word(kind) or (hyphen and (suffix == "sh" or not is_word(name))):
            reason = "is not TYPE.sh, TYPE.conf or TYPE-NAME.conf of letters and digits, ignored: rename it"
            findings.append(Finding(WARNING, path, 0, "", reason))
        elif len(name) > NAME_MAX:
            reason = f"the name {name} has more than {NAME_MAX} bytes, ignored: rename it"
            findings.append(Finding(WARNING, path, 0, "", reason))
        elif hyphen:
            of_instances.append((path, kind))
        elif kind not in SHIPPED:
            configuration.netns_types.setdefault(kind, path)
    for path, kind in of_instances:
        if kind not in SHIPPED and kind not in configuration.netns_types:
            reason = f"there is no type {kind}, ignored: write {NETNS_DIRECTORY}/{kind}.sh or {kind}.conf"
            findings.append(Finding(WARNING, path, 0, "", reason))


def read_section(configuration: Configuration, section: syntax.Section, path: str) -> None:
    """Add what a [NetworkNamespace] section says."""
    findings = configuration.findings
    _, begin, assignments = section
    name, line = "", begin
    for key, value, number in assignments:
        if key == "Name":
            name, line = value, number
    problem = "is missing" if not name else bad_name(name)
    if problem:
        findings.append(Finding(ERROR, path, line, "", f"Name={name} {problem}, section ignored: choose another"))
        return
    namespace = configuration.network_namespaces.get(name)
    if namespace is None:
        namespace = configuration.network_namespaces[name] = NetworkNamespace(name, path, begin)
    wanted: tuple[str, ...] | None = None
    for key, value, number in assignments:
        if key == "Types":
            _types(namespace, value, path, number, findings)
        elif key == "Services":
            _members(namespace, value, path, number, findings)
        elif key == "WantedBy":
            wanted = (*(wanted or ()), *_targets(value, path, number, findings)) if value else ()
    if wanted is not None:
        namespace.wanted_by = wanted


def bad_name(name: str) -> str:
    """Why a network namespace cannot have this name; "" where it can."""
    if not is_word(name):
        return "is not of letters and digits alone"
    if len(name) > NAME_MAX:
        return f"has more than {NAME_MAX} bytes"
    return ""


def _types(namespace: NetworkNamespace, value: str, path: str, line: int, findings: list[Finding]) -> None:
    if not value:
        namespace.types.clear()
    for word in syntax.words(value):
        if word in namespace.types:
            file, number = namespace.types[word]
            reason = f"type {word} is listed twice, first at {file}:{number}: remove one"
            findings.append(Finding(WARNING, path, line, "", reason))
        else:
            # Whether there is such a type shows when all files are read.
            namespace.types[word] = (path, line)


def _members(namespace: NetworkNamespace, value: str, path: str, line: int, findings: list[Finding]) -> None:
    if not value:
        namespace.members.clear()
    for word in syntax.words(value):
        unit = word if names.kind(word) else word + ".service"
        if not names.kind(unit):
            findings.append(Finding(ERROR, path, line, word, "not a unit name, ignored: mend or remove it"))
        elif names.suffix(unit) not in ("service", "socket"):
            findings.append(Finding(ERROR, path, line, unit, "neither a service nor a socket, ignored: remove it"))
        elif unit.startswith(("netns-", "netns_")):
            findings.append(Finding(ERROR, path, line, unit, "makes network namespaces itself, ignored: remove it"))
        elif unit in namespace.members:
            known = namespace.members[unit]
            reason = f"listed twice, first at {known.file}:{known.line}: remove one"
            findings.append(Finding(WARNING, path, line, unit, reason))
        else:
            namespace.members[unit] = Member(unit, JOIN, path, line)


def _targets(value: str, path: str, line: int, findings: list[Finding]) -> list[str]:
    found = []
    for word in syntax.words(value):
        if names.kind(word) in (names.PLAIN, names.INSTANCE):
            found.append(word)
        else:
            findings.append(
                Finding(ERROR, path, line, "", f"WantedBy={word} is not a unit name, ignored: mend or remove it")
            )
    return found


def can_be_bound(file: EtcFile) -> bool:
    """Whether systemd can be told of it, and has where to bind it."""
    return bool(file.name) and not (file.name + file.place.replace("/", "")).strip(_SAFE) and (
        file.present or is_volatile(file.place)
    )  # fmt: skip


def is_volatile(place: str) -> bool:
    """Whether a link of /etc leads to a file that its owner replaces, as systemd-resolved does: such a one loses what
    is bound over it. Its directory can be covered."""
    return place.startswith("/run/") and place.count("/") > 2
