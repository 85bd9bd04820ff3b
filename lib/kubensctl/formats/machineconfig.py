"""A MachineConfig: OpenShift's Machine Config Operator brings it to the nodes of a pool, one after another."""

from __future__ import annotations

from kubensctl.formats import Json, Options, ignition, yaml_text
from kubensctl.static import Static

SUMMARY = "a MachineConfig of OpenShift"


def text(static: Static, options: Options) -> str:
    return yaml_text.document(manifest(static, options.role))


def manifest(static: Static, role: str) -> Json:
    return {
        "apiVersion": "machineconfiguration.openshift.io/v1",
        "kind": "MachineConfig",
        "metadata": {
            # Of those that set the same, the last in the order of names counts.
            "name": f"99-kubens-{role}",
            "labels": {"machineconfiguration.openshift.io/role": role},
        },
        "spec": {"config": ignition.configuration(static)},
    }
