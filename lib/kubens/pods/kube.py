"""A v1 Pod of Kubernetes, in JSON, as a pod of this host: what of it means something without a kubelet.

A field that nothing here asks for is not honoured; hostread says so of each.
"""

from __future__ import annotations

from kubens.pods.errors import ManifestError, PodError
from kubens.pods.escape import is_ac_name
from kubens.pods.host import (
    CAPABILITIES,
    EMPTY,
    HOST,
    INIT,
    MEMORY,
    SIDECAR,
    HostApp,
    HostMount,
    HostPod,
    HostVolume,
    defaults,
    percent,
)
from kubens.pods.jsonscan import Number
from kubens.pods.jsontext import Members
from kubens.pods.quantity import ID_MAX, Quantity
from kubens.pods.targets import located_target, overlap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.pods.jsontext import Node

_RESTARTS = {"Always": "always", "OnFailure": "on-failure", "Never": "no"}
# hostPath.type, and how kubens-pod calls it.
_PATH_TYPES = {
    "": "any",
    "Directory": "directory",
    "DirectoryOrCreate": "directory-or-create",
    "File": "file",
    "FileOrCreate": "file-or-create",
    "Socket": "socket",
    "CharDevice": "character-device",
    "BlockDevice": "block-device",
}
# What describes the object, to Kubernetes itself or to others, and asks for nothing.
_DESCRIPTIONS = ("labels", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink")
_GRACE = 30  # seconds, as of Kubernetes


def read(node: Node, pod: HostPod) -> dict[str, str]:
    """Fill the pod from its manifest; its annotations. Raises ManifestError."""
    version = node.need("apiVersion")
    if version.string() != "v1":
        raise version.refuse("must be v1")
    node.need("kind")
    node.skip("status")
    annotations = _metadata(node, pod)
    spec = node.need("spec")
    for name in ("hostNetwork", "hostPID"):
        # What they ask for is so.
        spec.get(name)
    restart = _choice(spec, "restartPolicy", _RESTARTS, "Always")
    grace = spec.get("terminationGracePeriodSeconds")
    seconds = grace.integer(0, 10**6) if grace else _GRACE
    volumes = _volumes(spec)
    common = spec.get("securityContext")
    containers = spec.items("containers")
    if not containers:
        raise ManifestError("$.spec.containers", "is empty")
    for stage, items in (("init", spec.items("initContainers")), ("main", containers)):
        for item in items:
            app = _container(pod, item, volumes, common)
            app.grace = seconds
            if stage == "main":
                app.restart = restart
            elif _choice(item, "restartPolicy", {"Always": SIDECAR}, INIT) == SIDECAR:
                app.stage, app.restart = SIDECAR, "always"
            else:
                app.stage = INIT
            if any(app.name == other.name for other in pod.apps):
                raise ManifestError(f"{item.path}.name", f"{app.name!r} is there twice")
            pod.apps.append(app)
    _give_to_group(common, pod)
    for volume, where in volumes.values():
        if volume.name not in pod.volumes:
            pod.warn(where, "no container mounts it")
    return annotations


def _choice(node: Node, name: str, values: dict[str, str], default: str) -> str:
    """What the member's word stands for; what `default` does, or else the default itself, where it is not there."""
    member = node.get(name)
    if member is None:
        return values.get(default, default)
    word = member.string()
    if word not in values:
        raise member.refuse(f"{word!r} is not one of {' '.join(filter(None, values))}")
    return values[word]


def _metadata(node: Node, pod: HostPod) -> dict[str, str]:
    metadata = node.get("metadata")
    if metadata is None:
        return {}
    for name in _DESCRIPTIONS:
        metadata.skip(name)
    name_node = metadata.get("name")
    if name_node is not None and name_node.string() != pod.name:
        pod.warn(name_node.path, f"is not honoured: the pod is named {pod.name}, as its file is")
    annotations = metadata.get("annotations")
    if annotations is None:
        return {}
    if not isinstance(annotations.value, Members):
        raise annotations.refuse("must be an object")
    found = {}
    for key in annotations.value:
        value = annotations.get(key)
        if value is not None:
            found[key] = value.string()
    return found


def _name(node: Node) -> str:
    name = node.need("name")
    if not is_ac_name(name.string()):
        raise name.refuse(f"{name.string()!r} is no name: lower-case letters, digits and inner dashes")
    return name.string()


def _volumes(spec: Node) -> dict[str, tuple[HostVolume, str]]:
    """All volumes, with their places. One of a kind that needs a cluster is refused by what mounts it."""
    found: dict[str, tuple[HostVolume, str]] = {}
    for item in spec.items("volumes"):
        name = _name(item)
        if name in found:
            raise ManifestError(f"{item.path}.name", f"{name!r} is there twice")
        found[name] = (_volume(item, name), item.path)
    return found


def _volume(item: Node, name: str) -> HostVolume:
    host, empty = item.get("hostPath"), item.get("emptyDir")
    if host is not None:
        path = host.need("path")
        if not path.string().startswith("/"):
            raise path.refuse("is not absolute")
        volume = HostVolume(name, HOST, located_target(path.string(), path.path))
        volume.must_be = _choice(host, "type", _PATH_TYPES, "")
        return volume
    if empty is None:
        return HostVolume(name, "")
    volume = HostVolume(name, EMPTY)
    volume.mode = 0o777
    medium, limit = empty.get("medium"), empty.get("sizeLimit")
    if medium is not None and medium.string() not in ("", "Memory"):
        raise medium.refuse(f"{medium.string()!r} is not Memory")
    if limit is not None:
        volume.size = _quantity(limit).value
        if volume.size == 0:
            raise limit.refuse("is zero")
    if limit is not None or (medium is not None and medium.string()):
        # Only there the kernel holds it to a size.
        volume.kind = MEMORY
    return volume


def _quantity(node: Node) -> Quantity:
    text = str(node.value) if isinstance(node.value, Number) else node.string()
    try:
        return Quantity(text)
    except PodError as error:
        raise node.refuse(str(error)) from None


def _container(pod: HostPod, item: Node, volumes: dict[str, tuple[HostVolume, str]], common: Node | None) -> HostApp:
    app = HostApp(_name(item), item.path)
    item.get("image")  # its tree is put in place by `kubensctl pod prepare`
    _security(pod, app, item.get("securityContext"), common)
    app.environment = defaults(app.uid)
    _environment(app, item)
    command, arguments = (
        [expand(word.string(), app.environment) for word in item.items(name)] for name in ("command", "args")
    )
    if not command:
        reason = "is missing: what the image would run is not known at boot, so it must be said here"
        raise ManifestError(f"{item.path}.command", reason)
    app.exec = command + arguments
    directory = item.get("workingDir")
    if directory is not None and directory.value != "":
        app.directory = directory.string()
        if not app.directory.startswith("/"):
            raise directory.refuse("is not absolute")
    _ports(pod, item)
    _resources(pod, app, item.get("resources"))
    _lifecycle(app, item.get("lifecycle"))
    _mounts(pod, app, item, volumes)
    return app


def _environment(app: HostApp, item: Node) -> None:
    for variable in item.items("env"):
        name = variable.need("name").string()
        value = variable.get("value")
        if value is None and isinstance(variable.value, Members) and "valueFrom" in variable.value:
            continue  # which nothing asks for
        app.environment[name] = expand(value.string(), app.environment) if value else ""


def expand(text: str, variables: dict[str, str]) -> str:
    """Kubernetes' $(NAME): a variable that is there; $$ is a dollar. Everything else is as it stands."""
    done = []
    while True:
        before, dollar, text = text.partition("$")
        done.append(before)
        if not dollar:
            return "".join(done)
        if text.startswith("$"):
            done.append("$")
            text = text[1:]
        elif text.startswith("(") and ")" in text:
            name, _, text = text[1:].partition(")")
            done.append(variables.get(name, f"$({name})"))
        else:
            done.append("$")


def _security(pod: HostPod, app: HostApp, own: Node | None, common: Node | None) -> None:
    def first(name: str) -> Node | None:
        found = [context.get(name) for context in (own, common) if context is not None]
        return next((node for node in found if node is not None), None)

    def yes(context: Node | None, name: str) -> bool:
        node = context.get(name) if context is not None else None
        return node is not None and node.boolean()

    user, group, not_root = first("runAsUser"), first("runAsGroup"), first("runAsNonRoot")
    if user is not None:
        app.uid = user.integer(0, ID_MAX)
    else:
        pod.note(f"{app.where}.securityContext.runAsUser", "is not set: as root, whatever user the image names")
    app.gid = group.integer(0, ID_MAX) if group is not None else 0
    if not_root is not None and not_root.boolean() and app.uid == 0:
        raise not_root.refuse("is set, and runAsUser is 0 or not set: say which user it is")
    if common is not None:
        app.groups = [item.integer(0, ID_MAX) for item in common.items("supplementalGroups")]
        fs_group = common.get("fsGroup")
        if fs_group is not None:
            app.groups.append(fs_group.integer(0, ID_MAX))
    app.privileged = yes(own, "privileged")
    app.read_only_root = yes(own, "readOnlyRootFilesystem")
    escalation = own.get("allowPrivilegeEscalation") if own is not None else None
    app.no_new_privileges = escalation is not None and not escalation.boolean()
    capabilities = own.get("capabilities") if own is not None else None
    if capabilities is not None:
        app.capabilities = _capabilities(capabilities)
    if app.privileged:
        app.capabilities = None
    elif escalation is not None and escalation.boolean() and app.uid != 0:
        # systemd implies NoNewPrivileges= for whoever is not root and has PrivateDevices= (247 to 262).
        pod.warn(escalation.path, "is not honoured for a user that is not root, but in a privileged container")


def _capabilities(node: Node) -> tuple[str, ...] | None:
    """Those that are left, None for all."""
    added, dropped = (_capability_names(node, name) for name in ("add", "drop"))
    if "CAP_ALL" in added:
        return None
    kept = [] if "CAP_ALL" in dropped else [name for name in CAPABILITIES if name not in dropped]
    return tuple(dict.fromkeys(kept + added))


def _capability_names(node: Node, member: str) -> list[str]:
    found = []
    for item in node.items(member):
        name = item.string().upper()
        if not name.replace("_", "").isalnum() or not name.isascii():
            raise item.refuse(f"{name!r} is no capability such as NET_ADMIN")
        found.append(name if name.startswith("CAP_") else f"CAP_{name}")
    return found


def _ports(pod: HostPod, item: Node) -> None:
    for port in item.items("ports"):
        number = port.need("containerPort").integer(1, 65535)
        for name in ("name", "protocol"):
            port.get(name)
        host = port.get("hostPort")
        if host is not None and host.integer(0, 65535) not in (0, number):
            pod.warn(host.path, f"is not honoured: the container has the host's network, and port {number}")


def _resources(pod: HostPod, app: HostApp, node: Node | None) -> None:
    limits = node.get("limits") if node is not None else None
    requests = node.get("requests") if node is not None else None
    if limits is not None:
        cpu, memory = limits.get("cpu"), limits.get("memory")
        if cpu is not None:
            app.cpu = percent(_quantity(cpu).milli, cpu.path)
        if memory is not None:
            app.memory = _quantity(memory).value
            if app.memory == 0:
                raise memory.refuse("systemd takes no limit of zero bytes and would set none")
    if requests is not None:
        cpu, memory = requests.get("cpu"), requests.get("memory")
        if cpu is not None:
            # As the kubelet makes shares of it, and runc a weight.
            shares = min(max(_quantity(cpu).milli * 1024 // 1000, 2), 262144)
            app.weight = 1 + (shares - 2) * 9999 // 262142
        if memory is not None:
            pod.warn(memory.path, "is not honoured: only a scheduler has use for it")


def _lifecycle(app: HostApp, node: Node | None) -> None:
    for name, setting in (("postStart", "ExecStartPost"), ("preStop", "ExecStop")):
        event = node.get(name) if node is not None else None
        action = event.get("exec") if event is not None else None
        if action is not None:
            command = [word.string() for word in action.items("command")]
            if not command:
                raise ManifestError(f"{action.path}.command", "is empty")
            app.handlers.append((setting, command))


def _mounts(pod: HostPod, app: HostApp, item: Node, volumes: dict[str, tuple[HostVolume, str]]) -> None:
    for mount in item.items("volumeMounts"):
        name, path = mount.need("name"), mount.need("mountPath")
        if name.string() not in volumes:
            raise name.refuse(f"no volume is named {name.string()!r}")
        volume, where = volumes[name.string()]
        if not volume.kind:
            raise ManifestError(where, "is neither a hostPath nor an emptyDir: without a cluster there are no others")
        for part in ("subPath", "subPathExpr"):
            below = mount.get(part)
            if below is not None and below.value != "":
                raise below.refuse("is not supported: what a volume holds may be links to anywhere; mount all of it")
        read_only = mount.get("readOnly")
        made = HostMount(
            volume,
            located_target(path.string(), path.path),
            read_only is not None and read_only.boolean(),
            mount.path,
        )
        propagation = mount.get("mountPropagation")
        if propagation is not None and propagation.string() != "None":
            made.propagation = "rslave"
            if propagation.string() != "HostToContainer":
                reason = "is honoured as HostToContainer: what is mounted inside stays inside"
                pod.warn(propagation.path, reason, "write that")
        pod.volumes[volume.name] = volume
        app.mounts.append(made)
    found = overlap([(made.path, made.where) for made in app.mounts])
    if found is not None:
        raise found


def _give_to_group(common: Node | None, pod: HostPod) -> None:
    """fsGroup: the pod's own volumes belong to that group, and so does what is made in them."""
    group = common.get("fsGroup") if common is not None else None
    if group is not None:
        for volume in pod.volumes.values():
            if volume.kind != HOST:
                volume.gid = group.integer(0, ID_MAX)
                volume.mode = 0o2777
