"""Which programs SELinux would run in another domain because nsenter(1) is put in front of them.

SELinux decides at execve(2), by the domain of the process and the type of the file. A service's program is executed by
PID 1; that of a wrapped service by what PID 1 executed instead. Where the kernel may be asked what its policy makes of
that, it is asked. A generator that the policy confines may not, and a tree has no kernel: there, different types are
all that can be told.
"""

from __future__ import annotations

import posix

from kubens import execs, unplain, wrap
from kubens.config import WRAP
from kubens.finding import WARNING, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.command import Command
    from kubens.config import MountNamespace
    from kubens.files import Root
    from kubens.inventory import Inventory
    from kubens.units import Setting, Unit

FILE_SYSTEM = "/sys/fs/selinux"
# A context is no longer than the page that the kernel writes it to.
_CONTEXT_MAX = 4096


class Start:
    """A command whose program is of another type than what is executed in its place, as SELinux starts it.

    setting: where it stands. program, front: paths, of the program and of what is executed in its place. types: of
    these two files. before, after: the contexts that the program would run in, without us and wrapped; entered: that of
    what executes it then. They are "" where the kernel could not be asked.
    """

    __slots__ = ("after", "before", "entered", "front", "program", "setting", "types")

    def __init__(self, setting: Setting, program: str, front: str, types: tuple[str, str]) -> None:
        self.setting = setting
        self.program = program
        self.front = front
        self.types = types
        self.before = ""
        self.entered = ""
        self.after = ""

    @property
    def keeps_domain(self) -> bool:
        return self.before != "" and self.before == self.after

    def finding(self, unit: Unit) -> Finding:
        if self.before:
            before, after = domain(self.before), domain(self.after)
            if before == after:
                before, after = self.before, self.after
            reason = (
                f"SELinux runs {self.program} as {before}, and as {after} with {self.front} in front of it: load the "
                f"policy that `kubensctl selinux` writes, or list it in Env= if it can enter by itself"
            )
        else:
            reason = (
                f"{self.program} is {self.types[0]} for SELinux and {self.front}, which is put in front of it, "
                f"{self.types[1]}: the service may run in another domain; kubensctl check, where it runs, asks"
            )
        return Finding(WARNING, self.setting.file, self.setting.line, unit.name, reason)


def look(root: Root, inventory: Inventory, namespace: MountNamespace) -> None:
    """Note what there is to say of a namespace's members."""
    for member in namespace.members.values():
        for name in (member.unit, *inventory.instances.get(member.unit, ())):
            unit = inventory.units.get(name)
            if unit is not None and member.mode == WRAP and unit.name not in inventory.domains:
                found = starts(root, inventory, unit, namespace)
                inventory.domains[unit.name] = [start.finding(unit) for start in found if not start.keeps_domain]


def starts(root: Root, inventory: Inventory, unit: Unit, namespace: MountNamespace) -> list[Start]:
    """One for each command that is wrapped, and whose domain is a question."""
    found = []
    for key in namespace.wrap_commands:
        for command, setting in execs.located(unit, key):
            start = _start(root, inventory, unit, namespace, command, setting)
            if start is not None:
                found.append(start)
    return found


def _start(
    root: Root, inventory: Inventory, unit: Unit, namespace: MountNamespace, command: Command, setting: Setting
) -> Start | None:
    program = command.program
    if not program.startswith("/"):
        program = inventory.programs.get((program, unplain.search_path(unit)), "")
    front = wrap.fronts(command, unit, namespace, inventory)
    labels = [label(root, path) for path in (*front, program)]
    types = domain(labels[-1]), domain(labels[0])
    if not all(types) or types[0] == types[1]:
        return None
    made = Start(setting, program, front[0], types)
    if not root.path:
        try:
            first = read("/proc/1/attr/current")
            before = executed(first, labels[-1:])
            entered = executed(first, labels[:-1])
            made.before, made.entered, made.after = before, entered, executed(entered, labels[-1:])
        except OSError:
            pass
    return made


def domain(context: str) -> str:
    """The type in a context, which is USER:ROLE:TYPE[:LEVEL]; "" where there is none."""
    fields = context.split(":")
    return fields[2] if len(fields) > 2 else ""


def label(root: Root, path: str) -> str:
    """The context that a file is labelled with, "" where it has none."""
    try:
        found = posix.getxattr(root.path + root.follow(path), "security.selinux")
    except OSError:
        return ""
    return found.rstrip(b"\0").decode("utf-8", "replace")


def executed(context: str, labels: list[str]) -> str:
    """The context of a process that has executed files with these labels, one after the other. Raises OSError."""
    for file in labels:
        context = created(context, file, "process")
    return context


def created(context: str, target: str, kind: str) -> str:
    """The context of a new object of a class, made by a process below or of something with a label. Raises OSError."""
    return ask("create", f"{context} {target} {read(f'{FILE_SYSTEM}/class/{kind}/index')}")


def ask(file: str, question: str) -> str:
    """What the kernel answers through a file of selinuxfs. Raises OSError."""
    descriptor = posix.open(f"{FILE_SYSTEM}/{file}", posix.O_RDWR | posix.O_CLOEXEC)
    try:
        posix.write(descriptor, question.encode())
        return _text(posix.read(descriptor, _CONTEXT_MAX))
    finally:
        posix.close(descriptor)


def read(path: str) -> str:
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        return _text(posix.read(descriptor, _CONTEXT_MAX))
    finally:
        posix.close(descriptor)


def _text(answer: bytes) -> str:
    return answer.rstrip(b"\0\n").decode("utf-8", "replace")
