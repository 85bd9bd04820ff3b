"""Which programs SELinux would start in another domain, because they are wrapped."""

from __future__ import annotations

import os

from kubens import execs
from kubens.config import MountNamespace
from kubens.files import Root
from kubens.finding import WARNING, Finding
from kubens.units import Unit
from kubensctl.planning import Planned


def findings(planned: Planned, unit: Unit, namespace: MountNamespace) -> list[Finding]:
    """SELinux moves a process into a domain when PID 1 executes a file of a certain type; now that is nsenter."""
    found: list[Finding] = []
    if not planned.root.path and not os.path.exists("/sys/fs/selinux/enforce"):
        return found
    front = "/usr/bin/nsenter"
    if namespace.when_missing == "host":
        front = planned.inventory.kubensenter or front
    new = _file_type(planned.root, front)
    for key in namespace.wrap_commands:
        for command in execs.commands(unit, key):
            program = command.program
            if not program.startswith("/"):
                program = planned.inventory.programs.get((program, execs.search_path(unit)), "")
            old = _file_type(planned.root, program)
            if old and new and old != new:
                reason = (
                    f"{program} is {old} for SELinux and {front}, which is put in front of it, {new}: the service may "
                    f"run in another domain; look with ps -Z, or list it in Env= if it can enter by itself"
                )
                found.append(Finding(WARNING, command.file, command.line, unit.name, reason))
    return found


def _file_type(root: Root, path: str) -> str:
    """The SELinux type that a file is labelled with, "" where it has none: USER:ROLE:TYPE[:LEVEL]."""
    try:
        label = os.getxattr(root.path + root.follow(path), "security.selinux")
    except OSError:
        return ""
    fields = label.rstrip(b"\0").decode("utf-8", "replace").split(":")
    return fields[2] if len(fields) > 2 else ""
