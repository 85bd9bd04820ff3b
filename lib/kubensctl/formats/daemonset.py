"""A DaemonSet that puts the files on each node of a kind: for nodes that Kubernetes reaches and nobody else."""

from __future__ import annotations

from kubensctl import carried
from kubensctl.drift import MARK
from kubensctl.drift import NAME as CHECK
from kubensctl.formats import Json, Options, yaml_text
from kubensctl.formats.units import files
from kubensctl.static import DIRECTORY, Static

SUMMARY = "a ConfigMap and a DaemonSet"
NAME, NAMESPACE = "kubens-compiled", "kube-system"
# Any that has a shell, nsenter(1) and curl(1).
IMAGE = "docker.io/library/buildpack-deps:stable-curl"
# What lives stays as it is until the next boot: its units then are behind those of /etc, their programs here.
KEPT, KEPT_UNITS = "/run/kubens-compiled", "/run/systemd/system"

# $0 is MARK, $1 are the units to enable, then come the paths. What an earlier one of us left and we do not is removed.
# No service is restarted: what is declared takes effect when it starts next. An update, a drain and the node's own end
# look the same to a pod as a deletion: the API server knows. Who cannot be reached says nothing, and who may not ask
# any more has lost that right, and its account, to a deletion.
_SCRIPT = f"""\
set -eu
enabled=$1
shift
on_node() {{ nsenter --target=1 --mount -- "$@" </dev/null; }}
ours() {{
    for file in /host{DIRECTORY}/* /host{DIRECTORY}/*.d/*.conf; do
        ! grep -qs "^$0" "$file" || printf '%s\\n' "${{file#/host}}"
    done
    find /host{carried.DIRECTORY} -type f 2>/dev/null | sed 's|^/host||'
}}
withdraw() {{
    directory=${{1%/*}} kept={KEPT_UNITS}${{1#{DIRECTORY}}}
    case $directory in
        {carried.DIRECTORY}*) ;;
        *)
            [ "$directory" != {DIRECTORY} ] || on_node systemctl disable "${{1##*/}}"
            mkdir -p "/host${{kept%/*}}" /host{KEPT}
            cp -R /host{carried.DIRECTORY}/. /host{KEPT} 2>/dev/null || :
            sed 's|{carried.DIRECTORY}/|{KEPT}/|g' "/host$1" >"/host$kept"
            ;;
    esac
    rm -f "/host$1"
    [ "$directory" = {DIRECTORY} ] || rmdir "/host$directory" 2>/dev/null || :
}}
install() {{
    for path; do
        mkdir -p "/host${{path%/*}}"
        cp -L "/files$path" "/host$path.new"
        mv "/host$path.new" "/host$path"
    done
    ours | while read -r path; do
        case " $* " in *" $path "*) ;; *) withdraw "$path" ;; esac
    done
    on_node systemctl daemon-reload
    # shellcheck disable=SC2086 # Names of units.
    on_node systemctl enable $enabled
}}
is_deleted() {{
    account=/var/run/secrets/kubernetes.io/serviceaccount
    server=$KUBERNETES_SERVICE_HOST
    case $server in *:*) server="[$server]" ;; esac
    for _ in 1 2 3 4 5; do
        status=$(echo "header = \\"Authorization: Bearer $(cat $account/token)\\"" |
            curl --config - --silent --cacert $account/ca.crt --max-time 2 --output /tmp/answer \\
                --write-out '%{{http_code}}' \\
                "https://$server:$KUBERNETES_SERVICE_PORT/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/{NAME}") || :
        case $status in
            200) ! grep -q '"deletionTimestamp"' /tmp/answer || return 0; return 1 ;;
            401 | 403 | 404) return 0 ;;
        esac
        sleep 2
    done
    return 1
}}
end() {{
    if is_deleted; then
        ours | while read -r path; do withdraw "$path"; done
        rm -f /host{KEPT_UNITS}/{CHECK}
        rmdir /host{carried.DIRECTORY} /host{carried.DIRECTORY.rpartition("/")[0]} 2>/dev/null || :
        on_node systemctl daemon-reload
        echo "removed; what lives stays as it is until the next boot"
    fi
    exit 0
}}
trap end TERM
install "$@"
touch /tmp/ready
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
        "serviceAccountName": NAME,
        # To ask the node's own systemd, and to be there while the node has no pod network.
        "hostPID": True,
        "hostNetwork": True,
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
    return [*_access(metadata), config, daemonset]


def _access(metadata: Json) -> list[Json]:
    """To look at the DaemonSet, and to do nothing else."""
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": ["apps"], "resources": ["daemonsets"], "resourceNames": [NAME], "verbs": ["get"]}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}],
        },
    ]
