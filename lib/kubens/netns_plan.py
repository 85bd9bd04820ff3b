"""What to generate for network namespaces: part of the plan, and as pure. Loaded where there are any."""

from __future__ import annotations

from kubens import config, names, netns, netns_units, render, wrap
from kubens.finding import ERROR, NOTICE, WARNING, Finding
from kubens.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.config import Configuration, Member, MountNamespace
    from kubens.inventory import Inventory
    from kubens.netns import NetworkNamespace, Networks
    from kubens.tree import Plan
    from kubens.units import Unit

_DROPIN = "zz-kubens-netns.conf"
# Sockets and daemons by which a name would be resolved with the host's network, whatever resolv.conf says.
_HOST_RESOLVERS = ("/run/nscd", "/run/systemd/resolve")
# Sockets come before sockets.target, and that before all that network namespaces wait for: not so those that join. The
# rest of their default dependencies, systemd.socket(5).
_LATE_SOCKET = [
    ("DefaultDependencies", "no"),
    ("Requires", "sysinit.target"),
    ("After", "sysinit.target"),
    ("Conflicts", "shutdown.target"),
    ("Before", "shutdown.target"),
]


def add(
    made: Plan,
    configuration: Configuration,
    inventory: Inventory,
    wrapped: dict[str, MountNamespace],
    live_only: bool,
) -> None:
    """Add a tree for each own type and each [NetworkNamespace].

    wrapped: by unit, who is in which mount namespace. live_only: nothing new, for a reason that was given already.
    """
    networks = inventory.networks
    assert networks is not None
    for kind in sorted(networks.types):
        if kind not in netns.SHIPPED:
            _add_type(made, kind, networks)
    joined: dict[str, str] = {}
    order = dict.fromkeys((*networks.live, *configuration.network_namespaces))
    for name in order:
        if live_only and name not in networks.live:
            continue
        namespace, mounts = configuration.network_namespaces.get(name), configuration.mount_namespaces.get(name)
        if namespace is not None and mounts is not None:
            reason = f"Name={name} is that of a mount namespace, too ({mounts.file}:{mounts.line}): rename one of them"
            made.findings.append(Finding(WARNING, namespace.file, namespace.line, "", reason))
        builder = _Builder(configuration, inventory, networks, wrapped, joined)
        tree = builder.build(name)
        made.findings += builder.findings
        if tree is not None:
            made.trees.append(tree)


def _add_type(made: Plan, kind: str, networks: Networks) -> None:
    path = networks.types[kind]
    tree = Tree(_type_tree(kind))
    for unit, text in netns_units.generated(kind, "" if path.startswith(config.LIVE) else path).items():
        found = networks.taken.get(unit)
        if found == "masked":
            made.findings.append(Finding(NOTICE, path, 0, unit, f"is masked: systemctl unmask {unit}"))
        elif found:
            reason = f"exists already ({found}), and is used as it is: remove it to have it made by each reload"
            made.findings.append(Finding(WARNING, path, 0, unit, reason))
        else:
            tree.units[unit] = text
    if tree.units:
        tree.seal()
        made.trees.append(tree)


def _type_tree(kind: str) -> str:
    return f"netns-{kind}"


