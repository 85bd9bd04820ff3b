"""What the plan needs to know of the machine, read once: units, tools, programs, and namespaces that live."""

from __future__ import annotations

import posix

from kubens import config, execs, names, render, sandbox, syntax
from kubens.config import Configuration, MountNamespace
from kubens.files import Unreadable
from kubens.lookup import Lookup
from kubens.units import Setting, Unit, Units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.files import Root
    from kubens.finding import Finding
    from kubens.netns import Networks
    from kubens.pods_plan import Pods

TOOL_DIRECTORIES = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")
# Needed only by some shapes of units; looked for when one comes up.
OPTIONAL_TOOLS = ("perl", "bash")
# Where Podman reads what its generator makes services from, and what each kind of file adds to the name.
QUADLETS = ("/etc/containers/systemd", "/run/containers/systemd", "/usr/share/containers/systemd")
_QUADLET_KINDS = {
    "container": "", "kube": "", "volume": "-volume", "network": "-network", "image": "-image", "build": "-build",
    "pod": "-pod",
}  # fmt: skip
# The search directories that come after a generator's.
_BELOW_GENERATORS = ("/usr/", "/lib/")
KUBENSENTER = ("/usr/bin/kubensenter", "/usr/local/bin/kubensenter")

# Where systemd looks for a program without a slash (DEFAULT_PATH_NORMAL; /sbin and /bin where /usr is not merged).
PROGRAM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

