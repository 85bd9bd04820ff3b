"""The manifests of pods: /etc/kubens/pods/NAME.json, and the units of those that live. Loaded where there are any."""

from __future__ import annotations

from kubens import names as unit_names
from kubens.config import FINDINGS_MAX, LIVE, PODS_DIRECTORY
from kubens.files import in_byte_order, why
from kubens.finding import ERROR, WARNING, Finding
from kubens.pods.host import HostPod, bad_pod_name
from kubens.pods.hostread import read
from kubens.pods.hostunits import record_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.config import Configuration
    from kubens.files import Root

# Kubernetes itself takes no larger object.
SIZE_MAX = 1536 * 1024


def load(configuration: Configuration, root: Root) -> None:
    """Read every manifest."""
    findings = configuration.findings
    try:
        names = root.names(PODS_DIRECTORY)
    except OSError as error:
        findings.append(Finding(ERROR, PODS_DIRECTORY, 0, "", f"cannot be read: {why(error)}"))
        return
    for file in in_byte_order(names):
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
    except OSError as error:
        pod.findings.append(Finding(ERROR, path, 0, "", f"cannot be read, ignored: {why(error)}"))
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
        for unit in in_byte_order(root.names(directory)):
            if unit_names.kind(unit):
                found[unit] = root.read(f"{directory}/{unit}") or ""
    except OSError as error:
        live.findings.append(Finding(ERROR, directory, 0, "", f"cannot be read: {why(error)}"))
        live.unreadable = True
