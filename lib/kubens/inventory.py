"""What the plan needs to know of the machine, read once: units, tools, programs, and namespaces that live."""

from __future__ import annotations

import posix

from kubens import config, names, render, sandbox, syntax
from kubens.config import Configuration, MountNamespace
from kubens.finding import ERROR, NOTICE, Finding
from kubens.lookup import Lookup
from kubens.units import Unit, Units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from kubens.config import Member
    from kubens.files import Root
    from kubens.finding import Finding
    from kubens.netns import Networks
    from kubens.order import Chain
    from kubens.pods_plan import Pods

TOOL_DIRECTORIES = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")
# Needed only by some shapes of units; looked for when one comes up.
OPTIONAL_TOOLS = ("perl", "bash")
# Where Podman reads what its generator makes services from.
QUADLETS = ("/etc/containers/systemd", "/run/containers/systemd", "/usr/share/containers/systemd")
# The search directories that come after a generator's.
_BELOW_GENERATORS = ("/usr/", "/lib/")
# How the search directories begin in which units are that come with the system, or are ours.
_OF_THE_SYSTEM = ("/usr/lib/", "/lib/", "/run/systemd/generator")
KUBENSENTER = ("/usr/bin/kubensenter", "/usr/local/bin/kubensenter")

# Where systemd looks for a program without a slash (DEFAULT_PATH_NORMAL; /sbin and /bin where /usr is not merged).
PROGRAM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

# The units of namespaces come after these and all that they come after.
EARLY = frozenset(
    ("basic.target", "local-fs-pre.target", "local-fs.target", "network-pre.target", "network.target",
     "paths.target", "remote-fs-pre.target", "slices.target", "sockets.target", "swap.target", "sysinit.target",
     "cryptsetup.target", "cryptsetup-pre.target", "veritysetup.target", "tmp.mount")
)  # fmt: skip

_BEFORE = frozenset(("Before",))
KEYS = (
    frozenset(config.EXEC_SETTINGS)
    | sandbox.KEYS
    | {"Type", "WorkingDirectory", "SyslogIdentifier", "ExecSearchPath", "RemainAfterExit", "SuccessAction", "Before"}
    | {"JoinsNamespaceOf", "Service"}
)


class Inventory:
    """units: every member by the name it was listed under, None where not installed or masked; instances of a template
    with files of their own stand under their own names. absent: why, for each None ("not installed", "masked").
    domains: what SELinux would make of members once they are wrapped, by their real name.
    foreign: members that another generator will make, with the file they come from. instances: by template.
    early: by real name, the members that are ordered before what their namespaces wait for, as order.find() has them.
    quadlets: services that Podman makes, with the files; None where nobody asked.
    taken: the files of units whose names ours would have. services: what drop-ins say of NAME.service.
    programs: what a name without a slash resolves to, by (name, search path).
    tools: where each is, or usually is; missing: those that are nowhere.
    live: the mount namespaces that run now. networks, pods: what concerns network namespaces and pods, None
    where there are none.
    unreadable: what of the search path cannot be read, and why.
    """

    def __init__(self) -> None:
        self.units: dict[str, Unit | None] = {}
        self.absent: dict[str, str] = {}
        self.domains: dict[str, list[Finding]] = {}
        self.foreign: dict[str, str] = {}
        self.instances: dict[str, list[str]] = {}
        self.early: dict[str, Chain] = {}
        self.services: dict[str, Unit] = {}
        self.taken: dict[str, str] = {}
        self.quadlets: dict[str, str] | None = None
        self.programs: dict[tuple[str, str], str] = {}
        self.tools: dict[str, str] = {}
        self.missing: list[str] = []
        self.kubensenter = ""
        self.live: dict[str, MountNamespace] = {}
        self.networks: Networks | None = None
        self.pods: Pods | None = None
        self.unreadable: tuple[str, str] | None = None

    def absence(self, member: Member, outcome: str) -> Finding:
        """What to say of a member that has no unit: an ERROR where it will have one that we cannot see."""
        source = self.foreign.get(member.unit)
        if source:
            reason = f"is made from {source} by another generator, whose output cannot be seen: write a unit file"
            return Finding(ERROR, member.file, member.line, member.unit, reason)
        absent = self.absent.get(member.unit, "not installed")
        step = f"systemctl unmask {member.unit}" if absent == "masked" else "install it, or remove it here"
        reason = f"{absent}, {outcome}: {step}"
        return Finding(NOTICE, member.file, member.line, member.unit, reason)


