"""Kubernetes' Container Runtime Interface, as kubelet speaks it to a container runtime. Debian has no crictl."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import json_format

_MESSAGES, _ = grpc.protos_and_services("node/cri.proto")
_METHODS = _MESSAGES.DESCRIPTOR.services_by_name["RuntimeService"].methods_by_name


class Runtime:
    """A connection to a runtime's socket. Requests and answers are dictionaries, with the names of cri.proto."""

    def __init__(self, socket: str) -> None:
        # Go's library refuses the name that this one would make of the socket's path.
        self._channel = grpc.insecure_channel(f"unix://{socket}", options=[("grpc.default_authority", "localhost")])

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *exception: object) -> None:
        self._channel.close()

    def call(self, name: str, **request: Any) -> dict[str, Any]:
        """Raises grpc.RpcError."""
        method = _METHODS[name]
        call = self._channel.unary_unary(
            f"/{method.containing_service.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=getattr(_MESSAGES, method.output_type.name).FromString,
        )
        message = json_format.ParseDict(request, getattr(_MESSAGES, method.input_type.name)())
        # A runtime that starts is waited for.
        answer = call(message, timeout=60, wait_for_ready=True)
        result: dict[str, Any] = json_format.MessageToDict(answer, preserving_proto_field_name=True)
        return result

    def is_ready(self) -> bool:
        """Whether it takes pods, with a network."""
        try:
            return all(one.get("status") for one in self.call("Status")["status"]["conditions"])
        except grpc.RpcError:
            return False  # its socket is there before it is

    def remove(self, pod: str) -> None:
        """A pod by its identity, with its containers."""
        self.call("StopPodSandbox", pod_sandbox_id=pod)
        self.call("RemovePodSandbox", pod_sandbox_id=pod)

    def pod(
        self, name: str, privileged: bool = False, network: str = "POD", cgroup_parent: str = "", handler: str = ""
    ) -> Pod:
        """A pod sandbox that runs.

        privileged: containers in it may be. network: NODE for the host's. cgroup_parent: a slice, or a path for a
        handler that makes control groups by itself. handler: one of the runtimes that are configured.
        """
        metadata = {"name": name, "uid": f"uid-{name}", "namespace": "default"}
        security = {"privileged": privileged, "namespace_options": {"network": network}}
        config = {
            "metadata": metadata,
            "hostname": name if network == "POD" else "",
            "log_directory": f"/var/log/pods/{name}",
            "linux": {"cgroup_parent": cgroup_parent, "security_context": security},
        }
        answer = self.call("RunPodSandbox", config=config, runtime_handler=handler)
        return Pod(self, config, answer["pod_sandbox_id"])


class Pod:
    def __init__(self, runtime: Runtime, config: dict[str, Any], identity: str) -> None:
        self._runtime = runtime
        self._config = config
        self.identity = identity

    @property
    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self._runtime.call("PodSandboxStatus", pod_sandbox_id=self.identity)["status"]
        return answer

    def container(
        self,
        name: str,
        *command: str,
        mounts: list[dict[str, Any]] | None = None,
        resources: dict[str, Any] | None = None,
        **security: Any,
    ) -> str:
        """The identity of a container that runs. `security` is its LinuxContainerSecurityContext."""
        config = {
            "metadata": {"name": name},
            "image": {"image": "localhost/busybox:1"},
            "command": command,
            "mounts": mounts or [],
            "log_path": f"{name}.log",
            "linux": {"resources": resources or {}, "security_context": security},
        }
        request = {"pod_sandbox_id": self.identity, "config": config, "sandbox_config": self._config}
        identity: str = self._runtime.call("CreateContainer", **request)["container_id"]
        self._runtime.call("StartContainer", container_id=identity)
        return identity

    def remove(self) -> None:
        """With its containers."""
        self._runtime.remove(self.identity)


def wait_for(condition: Callable[[], bool]) -> None:
    """For programs in a virtual machine, which emulates a processor: it takes its time."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.2)
    raise TimeoutError


def execute(runtime: Runtime, container: str, *command: str) -> str:
    """What a command writes that is run in a container. Raises AssertionError where it fails."""
    answer = runtime.call("ExecSync", container_id=container, cmd=command, timeout=20)
    output = base64.b64decode(answer.get("stdout", "")).decode()
    errors = base64.b64decode(answer.get("stderr", "")).decode()
    assert not answer.get("exit_code"), f"{command}: {output}{errors}"
    return output
