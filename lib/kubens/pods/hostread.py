"""Reads a pod's manifest, of either form, for the host to run it."""

from __future__ import annotations

from kubens import syntax
from kubens.pods.errors import ManifestError, PodError
from kubens.pods.host import HostPod, check, located
from kubens.pods.jsonscan import Pairs
from kubens.pods.jsontext import check as check_json
from kubens.pods.jsontext import load, unasked

# Whether the pod is started at boot: a boolean, as in unit files.
START_AT_BOOT = "kubens/start-at-boot"


def read(name: str, file: str, text: str) -> tuple[HostPod, bool]:
    """The pod, with all there is to say about it, and whether it can be made."""
    pod = HostPod(name, file, text)
    try:
        _read(pod, text)
        check(pod)
    except PodError as error:
        pod.refuse(located(error, "$"))
        return pod, False
    return pod, True


def _read(pod: HostPod, text: str) -> None:
    document = load(text)
    kinds = dict(document) if isinstance(document, Pairs) else {}
    kubernetes = "kind" in kinds
    node = check_json(document, any_case=not kubernetes)
    if kubernetes:
        kind = node.need("kind")
        if kind.string() != "Pod":
            raise kind.refuse("is not Pod: take the pod out of it, as `kubectl get pod -o json` shows it")
        from kubens.pods import kube

        annotations = kube.read(node, pod)
    else:
        from kubens.pods import appc

        annotations = appc.read(node, pod)
    start = annotations.get(START_AT_BOOT)
    if start is not None:
        answer = syntax.boolean(start)
        if answer is None:
            where = "$.metadata.annotations" if kubernetes else "$.annotations"
            raise ManifestError(where, f"{START_AT_BOOT} is {start!r}, which is neither yes nor no")
        pod.start_at_boot = answer
    for path in unasked(node):
        pod.warn(path, "is not honoured")