def take(root: Root, configuration: Configuration, live: Configuration, search_path: str = "") -> Inventory:
    """Read what the configuration and the living namespaces name. search_path: $SYSTEMD_UNIT_PATH."""
    inventory = Inventory()
    inventory.live = live.mount_namespaces
    lookup = Lookup(root, search_path)
    units = Units(lookup, KEYS)
    for name in render.TOOLS:
        place = tool(root, name)
        if not place:
            inventory.missing.append(name)
        # What lives needs them all the same, by then.
        inventory.tools[name] = place or render.TOOLS[name]
    if configuration.has_pods or live.has_pods:
        from kubens import pods_plan

        # Before members are looked for, which may be a pod's.
        inventory.pods = pods_plan.Pods(units, configuration, live, inventory.tools)
    namespaces = [*configuration.mount_namespaces.values(), *live.mount_namespaces.values()]
    for namespace in namespaces:
        for name in (namespace.unit, namespace.record_unit):
            found = lookup.find(name)
            if found:
                inventory.taken[name] = found
        inventory.services[namespace.unit] = units.load_dropins(namespace.unit)
        for member in namespace.members:
            _load(inventory, units, root, member)
    if configuration.has_networks or live.has_networks:
        from kubens import netns

        networks = inventory.networks = netns.Networks(root, lookup, configuration, live)
        for name in networks.members:
            _load(inventory, units, root, name)
    if any(namespace.when_missing == "host" for namespace in namespaces):
        inventory.kubensenter = next((path for path in KUBENSENTER if root.is_executable(path)), "")
    for unit in list(inventory.units.values()):
        if unit is not None and not unit.plain:
            _resolve_programs(inventory, root, unit)
    inventory.unreadable = lookup.unreadable
    _find_early(inventory, units, configuration, live)
    if namespaces and _has_selinux(root):
        from kubens import selinux

        for namespace in namespaces:
            selinux.look(root, inventory, namespace)
    return inventory


def _has_selinux(root: Root) -> bool:
    """Whether files have labels that count: those of a tree do, whatever runs here."""
    try:
        if root.path:
            posix.getxattr(root.path + root.follow("/usr/bin/nsenter"), "security.selinux")
        else:
            posix.stat("/sys/fs/selinux")
    except PermissionError:
        return True  # a generator that SELinux confines may not look, which is an answer too
    except OSError:
        return False
    return True


def _load(inventory: Inventory, units: Units, root: Root, name: str) -> None:
    if name in inventory.units:
        return
    unit = inventory.units[name] = units.load(name)
    if unit is None:
        inventory.absent[name] = "masked" if units.lookup.find(name) == "masked" else "not installed"
        if inventory.absent[name] != "masked":
            from kubens import foreign

            source = foreign.source(root, name, _quadlets(inventory, root))
            if source:
                inventory.foreign[name] = source
    elif unit.path.startswith(_BELOW_GENERATORS) and unit.unreadable is None:
        source = _quadlets(inventory, root).get(unit.name, "")
        if source:
            reason = f"the generator that reads it makes a unit that comes before {unit.path}: remove one"
            unit.unreadable = (source, 0, reason)
    template = name if unit is None else unit.name
    if "@" in template and names.kind(template) == names.TEMPLATE:
        from kubens import aliases

        inventory.instances[name] = aliases.instances_of(units.lookup, name)
        for instance in inventory.instances[name]:
            _load(inventory, units, root, instance)


