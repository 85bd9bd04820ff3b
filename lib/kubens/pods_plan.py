"""Pods: /etc/kubens/pods/NAME.json read, and what to generate for them. Loaded where there are any."""

from __future__ import annotations

from kubens import names as unit_names
from kubens import plan, render
from kubens.config import FINDINGS_MAX, LIVE, PODS_DIRECTORY
from kubens.files import Unreadable, byte_order
from kubens.finding import ERROR, NOTICE, WARNING, Finding
from kubens.plan import Tree
from kubens.pods.errors import ManifestError
from kubens.pods.host import HostPod, bad_pod_name
from kubens.pods.hostread import read
from kubens.pods.hostunits import pod_service, pod_target, record_name, record_unit, units_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.config import Configuration
    from kubens.files import Root
    from kubens.inventory import Inventory
    from kubens.lookup import Lookup
    from kubens.plan import Plan
    from kubens.units import Units

# Kubernetes itself takes no larger object.
SIZE_MAX = 1536 * 1024
# Where generated units come to lie, before those of /usr and behind those of /etc and /run.
_BEHIND = ("/etc/", "/run/")
_OUTPUT = "/run/systemd/generator"


def load(configuration: Configuration, root: Root) -> None:
    """Read every manifest."""
    findings = configuration.findings
    try:
        names = root.names(PODS_DIRECTORY)
    except (OSError, Unreadable) as error:
        findings.append(Finding(ERROR, PODS_DIRECTORY, 0, "", f"cannot be read: {error}"))
        return
    for file in sorted(names, key=byte_order):
        if not file.startswith("."):
            _load_file(configuration, root, file)


def _load_file(configuration: Configuration, root: Root, file: str) -> None:
    path = f"{PODS_DIRECTORY}/{file}"
    name, _, suffix = file.rpartition(".")
    if suffix in ("yaml", "yml"):
        reason = "is no JSON, ignored: convert it, as `kubectl create --dry-run=client -o json -f` does"
        configuration.findings.append(Finding(WARNING, path, 0, "", reason))
    if suffix != "json":
        return
    if root.link(path) == "/dev/null":
        return
    pod, made = read_file(root, name, path)
    said = pod.findings
    if len(said) > FINDINGS_MAX:
        # The refusal, which is last, is worth more than the rest.
        more = len(said) - FINDINGS_MAX + 1
        reason = f"{more} more findings like these: kubensctl pod check {path}"
        said = [*said[: FINDINGS_MAX - 2], Finding(WARNING, path, 0, "", reason), said[-1]]
    configuration.findings += said
    if made:
        configuration.pods[name] = pod


def read_file(root: Root, name: str, path: str) -> tuple[HostPod, bool]:
    """The pod of a file, and whether it can be made; it says itself why not."""
    pod = HostPod(name, path)
    problem = bad_pod_name(name)
    if problem:
        reason = f"the name {name} {problem}, ignored: rename the file"
        pod.findings.append(Finding(ERROR, path, 0, "", reason))
        return pod, False
    try:
        text = root.read(path, SIZE_MAX)
    except (OSError, Unreadable) as error:
        pod.findings.append(Finding(ERROR, path, 0, "", f"cannot be read, ignored: {error}"))
        return pod, False
    if text is None:
        pod.findings.append(Finding(ERROR, path, 0, "", "a link to nothing, ignored: mend it, or link it to /dev/null"))
        return pod, False
    return read(name, path, text)


def load_live(live: Configuration, root: Root, name: str) -> None:
    """Note the units that a living pod was made of."""
    directory = f"{LIVE}/{record_name(name)}/units"
    found = live.recorded_pods[name] = {}
    try:
        for unit in sorted(root.names(directory), key=byte_order):
            if unit_names.kind(unit):
                found[unit] = root.read(f"{directory}/{unit}") or ""
    except (OSError, Unreadable) as error:
        live.findings.append(Finding(ERROR, directory, 0, "", f"cannot be read: {error}"))
        live.unreadable = True


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
                release = 0 if "/" in command[0] else lookup.release()
                if 0 < release < 250:
                    reason = f"systemd {release} looks for {command[0]!r} on the host: write where the tree has it"
                    raise ManifestError(app.where, reason)

    def _refuse(self, pod: HostPod, unit: str, reason: str) -> None:
        reason += "; the pod is not made until this is mended"
        self.findings.append(Finding(ERROR, pod.file, 0, unit, reason))


def _tree(name: str, pod: HostPod | None, files: dict[str, str], tools: dict[str, str]) -> Tree:
    """pod: None where only what lives is to be kept."""
    tree = Tree(record_name(name), "")
    record = record_unit(name)
    tree.files.update((unit, files[unit]) for unit in sorted(files) if unit != record)
    if pod is not None and pod.start_at_boot:
        tree.links[f"multi-user.target.wants/{pod_target(name)}"] = f"../{pod_target(name)}"
    tree.digest = plan.digest(tree)
    if pod is None or pod.recorded:
        tree.files[record] = render.record_service(tree.name, pod_service(name), tree.digest, tools)
    return tree


def add(made: Plan, inventory: Inventory, live_only: bool) -> None:
    """Add the trees of pods. live_only: nothing new, for a reason that was given already."""
    pods = inventory.pods
    assert pods is not None
    made.findings += pods.findings
    made.trees += [tree for name, tree in pods.trees.items() if name in pods.live or not live_only]