class _Builder:
    """Makes the tree of one network namespace, or finds out why there can be none."""

    def __init__(
        self,
        configuration: Configuration,
        inventory: Inventory,
        networks: Networks,
        wrapped: dict[str, MountNamespace],
        joined: dict[str, str],
    ) -> None:
        self.findings: list[Finding] = []
        self._configuration = configuration
        self._inventory = inventory
        self._networks = networks
        self._wrapped = wrapped
        self._joined = joined
        # real names of services that are listed and stay outside
        self._refused: dict[str, None] = {}

    def build(self, name: str) -> Tree | None:
        live = self._networks.live.get(name)
        namespace = self._configuration.network_namespaces.get(name)
        if namespace is not None:
            self.findings += self._obstacles(namespace)
            hindered = self._configuration.netns_unreadable or any(f.severity == ERROR for f in self.findings)
            if hindered:
                reason = f"network namespace {name}: nothing joins it until this is mended"
                self.findings.append(Finding(ERROR, namespace.file, namespace.line, "", reason))
            if self.findings:
                namespace = None
        if namespace is None:
            # What lives goes on as it was, until it is stopped.
            namespace = live
        if namespace is None:
            return None
        members = {**(live.members if live else {}), **namespace.members}
        tree = Tree(namespace.record)
        # Sockets last: whether they join depends on what they start.
        order = sorted(members.values(), key=lambda member: names.suffix(member.unit) == "socket")
        kept = [member for member in order if self._add(namespace, member, live, tree)]
        tree.record = _section(namespace, kept)
        tree.needs = [_type_tree(kind) for kind in namespace.types]
        for before, unit in zip(namespace.units, namespace.units[1:]):
            text = render.text(f"{namespace.file}:{namespace.line}", (("Unit", [("After", before)]),))
            tree.add_dropin(unit, _DROPIN, text)
        if not namespace.types:
            # Of a namespace with types, people start and stop those.
            settings = [("RefuseManualStart", "no"), ("RefuseManualStop", "no")]
            text = render.text(f"{namespace.file}:{namespace.line}", (("Unit", settings),))
            tree.add_dropin(namespace.maker, _DROPIN, text)
        for target in namespace.wanted_by:
            for unit in namespace.units:
                tree.links[f"{target}.wants/{unit}"] = f"../{names.template_of(unit)}"
        tree.seal()
        if namespace.recorded:
            tree.units[namespace.record_unit] = render.record_service(
                namespace.record, namespace.maker, tree.digest, self._inventory.tools
            )
        return tree

    def _obstacles(self, namespace: NetworkNamespace) -> list[Finding]:
        """Why nothing can be generated for this namespace; a NOTICE where somebody wanted that."""
        networks, found = self._networks, []
        if networks.missing:
            reason = f"{' and '.join(networks.missing)} missing: install bash and iproute2"
            found.append(Finding(ERROR, namespace.file, namespace.line, "", reason))
        for kind, (file, line) in namespace.types.items():
            problem = self._bad_type(kind, namespace.name)
            # Of files that cannot be seen it was said already.
            if problem and not self._configuration.netns_unreadable:
                found.append(Finding(ERROR, file, line, "", f"Types={kind}: {problem}"))
        for unit in (namespace.maker, *namespace.units):
            if networks.taken.get(unit) == "masked":
                reason = f"is masked, so nothing joins network namespace {namespace.name}: systemctl unmask {unit}"
                found.append(Finding(NOTICE, namespace.file, namespace.line, unit, reason))
        if any(not file.name for file in networks.etc[namespace.name]):
            reason = "cannot be read, so what is to be bound over /etc is not known: mend that"
            found.append(Finding(ERROR, f"{netns.ETC}/{namespace.name}", 0, "", reason))
        path = networks.taken.get(namespace.record_unit)
        if path:
            reason = f"exists already ({path}): remove it"
            found.append(Finding(ERROR, namespace.file, namespace.line, namespace.record_unit, reason))
        return found

    def _bad_type(self, kind: str, name: str) -> str:
        configuration, directory = self._configuration, config.NETNS_DIRECTORY
        if kind not in netns.SHIPPED and kind not in configuration.netns_types:
            return f"there is no such type: write {directory}/{kind}.sh, or choose one of {' '.join(netns.SHIPPED)}"
        of_its_own = f"{kind}-{name}.conf" in configuration.netns_files
        if kind in netns.NEED_VARIABLES and not of_its_own and f"{kind}.conf" not in configuration.netns_files:
            return f"its variables are nowhere set: write {directory}/{kind}-{name}.conf"
        return ""

    def _add(self, namespace: NetworkNamespace, member: Member, live: NetworkNamespace | None, tree: Tree) -> bool:
        """Add the drop-ins for one member. False where it exists and cannot join."""
        inventory = self._inventory
        unit = inventory.units.get(member.unit)
        instances = [inventory.units.get(name) for name in inventory.instances.get(member.unit, ())]
        if unit is None and not any(instances):
            finding = inventory.absence(member, "not joined")
            self.findings.append(finding)
            return finding.severity != ERROR
        if unit is not None and self._joined.get(unit.name) == namespace.name:
            reason = "is listed already under another name: remove one"
            self.findings.append(Finding(WARNING, member.file, member.line, member.unit, reason))
            return True
        # An instance with files of its own may differ from its template.
        units = [one for one in instances if one is not None and one.name not in self._networks.members]
        if unit is not None:
            units.insert(0, unit)
        name = self._dropin_name(member.unit)
        is_live = live is not None and member.unit in live.members
        added = True
        for one in units:
            refusals = self._refusals(namespace, member, one)
            if not name:
                reason = "no drop-in can sort after this one: rename it"
                refusals.append(Finding(ERROR, one.dropins[-1] if one.dropins else one.path, 0, one.name, reason))
            early = self._inventory.early.get(one.name)
            if early is not None:
                from kubens import order

                self.findings.append(order.finding(one, early, "network namespaces wait", is_live))
            self.findings += refusals
            if (refusals or early) and not is_live:
                self._refused[one.name] = None
                added = False
                continue
            text = self._blocked(namespace, member, refusals) if refusals else self._dropin(namespace, member, one)
            self._joined[one.name] = namespace.name
            tree.add_dropin(one.name, name or _DROPIN, text)
        return added

    def _dropin_name(self, unit: str) -> str:
        """Sorts after every other drop-in of the unit but the one that wraps, which stays the last; "" for none.

        One for a template and its instances, so that theirs hide that of the template.
        """
        units = self._inventory.units
        template = names.template_of(unit)
        family = [unit, template, *self._inventory.instances.get(template, ())]
        name = wrap.dropin_name(wrap.last_dropin([one for one in map(units.get, family) if one is not None]))
        name = name and name[: -len("kubens.conf")] + _DROPIN[len("zz-") :]
        return name if len(name.encode("utf-8", "surrogateescape")) <= 255 else ""

    def _refusals(self, namespace: NetworkNamespace, member: Member, unit: Unit) -> list[Finding]:
        found = []
        declared = (member.file, member.line, unit.name)
        if unit.unreadable is not None:
            file, line, reason = unit.unreadable
            found.append(Finding(ERROR, file, line, unit.name, f"what systemd would run cannot be told: {reason}"))
        other = self._joined.get(unit.name)
        if other is not None:
            reason = f"has joined network namespace {other} already: it can be in one only, remove it from the other"
            found.append(Finding(ERROR, *declared, reason))
        for key, settings in (("NetworkNamespacePath", unit.service), ("JoinsNamespaceOf", unit.unit)):
            setting = settings[key][-1] if key in settings else None
            if setting is not None and setting.value not in ("", namespace.path):
                reason = f"{key}={setting.value} puts it into another network namespace: reset it in a drop-in"
                found.append(Finding(ERROR, setting.file, setting.line, unit.name, reason))
        if names.suffix(unit.name) == "socket":
            # With Accept=yes it is the template.
            for started in (unit.started, unit.started.replace(".service", "@.service")):
                if started in self._refused:
                    reason = f"listens for {started}, which cannot join: mend that, or remove both"
                    found.append(Finding(ERROR, *declared, reason))
        if self._etc(namespace, unit):
            found += self._etc_refusals(namespace, member, unit)
        return found

    def _etc(self, namespace: NetworkNamespace, unit: Unit) -> list[netns.EtcFile]:
        """What to bind over /etc; sockets read nothing there."""
        return self._networks.etc.get(namespace.name, []) if names.suffix(unit.name) == "service" else []

    def _etc_refusals(self, namespace: NetworkNamespace, member: Member, unit: Unit) -> list[Finding]:
        found = []
        declared = (member.file, member.line, unit.name)
        directory = f"{netns.ETC}/{namespace.name}"
        mount_namespace = self._mount_namespace(unit)
        if mount_namespace is not None:
            reason = (
                f"is in mount namespace {mount_namespace.name}, where nothing can be bound for it alone: "
                f"remove it there, or empty {directory}"
            )
            found.append(Finding(ERROR, *declared, reason))
        for key in ("RootDirectory", "RootImage", "RootMStack"):
            if unit.last(key) not in ("", "/"):
                setting = unit.service[key][-1]
                reason = (
                    f"{key}={setting.value} has an /etc of its own: put what is in {directory} there, and empty that"
                )
                found.append(Finding(ERROR, setting.file, setting.line, unit.name, reason))
        for file in self._etc(namespace, unit):
            if not netns.can_be_bound(file):
                reason = (
                    f"cannot be bound over {file.place or '/etc'} for {unit.name}: make that file, or rename this one"
                )
                found.append(Finding(ERROR, f"{directory}/{file.name}", 0, unit.name, reason))
        return found

    def _mount_namespace(self, unit: Unit) -> MountNamespace | None:
        return self._wrapped.get(unit.name) or self._wrapped.get(names.template_of(unit.name))

    def _bond(self, namespace: NetworkNamespace) -> list[tuple[str, str]]:
        """After and with the namespace as it is configured, which is more than that it is there."""
        units = " ".join(namespace.units)
        bond = [("BindsTo", units), ("After", units)]
        if namespace.recorded:
            bond += [("Wants", namespace.record_unit), ("After", namespace.record_unit)]
        return bond

    def _dropin(self, namespace: NetworkNamespace, member: Member, unit: Unit) -> str:
        settings = [("NetworkNamespacePath", namespace.path)]
        if names.suffix(unit.name) == "socket":
            sections = (("Unit", [*_LATE_SOCKET, *self._bond(namespace)]), ("Socket", settings))
            return render.text(f"{member.file}:{member.line}", sections)
        if self._mount_namespace(unit) is not None:
            # From 257 on it would get a mount namespace of its own otherwise.
            settings.append(("PrivateMounts", "no"))
        covered: dict[str, None] = {}
        for file in self._etc(namespace, unit):
            if netns.is_volatile(file.place):
                covered[file.place.rpartition("/")[0]] = None
        settings += [("TemporaryFileSystem", f"{directory}:ro") for directory in covered]
        for file in self._etc(namespace, unit):
            settings.append(("BindReadOnlyPaths", f"{netns.ETC}/{namespace.name}/{file.name}:{file.place}"))
            if file.name == "resolv.conf":
                settings += [("InaccessiblePaths", f"-{path}") for path in _HOST_RESOLVERS if path not in covered]
        return render.text(f"{member.file}:{member.line}", (("Unit", self._bond(namespace)), ("Service", settings)))

    def _blocked(self, namespace: NetworkNamespace, member: Member, refusals: list[Finding]) -> str:
        """While the namespace lives, a member that cannot join any more must not start outside."""
        reason = (
            f"kept from starting outside network namespace {namespace.name}: {refusals[0]}; mend it, or: "
            f"systemctl stop {' '.join(namespace.units)}"
        )
        from kubens import failures

        settings = failures.blocked(reason, self._inventory.tools)
        if names.suffix(member.unit) == "socket":
            unit = [*_LATE_SOCKET, *self._bond(namespace)]
            sections = (("Unit", unit), ("Socket", [pair for pair in settings if "Pre" in pair[0]]))
        else:
            sections = (("Unit", self._bond(namespace)), ("Service", settings))
        return render.text(f"{member.file}:{member.line}", sections)


def _section(namespace: NetworkNamespace, members: list[Member]) -> str:
    """The [NetworkNamespace] section that says what this namespace is, for the record."""
    lines = ["[NetworkNamespace]", f"Name={namespace.name}", "Types=" + " ".join(namespace.types)]
    lines += [f"Services={member.unit}" for member in members]
    lines.append("WantedBy=" + " ".join(namespace.wanted_by))
    return "\n".join(lines) + "\n"