def _quadlets(inventory: Inventory, root: Root) -> dict[str, str]:
    """The services that Podman will make, with the files."""
    if inventory.quadlets is None:
        inventory.quadlets = {}
        if any(map(root.exists, QUADLETS)):
            from kubens import foreign

            inventory.quadlets = foreign.quadlets(root)
    return inventory.quadlets


def tool(root: Root, name: str) -> str:
    for directory in TOOL_DIRECTORIES:
        if root.is_executable(f"{directory}/{name}"):
            return f"{directory}/{name}"
    return ""


def _resolve_programs(inventory: Inventory, root: Root, unit: Unit) -> None:
    """Look up the programs that the unit names without a slash, and the tool that keeps an argv[0] of their own."""
    from kubens import unplain

    search = unplain.search_path(unit)
    for command in unplain.all_commands(unit):
        if unplain.is_renamed(command):
            for name in OPTIONAL_TOOLS:
                if name not in inventory.tools:
                    inventory.tools[name] = tool(root, name)
        if command.program.startswith("/") or (command.program, search) in inventory.programs:
            continue
        directories = search.split(":") if search else PROGRAM_PATH
        found = (f"{directory}/{command.program}" for directory in directories)
        inventory.programs[command.program, search] = next((p for p in found if root.is_executable(p)), "")


def _find_early(inventory: Inventory, units: Units, *configurations: Configuration) -> None:
    """Find the members that are ordered before what their namespaces wait for."""
    members = {unit.name: unit for unit in inventory.units.values() if unit is not None}
    written, touched = _local_units(units.lookup, inventory.units)
    sockets = {name for name in members if name.endswith(".socket")}
    among = (members.keys() - sockets).union(written)
    # A target comes after whatever it wants (systemd.target(5), "Default Dependencies"); sockets that join are relieved
    # of those.
    wanted: dict[str, Chain] = {}
    found = units.lookup.wanted_by([name for name in EARLY if name.endswith(".target")])
    for target, name in sorted((target, name) for target, listed in found for name in among.intersection(listed)):
        wanted.setdefault(name, (None, target))
    before = [setting for unit in members.values() for setting in unit.unit.get("Before", ())]
    # Order among members alone leads nowhere; a socket comes before what it starts.
    if wanted or touched or sockets or any(not members.keys() >= {*setting.value.split()} for setting in before):
        from kubens import order

        makers = order.makers(inventory, configurations)
        inventory.early = order.find(units, members, makers, wanted, written, touched)


def _local_units(lookup: Lookup, known: Container[str]) -> tuple[list[str], list[str]]:
    """Of the units that are not known already, those that have a file outside of the system's own directories, and
    those of them, or with drop-ins there, in which there is something of order with any but those that are known.

    What comes with the system is not looked at: to read it would take longer than all the rest.
    """
    written: list[str] = []
    touched: list[str] = []
    for directory, present in lookup.places.items():
        if directory.startswith(_OF_THE_SYSTEM):
            continue
        for name in present:
            unit = name[:-2] if name[-2:] == ".d" else name
            if unit not in known and names.kind(unit):
                if present[name] and name not in lookup.links_by_target(names.suffix(unit)).get(name, ()):
                    continue  # another name of a unit that is looked at by its own
                if unit is name:
                    written.append(unit)
                if _has_order(lookup.root, f"{directory}/{name}", known):
                    touched.append(unit)
    return written, touched


def _has_order(root: Root, path: str, known: Container[str]) -> bool:
    """Whether a unit comes before any but those that are known; with a directory of drop-ins, also after any."""
    try:
        files = [f"{path}/{name}" for name in root.files(path, ".conf")] if path[-2:] == ".d" else [path]
        texts = [root.read(file) or "" for file in files]
    except OSError:
        return False
    for text in texts:
        if "After" in text and files[0] is not path:
            return True
        for _, _, assignments in syntax.parse(text, _BEFORE).sections if "Before" in text else ():
            if any(name not in known for _, value, _ in assignments for name in value.split()):
                return True
    return False
