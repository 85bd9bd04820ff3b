"""What to generate for pods. Loaded where there are any."""

from __future__ import annotations

from kubens import render
from kubens.finding import ERROR, NOTICE, WARNING, Finding
from kubens.pods.errors import ManifestError
from kubens.pods.host import HostPod
from kubens.pods.hostunits import pod_service, pod_target, record_name, record_unit, units_of
from kubens.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.config import Configuration
    from kubens.inventory import Inventory
    from kubens.lookup import Lookup
    from kubens.tree import Plan
    from kubens.units import Units

# Where generated units come to lie, before those of /usr and behind those of /etc and /run.
_BEHIND = ("/etc/", "/run/")
_OUTPUT = "/run/systemd/generator"


class Pods:
    """The inventory's part for pods. trees: one for each that can be made or lives, by name. findings: why not."""

    __slots__ = ("findings", "live", "trees")

    def __init__(self, units: Units, configuration: Configuration, live: Configuration, tools: dict[str, str]) -> None:
        self.findings: list[Finding] = []
        self.live = live.recorded_pods
        self.trees: dict[str, Tree] = {}
        owners: dict[str, str] = {}
        for namespace in (*configuration.mount_namespaces.values(), *live.mount_namespaces.values()):
            for unit in (namespace.unit, namespace.record_unit):
                owners[unit] = f"namespace {namespace.name}"
        # What lives comes first: it keeps its units, whoever claims the names now.
        for name in (*self.live, *(name for name in configuration.pods if name not in self.live)):
            pod = configuration.pods.get(name)
            made = self._units(pod, units.lookup, tools, owners) if pod is not None else None
            files = {**self.live.get(name, {}), **(made or {})}
            if not files:
                continue
            for unit, text in files.items():
                owners.setdefault(unit, f"pod {name}")
                units.define(unit, f"{_OUTPUT}/{unit}", text)
            self.trees[name] = _tree(name, pod if made else None, files, tools)

    def _units(
        self, pod: HostPod, lookup: Lookup, tools: dict[str, str], owners: dict[str, str]
    ) -> dict[str, str] | None:
        """The texts of the pod's units, by name; None where they cannot be made."""
        origin = render.text(pod.file, ())
        try:
            made = {unit.name: f"{origin}\n{unit.serialize()}" for unit in units_of(pod, tools)}
            self._check_programs(pod, lookup)
        except ManifestError as error:
            pod.findings.clear()
            pod.refuse(error)
            self.findings += pod.findings
            return None
        kept = {}
        for name, text in made.items():
            other = owners.get(name, f"pod {pod.name}")
            found = lookup.find(name)
            if other != f"pod {pod.name}":
                self._refuse(pod, name, f"{other} has a unit of this name: rename the app, or the pod")
                return None
            if found.startswith(_BEHIND):
                reason = f"exists already ({found}), and is used as it is: remove it to have it made by each reload"
                self.findings.append(Finding(WARNING, pod.file, 0, name, reason))
            elif found == "masked":
                self.findings.append(Finding(NOTICE, pod.file, 0, name, f"is masked: systemctl unmask {name}"))
            elif found:
                self._refuse(pod, name, f"exists already ({found}): rename the app, or the pod")
                return None
            else:
                kept[name] = text
        return kept

    def _check_programs(self, pod: HostPod, lookup: Lookup) -> None:
        for app in pod.apps:
            for command in (app.exec, *(command for _, command in app.handlers)):
                release = 0 if "/" in command[0] else lookup.release
                if 0 < release < 250:
                    reason = f"systemd {release} looks for {command[0]!r} on the host: write where the tree has it"
                    raise ManifestError(app.where, reason)

    def _refuse(self, pod: HostPod, unit: str, reason: str) -> None:
        reason += "; the pod is not made until this is mended"
        self.findings.append(Finding(ERROR, pod.file, 0, unit, reason))


def _tree(name: str, pod: HostPod | None, files: dict[str, str], tools: dict[str, str]) -> Tree:
    """pod: None where only what lives is to be kept."""
    tree = Tree(record_name(name))
    record = record_unit(name)
    tree.units.update((unit, files[unit]) for unit in sorted(files) if unit != record)
    if pod is not None and pod.start_at_boot:
        tree.links[f"multi-user.target.wants/{pod_target(name)}"] = f"../{pod_target(name)}"
    tree.seal()
    if pod is None or pod.recorded:
        tree.units[record] = render.record_service(tree.name, pod_service(name), tree.digest, tools)
    return tree


def add(made: Plan, inventory: Inventory, live_only: bool) -> None:
    """Add the trees of pods. live_only: nothing new, for a reason that was given already."""
    pods = inventory.pods
    assert pods is not None
    made.findings += pods.findings
    made.trees += [tree for name, tree in pods.trees.items() if name in pods.live or not live_only]
