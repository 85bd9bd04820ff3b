"""What to generate: configuration and inventory in, files and findings out. Reads nothing, writes nothing."""

from __future__ import annotations

from kubens import escape, execs, names, render, sandbox, wrap
from kubens.config import LIVE, WRAP, MountNamespace
from kubens.finding import ERROR, NOTICE, WARNING, Finding
from kubens.tree import Plan, Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.config import Configuration, Member
    from kubens.inventory import Inventory
    from kubens.units import Unit


def plan(configuration: Configuration, inventory: Inventory) -> Plan:
    """The units for everything configured, and for what lives although it is configured no more."""
    made = Plan()
    made.findings += configuration.findings
    missing = inventory.missing
    if missing and (configuration.mount_namespaces or configuration.network_namespaces or configuration.pods):
        reason = f"{', '.join(missing)} missing, nothing is generated: install util-linux and coreutils"
        made.findings.append(Finding(ERROR, "", 0, "", reason))
    if inventory.unreadable:
        path, reason = inventory.unreadable
        reason = f"cannot be read, so what systemd would run cannot be told, nothing is generated: {reason}"
        made.findings.append(Finding(ERROR, path, 0, "", reason))
    owners: dict[str, MountNamespace] = {}
    order = [*configuration.mount_namespaces, *sorted(set(inventory.live) - set(configuration.mount_namespaces))]
    # What lives comes first: it keeps its members, whoever claims them now.
    order.sort(key=lambda name: name not in inventory.live)
    for name in order:
        live = inventory.live.get(name)
        if (missing or inventory.unreadable) and live is None:
            continue
        configured = configuration.mount_namespaces.get(name)
        namespace = _merged(configured, live) if live else configured
        assert namespace is not None
        builder = _Builder(namespace, live, inventory, owners)
        tree = builder.build()
        made.findings += builder.findings
        if tree is not None:
            made.trees.append(tree)
    if inventory.networks is not None:
        from kubens import netns_plan

        netns_plan.add(made, configuration, inventory, owners, live_only=bool(missing or inventory.unreadable))
    if inventory.pods is not None:
        from kubens import pods_plan

        pods_plan.add(made, inventory, live_only=bool(missing or inventory.unreadable))
    return made


def _merged(configured: MountNamespace | None, live: MountNamespace) -> MountNamespace:
    """A living namespace keeps the members it was started with, and follows its configuration otherwise."""
    if configured is None:
        return live
    merged = MountNamespace(configured.name, configured.file, configured.line)
    merged.commands_given = configured.commands_given
    merged.when_missing = configured.when_missing
    merged.allow_sandbox_loss = configured.allow_sandbox_loss
    merged.members = {**live.members, **configured.members}
    return merged


