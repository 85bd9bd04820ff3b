"""A DaemonSet that puts the files on each node of a kind: for nodes that Kubernetes reaches and nobody else."""

from __future__ import annotations

from kubensctl.formats import Json, Options, yaml_text
from kubensctl.formats.units import files
from kubensctl.static import DIRECTORY, MARK, Static

SUMMARY = "a ConfigMap and a DaemonSet"
NAME, NAMESPACE = "kubens-compiled", "kube-system"
# Any that has a shell and nsenter(1).
IMAGE = "docker.io/library/debian:stable-slim"

# $0 is MARK, $1 are the units to enable, then come the paths. What an earlier one of us left and we do not is removed.
# No service is restarted: what is declared takes effect when it starts next.
_SCRIPT = f"""\
set -eu
enabled=$1
shift
on_node() {{ nsenter --target=1 --mount -- "$@"; }}
for path; do
    mkdir -p "/host${{path%/*}}"
    cp -L "/files$path" "/host$path.new"
    mv "/host$path.new" "/host$path"
done
for file in /host{DIRECTORY}/*.service /host{DIRECTORY}/*.d/*.conf; do
    grep -qs "^$0" "$file" || continue
    case " $* " in *" ${{file#/host}} "*) ;; *) rm -f "$file" ;; esac
done
on_node systemctl daemon-reload
on_node systemctl enable $enabled
touch /tmp/ready
trap exit TERM
sleep infinity & wait
"""


def text(static: Static, options: Options) -> str:
    return "---\n".join(map(yaml_text.document, manifests(static)))


def manifests(static: Static) -> list[Json]:
    found = files(static)
    keys = {path: f"file-{number}" for number, path in enumerate(found)}
    enabled = " ".join(name for name, unit in static.units.items() if unit.wanted_by)
    metadata = {"name": NAME, "namespace": NAMESPACE}
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {keys[path]: content for path, (_, content) in found.items()},
    }
    labels = {"app.kubernetes.io/name": NAME}
    items = [{"key": keys[path], "path": path[1:], "mode": mode} for path, (mode, _) in found.items()]
    container = {
        "name": "node",
        "image": IMAGE,
        "command": ["sh", "-c", _SCRIPT, MARK, enabled, *found],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}},
        "securityContext": {"privileged": True},
        "volumeMounts": [{"name": "host", "mountPath": "/host"}, {"name": "files", "mountPath": "/files"}],
    }
    pod = {
        "hostPID": True,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [container],
        "volumes": [
            {"name": "host", "hostPath": {"path": "/"}},
            {"name": "files", "configMap": {"name": NAME, "items": items}},
        ],
    }
    daemonset = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }
    return [config, daemonset]
