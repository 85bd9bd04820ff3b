"""A wrong configuration never makes a node worse: each of these is booted.

`make check` boots each on one release, all of them taking turns; `make check-releases` (KUBENS_BROKEN=all) on all.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from kubens_machine import install, service, whereabouts
from machine import Machine, lowers

CONF = "/etc/kubens/services.conf"
UNITS = "/etc/systemd/system"
WRAP = "[MountNamespace]\nWrap=a b\n"
NETWORK = "[NetworkNamespace]\nName=blue\nServices=a b\n"


def dropin(text: str, unit: str = "b.service") -> dict[str, str]:
    return {CONF: WRAP, f"{UNITS}/{unit}.d/50-broken.conf": text}


def sandboxed(*settings: str) -> dict[str, str]:
    return dropin("[Service]\n" + "".join(f"{setting}\n" for setting in settings))


# name → (files, words that the finding must hold). Services a and b are declared by each, and must run on the host.
BROKEN: dict[str, tuple[dict[str, str], str]] = {
    "binary": ({CONF: "\x7fELF\0\0\n" + WRAP}, "binary data"),
    "no section header": ({CONF: "[MountNamespace\nWrap=a b\n"}, "invalid section header"),
    "a half line and a bad section": ({CONF: WRAP + "[Mou"}, "invalid section header"),
    "no UTF-8": ({CONF: WRAP + "Env=\udcff\n"}, "not valid UTF-8"),
    "a name with a slash": ({CONF: "[MountNamespace]\nName=../../etc\nWrap=a b\n"}, "not a plain unit name"),
    "a name of somebody else's directory": ({CONF: "[MountNamespace]\nName=systemd\nWrap=a b\n"}, "is taken"),
    "a name that ends in -record": ({CONF: "[MountNamespace]\nName=x-record\nWrap=a b\n"}, "is taken"),
    "a name of an existing unit": ({CONF: "[MountNamespace]\nName=other\nWrap=a b\n"}, "exists already"),
    "a name of 220 characters": ({CONF: f"[MountNamespace]\nName={'n' * 220}\nWrap=a b\n"}, "longer than"),
    "another generator's service": ({CONF: WRAP + "Wrap=sysv\n", "/etc/init.d/sysv": "#!/bin/sh\n"}, "generator"),
    "PrivateTmp=": (sandboxed("PrivateTmp=yes"), "PrivateTmp="),
    "ProtectSystem=": (sandboxed("ProtectSystem=full"), "ProtectSystem="),
    "BindPaths=": (sandboxed("BindPaths=/srv"), "BindPaths="),
    "ReadOnlyPaths=": (sandboxed("ReadOnlyPaths=/srv"), "ReadOnlyPaths="),
    "MountFlags=": (sandboxed("MountFlags=slave"), "MountFlags="),
    "LogNamespace=": (sandboxed("LogNamespace=x"), "LogNamespace="),
    "ProtectHome=": (sandboxed("ProtectHome=yes"), "ProtectHome="),
    "PrivateDevices=": (sandboxed("PrivateDevices=yes"), "PrivateDevices="),
    "TemporaryFileSystem=": (sandboxed("TemporaryFileSystem=/srv"), "TemporaryFileSystem="),
    "User=": (sandboxed("User=nobody"), "User="),
    "DynamicUser=": (sandboxed("DynamicUser=yes"), "DynamicUser="),
    "CapabilityBoundingSet=": (sandboxed("CapabilityBoundingSet=CAP_CHOWN"), "CapabilityBoundingSet="),
    "RestrictNamespaces=": (sandboxed("RestrictNamespaces=yes"), "RestrictNamespaces="),
    "SystemCallFilter=": (sandboxed("SystemCallFilter=~setns"), "SystemCallFilter="),
    "ordered before the network": (dropin("[Unit]\nBefore=network.target\n"), "ordered before network.target"),
    "a program that is nowhere": (sandboxed("ExecStart=", "ExecStart=-no-such-program"), "nowhere in the search path"),
    "nsenter written by hand": (
        sandboxed("ExecStart=", "ExecStart=-/usr/bin/nsenter --mount=/run/kubens/mnt /bin/sleep 9"),
        "enters by itself",
    ),
    "its own sandbox": (
        {CONF: WRAP, f"{UNITS}/kubens.service.d/x.conf": "[Service]\nPrivateTmp=yes\n"},
        "PrivateTmp=",
    ),
    "in two namespaces": (
        {CONF: "[MountNamespace]\nName=one\nWrap=a b c-user\n[MountNamespace]\nName=two\nWrap=a b\n"},
        "User=",
    ),
    "an unknown type": ({CONF: NETWORK + "Types=nothing\n"}, "there is no such type"),
    "a type without its variables": ({CONF: NETWORK + "Types=veth\n"}, "variables are nowhere set"),
    "a network namespace with a slash": ({CONF: NETWORK.replace("blue", "../blue")}, "letters and digits"),
    "a network namespace without a name": ({CONF: NETWORK.replace("Name=blue\n", "")}, "is missing"),
    "half a pod": ({CONF: "", "/etc/kubens/pods/half.json": '{"acVersion": "0.8.11", "acKi'}, "half.json"),
    "a pod of nothing": ({CONF: "", "/etc/kubens/pods/none.json": '{"kind": "Pod"}'}, "none.json"),
    "a drop-in that cannot be read": ({CONF: WRAP, f"{UNITS}/b.service.d/x.conf/file": ""}, "is a directory"),
}


def test_a_wrong_configuration_never_makes_a_node_worse(machine: Callable[..., Machine], lower: str) -> None:
    assert len(BROKEN) == 36
    turns = lowers()
    # Where there is one release alone, half of them.
    step = 1 if os.environ.get("KUBENS_BROKEN") == "all" else max(len(turns), 2)
    chosen = list(BROKEN)[turns.index(lower) % step :: step]
    node = machine(lower)
    install(node)
    for name in ("a", "b", "other"):
        service(
            node, f"{name}.service", "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n"
        )
        node.link(f"{UNITS}/multi-user.target.wants/{name}.service", f"../{name}.service")
    service(node, "c-user.service", "User=nobody\nExecStart=/bin/sleep 1000")
    node.write(CONF, "")
    node.boot()
    before = node.show("a.service", "ExecStart", "DropInPaths", "Requires", "After")["DropInPaths"]
    for name in chosen:
        files, words = BROKEN[name]
        for path, text in files.items():
            node.write(path, text)
        node.kill()
        node.boot()
        state = node.systemctl("is-active", "multi-user.target", check=False).stdout.strip()
        assert (name, state) == (name, "active")
        places = whereabouts(node, "a", "b", "other")
        assert (name, places[0], places[2]) == (name, "host", "host")
        # With a sandbox of its own it is elsewhere, as without us; a program that is nowhere does not run.
        assert places[1] in ("host", "elsewhere", "inactive"), (name, places)
        assert node.show("a.service", "DropInPaths")["DropInPaths"] == before, name
        failed = node.systemctl("--failed", "--no-legend", "--plain").stdout
        assert failed.split()[:1] == ["kubens-problems.service"], (name, failed)
        status = node.systemctl("status", "kubens-problems.service", check=False).stdout
        assert words in status, (name, status)
        for path in files:
            node.run("rm", "-rf", path[: -len("/file")] if path.endswith("/file") else path)