class _Builder:
    """Makes the tree of one namespace, or finds out why there can be none."""

    def __init__(
        self,
        namespace: MountNamespace,
        live: MountNamespace | None,
        inventory: Inventory,
        owners: dict[str, MountNamespace],
    ) -> None:
        self.findings: list[Finding] = []
        self._namespace = namespace
        self._live = live
        self._inventory = inventory
        self._owners = owners
        self._wrapper = wrap.Wrapper(namespace, inventory)
        self._tree = Tree(namespace.name)
        # the real names of units: all that were looked at, with the names that brought them; those that are members
        self._tried: dict[str, str] = {}
        self._members: dict[str, None] = {}

    def build(self) -> Tree | None:
        namespace = self._namespace
        for finding in self._own_obstacles():
            self.findings.append(finding)
            if self._live is None:
                return None
        # Templates first, which bring their instances along.
        templates = [name for name in namespace.members if "@" in name and names.kind(name) == names.TEMPLATE]
        order = dict.fromkeys((*templates, *namespace.members))
        refused = {name for name in order if not self._add(namespace.members[name])}
        if refused and self._live is None:
            reason = f"namespace {namespace.name}: none of its services is wrapped until this is mended"
            self.findings.append(Finding(ERROR, namespace.file, namespace.line, "", reason))
            return None
        tools = self._inventory.tools
        members = [member for name, member in namespace.members.items() if name not in refused]
        tree = self._tree
        tree.record = render.namespace_conf(namespace, members)
        origin = f"{namespace.file}:{namespace.line}" if namespace.file else ""
        if namespace.file.startswith(LIVE) or not namespace.recorded:
            origin = ""
        # What masks or replaces NAME.service takes effect once it is stopped; until then its stop commands are needed.
        hidden = self._live is not None and namespace.unit in self._inventory.taken
        into = tree.early if hidden else tree.units
        into[namespace.unit] = render.mount_namespace_service(
            namespace.name, self._members, namespace.when_missing, origin, tools, namespace.recorded
        )
        tree.seal()
        if namespace.recorded:
            record = render.record_service(namespace.name, namespace.unit, tree.digest, tools)
            tree.units[namespace.record_unit] = record
        tree.links[f"multi-user.target.wants/{namespace.unit}"] = f"../{namespace.unit}"
        return tree

    def _own_obstacles(self) -> list[Finding]:
        """Why NAME.service itself cannot be generated."""
        namespace, inventory = self._namespace, self._inventory
        where = (namespace.file, namespace.line, namespace.unit)
        path = inventory.taken.get(namespace.unit)
        if path == "masked":
            return [Finding(NOTICE, *where, f"is masked, so nothing is wrapped: systemctl unmask {namespace.unit}")]
        for unit in (namespace.unit, namespace.record_unit):
            path = inventory.taken.get(unit)
            if path:
                reason = f"exists already ({path}): remove it, or choose another Name="
                return [Finding(ERROR, namespace.file, namespace.line, unit, reason)]
        if namespace.when_missing == "host" and not inventory.kubensenter:
            reason = (
                "WhenMissing=host needs kubensenter(1), which is not installed: install it, or set WhenMissing=fail"
            )
            return [Finding(ERROR, *where, reason)]
        for obstacle in sandbox.obstacles(inventory.services[namespace.unit]):
            setting = obstacle.setting
            reason = f"{obstacle.key}={setting.value} {obstacle.reason}: reset it in a drop-in of {namespace.unit}"
            return [Finding(ERROR, setting.file, setting.line, namespace.unit, reason)]
        return []

    def _add(self, member: Member) -> bool:
        """Add the drop-ins for one member. False where it exists and cannot be one."""
        inventory = self._inventory
        unit = inventory.units.get(member.unit)
        units = [] if unit is None else [unit]
        for instance in inventory.instances.get(member.unit, ()):
            one = inventory.units.get(instance)
            if one is not None:
                units.append(one)
        if not units:
            finding = inventory.absence(member, "not wrapped")
            self.findings.append(finding)
            return finding.severity != ERROR
        if unit is not None and unit.name in self._tried and names.kind(self._tried[unit.name]) != names.TEMPLATE:
            reason = f"is the same as {self._tried[unit.name]}, which is listed already: remove one"
            self.findings.append(Finding(WARNING, member.file, member.line, member.unit, reason))
        # An instance with files of its own does not follow its template. Its drop-in hides the template's, by the name.
        new = [one for one in units if one.name not in self._tried]
        last = wrap.last_dropin(new)
        name = wrap.dropin_name(last)
        added = True
        for one in new:
            self._tried[one.name] = member.unit
            declared = self._namespace.members.get(one.name, member)
            added &= self._add_unit(one, declared, name, last, one is not unit)
        return added

    def _add_unit(self, unit: Unit, member: Member, name: str, last: str, of_template: bool) -> bool:
        """Add the drop-in for one unit.

        name: what to call it, "" where that is not possible because of the drop-in `last`. of_template: whether its
        template's would apply.
        """
        other = self._owners.get(unit.name)
        if other is None and "@" in unit.name:
            other = self._owners.get(names.template_of(unit.name))
        if other is not None and other.name != self._namespace.name:
            reason = (
                f"is a member of namespace {other.name} already: a service can be in one only, remove it from the other"
            )
            self.findings.append(Finding(ERROR, member.file, member.line, member.unit, reason))
            return False
        by_systemd = execs.refused_by_systemd(unit)
        if by_systemd is not None and not (unit.unreadable or execs.untold(unit)):
            file, line, reason = by_systemd
            reason = f"systemd itself does not load it, not wrapped: {reason}; mend that"
            self.findings.append(Finding(WARNING, file, line, unit.name, reason))
            if of_template:
                # Its template's drop-in must not make it loadable.
                self._tree.add_dropin(unit.name, name or wrap.DROPIN, render.text("", ()))
            return True
        refusals = wrap.refusals(unit, member.mode, self._namespace, self._inventory)
        text = ""
        if not name:
            reason = "no drop-in can sort after this one: rename it"
            refusals.append(Finding(ERROR, last, 0, unit.name, reason))
        if not refusals:
            try:
                text = self._wrapper.dropin(unit, member)
            except escape.Unwritable as error:
                refusals.append(Finding(ERROR, unit.path, 0, unit.name, f"{error}: mend that"))
        self.findings += refusals
        is_live = self._live is not None and member.unit in self._live.members
        early = self._inventory.early.get(unit.name)
        if early is not None:
            from kubens import order

            self.findings.append(order.finding(unit, early, f"{self._namespace.unit} waits", is_live))
        if (refusals or early) and not is_live:
            return False
        if refusals:
            text = self._blocked(member, refusals)
        else:
            if self._namespace.allow_sandbox_loss:
                self.findings += wrap.losses(unit, member.mode, self._namespace)[1]
            if member.mode == WRAP:
                self.findings += self._inventory.domains.get(unit.name, ())
        self._owners[unit.name] = self._namespace
        self._members[unit.name] = None
        self._tree.add_dropin(unit.name, name or wrap.DROPIN, text)
        return True

    def _blocked(self, member: Member, refusals: list[Finding]) -> str:
        """While the namespace lives, a member that cannot get in any more must not start outside."""
        name = self._namespace.name
        reason = (
            f"kept from starting outside namespace {name}: {refusals[0]}; mend it, or: systemctl stop {name}.service"
        )
        from kubens import failures

        blocked = failures.blocked(reason, self._inventory.tools)
        return render.text(f"{member.file}:{member.line}", (("Service", blocked),), self._wrapper.bond)