# NAME.service comes after these and all that they come after.
EARLY = frozenset(
    ("basic.target", "local-fs-pre.target", "local-fs.target", "network-pre.target", "network.target",
     "paths.target", "remote-fs-pre.target", "slices.target", "sockets.target", "swap.target", "sysinit.target",
     "cryptsetup.target", "cryptsetup-pre.target", "veritysetup.target", "tmp.mount")
)  # fmt: skip

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
    early: by real unit name, how a unit comes to be ordered before what NAME.service waits for: the setting (None for a
    .wants link) that starts the chain, and the early unit at its end.
    quadlets: services that Podman makes, with the files; None where nobody asked.
    taken: the files of units whose names ours would have. services: what drop-ins say of NAME.service.
    programs: what a name without a slash resolves to, by (name, search path).
    tools: where each is, or usually is; missing: those that are nowhere.
    live: the mount namespaces that run now. networks, pods: what concerns network namespaces and pods, None
    where there are none.
    unreadable: what of the search path cannot be read, and why.
    """

    __slots__ = (
        "absent",
        "domains",
        "early",
        "foreign",
        "instances",
        "kubensenter",
        "live",
        "missing",
        "networks",
        "pods",
        "programs",
        "quadlets",
        "services",
        "taken",
        "tools",
        "units",
        "unreadable",
    )

    def __init__(self) -> None:
        self.units: dict[str, Unit | None] = {}
        self.absent: dict[str, str] = {}
        self.domains: dict[str, list[Finding]] = {}
        self.foreign: dict[str, str] = {}
        self.instances: dict[str, list[str]] = {}
        self.early: dict[str, tuple[Setting | None, str]] = {}
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
        if unit is not None:
            _resolve_programs(inventory, root, unit)
    inventory.unreadable = lookup.unreadable
    _find_early(inventory, units)
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
        source = _foreign_source(inventory, root, name) if inventory.absent[name] != "masked" else ""
        if source:
            inventory.foreign[name] = source
    elif unit.path.startswith(_BELOW_GENERATORS) and unit.unreadable is None:
        source = _quadlets(inventory, root).get(unit.name, "")
        if source:
            unit.unreadable = (source, 0, f"the generator that reads it makes a unit that comes before {unit.path}")
    template = name if unit is None else unit.name
    if names.kind(template) == names.TEMPLATE:
        inventory.instances[name] = units.lookup.instances_of(name)
        for instance in inventory.instances[name]:
            _load(inventory, units, root, instance)


def _foreign_source(inventory: Inventory, root: Root, name: str) -> str:
    """The file that another generator will make this unit from, "" where none is known."""
    if names.suffix(name) != "service":
        return ""
    # systemd-sysv-generator(8) leaves .sh out of the name.
    for path in (f"/etc/init.d/{name[: -len('.service')]}", f"/etc/init.d/{name[: -len('.service')]}.sh"):
        if root.is_file(path):
            return path
    quadlets = _quadlets(inventory, root)
    return quadlets.get(name) or quadlets.get(names.template_of(name), "")


def _quadlets(inventory: Inventory, root: Root) -> dict[str, str]:
    """The services that podman-systemd.unit(5) makes of files, by name."""
    if inventory.quadlets is not None:
        return inventory.quadlets
    found = inventory.quadlets = {}
    waiting = [*QUADLETS]
    while waiting:
        directory = waiting.pop(0)
        try:
            entries = root.entries(directory)
        except (OSError, Unreadable):
            continue
        for name, is_link in entries.items():
            stem, dot, kind = name.rpartition(".")
            if dot and kind in _QUADLET_KINDS:
                for service in (f"{stem}{_QUADLET_KINDS[kind]}.service", *_service_names(root, f"{directory}/{name}")):
                    found.setdefault(service, f"{directory}/{name}")
            elif not is_link and name != "users":
                waiting.append(f"{directory}/{name}")
    return found


def _service_names(root: Root, path: str) -> list[str]:
    """What the file wants its service to be called."""
    try:
        text = root.read(path) or ""
    except (OSError, Unreadable):
        return []
    sections = syntax.parse(text, frozenset(("ServiceName",))).sections
    return [f"{value}.service" for section in sections for _, value, _ in section.assignments]


def tool(root: Root, name: str) -> str:
    for directory in TOOL_DIRECTORIES:
        if root.is_executable(f"{directory}/{name}"):
            return f"{directory}/{name}"
    return ""


def _resolve_programs(inventory: Inventory, root: Root, unit: Unit) -> None:
    """Look up the programs that the unit names without a slash, and the tool that keeps an argv[0] of their own."""
    search = execs.search_path(unit)
    for command in execs.all_commands(unit):
        if execs.is_renamed(command):
            for name in OPTIONAL_TOOLS:
                if name not in inventory.tools:
                    inventory.tools[name] = tool(root, name)
        if command.program.startswith("/") or (command.program, search) in inventory.programs:
            continue
        directories = search.split(":") if search else PROGRAM_PATH
        found = (f"{directory}/{command.program}" for directory in directories)
        inventory.programs[command.program, search] = next((p for p in found if root.is_executable(p)), "")


def _find_early(inventory: Inventory, units: Units) -> None:
    """Find the units that are ordered before what NAME.service waits for."""
    members = {unit.name: unit for unit in inventory.units.values() if unit is not None}
    ordered = {name for name in members if not name.endswith(".socket")}
    for target in sorted(EARLY):
        # A target comes after whatever it wants (systemd.target(5), "Default Dependencies"); sockets that join are
        # relieved of those.
        if target.endswith(".target"):
            for name in units.lookup.wanted_by(target, ordered):
                inventory.early.setdefault(name, (None, target))
    for name, unit in members.items():
        if name not in inventory.early:
            step = _before_namespace(units, unit)
            if step is not None:
                inventory.early[name] = step


def _before_namespace(units: Units, unit: Unit) -> tuple[Setting | None, str] | None:
    """Whether a unit's Before= leads to what NAME.service waits for: the setting that starts the chain, its end."""
    seen = {unit.name}
    chains = _before(unit)
    while chains:
        name, start = chains.pop()
        if name in EARLY:
            return start, name
        if name in seen or not names.kind(name):
            continue
        seen.add(name)
        following = units.load(name)
        if following is not None:
            chains += [(further, start) for further, _ in _before(following)]
    return None


def _before(unit: Unit) -> list[tuple[str, Setting]]:
    """The units that a unit is ordered before, with the setting that says so (an empty one resets the list)."""
    found: list[tuple[str, Setting]] = []
    for setting in unit.unit.get("Before", ()):
        found = found + [(name, setting) for name in setting.value.split()] if setting.value else []
    if unit.name.endswith(".socket"):
        # Comes before what it starts; systemd.socket(5).
        found.append((unit.started, Setting(unit.started, unit.path, 0)))
    return found
