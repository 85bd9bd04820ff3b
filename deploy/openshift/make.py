"""Writes the manifests for OpenShift from what the generator is made of: make.py DIRECTORY. `make deploy` runs it."""

from __future__ import annotations

import os
import sys

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(CHECKOUT, "lib"))

from kubens import render  # noqa: E402
from kubens.config import MountNamespace  # noqa: E402
from kubensctl.formats import Json, ignition, yaml_text  # noqa: E402
from kubensctl.static import Static, StaticUnit  # noqa: E402

ROLES = ("worker", "master")
# Both enter by themselves when $KUBENSMNT says where: the kubelet in the wrapper that OpenShift starts it in.
MEMBERS = ("crio.service", "kubelet.service")
HEADER = "# Made by `make deploy`; a change here is lost. ../README.md says how to apply it.\n"
KUBENSENTER = "/usr/local/bin/kubensenter"
# What people's scripts call where the container-mount-namespace additions were.
HELPERS = ("nsenterCmns", "nsenterCms")
HELPER = f"""\
#!/bin/sh
# Runs a command, or a shell, where the containers' mounts are.
exec {KUBENSENTER} --quiet -- "$@"
"""


def static() -> Static:
    made = Static()
    namespace = MountNamespace("kubens", "", 0)
    # A node whose namespace cannot be made is to come up all the same, as it would without.
    namespace.when_missing = "host"
    namespace.recorded = False
    wanted_by = ["multi-user.target"]
    text = _headed(render.mount_namespace_service("kubens", MEMBERS, namespace.when_missing))
    made.units[namespace.unit] = StaticUnit(text + "\n[Install]\nWantedBy=multi-user.target\n", wanted_by=wanted_by)
    for member in MEMBERS:
        sections = (("Unit", render.dependencies(namespace)), ("Service", render.environment(namespace)))
        made.unit(member).dropins["20-kubens.conf"] = _headed(render.text("", sections))
    with open(f"{CHECKOUT}/bin/kubensenter", encoding="utf-8") as kubensenter:
        made.files[KUBENSENTER] = (0o755, kubensenter.read())
    for name in HELPERS:
        made.files[f"/usr/local/bin/{name}"] = (0o755, HELPER)
    return made


def _headed(text: str) -> str:
    return "# Part of kubens, from deploy/openshift.\n" + text.partition("\n")[2]


def manifests() -> dict[str, Json]:
    """Each file's content by its path."""
    found: dict[str, Json] = {
        "base/machineconfig.yaml": {
            "apiVersion": "machineconfiguration.openshift.io/v1",
            "kind": "MachineConfig",
            "metadata": {"name": "kubens"},
            "spec": {"config": ignition.configuration(static())},
        },
        "base/kustomization.yaml": _kustomization({"resources": ["machineconfig.yaml"]}),
        "kustomization.yaml": _kustomization({"bases": list(ROLES)}),
    }
    for role in ROLES:
        # Not `resources` and `labels`: kubectl before 1.21 knows neither for this.
        settings = {
            "namePrefix": f"99-{role}-",
            "commonLabels": {"machineconfiguration.openshift.io/role": role},
            "bases": ["../base"],
        }
        found[f"{role}/kustomization.yaml"] = _kustomization(settings)
    return found


def _kustomization(settings: Json) -> Json:
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **settings}


def main(directory: str) -> None:
    for path, content in manifests().items():
        os.makedirs(os.path.dirname(f"{directory}/{path}"), exist_ok=True)
        with open(f"{directory}/{path}", "w", encoding="utf-8") as file:
            file.write(HEADER + yaml_text.document(content))


if __name__ == "__main__":
    main(sys.argv[1])
