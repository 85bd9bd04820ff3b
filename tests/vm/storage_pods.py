"""In a virtual machine: a storage driver's container mounts two file systems of a server; two other pods write to one.

Of those systemd knows the control groups of the first, and not of the second.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from node import cri

# As kubelet makes slices: no defaults, by which systemd would stop them at a shutdown.
SLICE = (
    *("busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"),
    *("StartTransientUnit", "ssa(sv)a(sa(sv))"),
)
NO_DEFAULTS = ("fail", "1", "DefaultDependencies", "b", "false", "0")
SOCKET = "/run/containerd/containerd.sock"
OPTIONS = "vers=4.2,nosharecache,addr=192.0.2.2,clientaddr=192.0.2.1"
MOUNT = "mount -t nfs4 -o {} 192.0.2.2:/{} /volumes/{}"
WRITE = "while :; do echo x >>/data/{}; sleep 0.1; done"
# As kubelet asks for them: the command is process 1, which SIGTERM does not end.
OWN = {"namespace_options": {"pid": "CONTAINER"}}


def main() -> None:
    for name in ("kubepods", "kubepods-driver", "kubepods-application"):
        subprocess.run([*SLICE, f"{name}.slice", *NO_DEFAULTS], check=True, stdout=subprocess.DEVNULL)
    with cri.Runtime(SOCKET) as runtime:
        cri.wait_for(runtime.is_ready)
        pod = runtime.pod("driver", privileged=True, network="NODE", cgroup_parent="kubepods-driver.slice")
        volumes = {"container_path": "/volumes", "host_path": "/srv/volumes"}
        volumes["propagation"] = "PROPAGATION_BIDIRECTIONAL"
        driver = pod.container("driver", "sleep", "1000", mounts=[volumes], privileged=True, **OWN)
        for name in ("idle", "busy"):
            cri.execute(runtime, driver, "sh", "-euc", MOUNT.format(OPTIONS, name, name))
        data = {"container_path": "/data", "host_path": "/srv/volumes/busy"}
        for name, handler, parent in (
            ("application", "", "kubepods-application.slice"),
            ("unknown", "cgroupfs", "/kubepods/unknown"),
        ):
            application = runtime.pod(name, cgroup_parent=parent, handler=handler)
            application.container("writer", "sh", "-c", WRITE.format(name), mounts=[data], **OWN)
            cri.wait_for(Path("/srv/export/busy", name).exists)


main()
