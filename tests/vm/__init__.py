"""Virtual machines, for what those of machine.py lack: a kernel of their own, /dev/kmsg, controllers of cgroups.

`make check-vm` makes their trees. machine.py puts a test's files over one; it is booted here, and not there.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from machine import CHECKOUT, Machine, MachineError

TREES = CHECKOUT / os.environ.get("KUBENS_VMS", "build/vms")
TIMEOUT = 600
QEMU = (
    # Where KVM is not to be had, or hangs, as it does inside of other virtual machines.
    *("setpriv", "--pdeathsig=KILL", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"),
    *("-smp", "2", "-m", "1G", "-display", "none", "-nic", "none", "-no-reboot"),
)
UNIT = """\
[Unit]
After=multi-user.target
SuccessAction={}
FailureAction=poweroff-force

[Service]
Type=oneshot
ExecStart=/bin/sh /root/question
"""
# The kernel has the console; the answer gets a port of its own, once there is no job but this one.
BEGIN = """\
exec >/dev/ttyS1 2>&1
while [ "$(systemctl show --property=NJobs --value)" != 1 ]; do sleep 0.2; done
"""
END = "that is all\n"


@dataclass
class Run:
    """A boot and its end.

    said: what the question wrote. last: what was written there afterwards. console: the kernel's, and PID 1's.
    """

    said: str
    last: str
    console: str


def ask(node: Machine, question: str, *arguments: str) -> str:
    """Boot the tree of a machine that does not run itself; what a script, at the end of the boot, writes there.

    `arguments` are added to the kernel command line. Raises MachineError, with what was on the console, where it did
    not come to that.
    """
    return run(node, question, "poweroff-force", *arguments).said


def run(node: Machine, question: str, ending: str, *arguments: str) -> Run:
    """As ask(). `ending`: how it ends, as SuccessAction= of systemd.unit(5) has it: poweroff or reboot is in order."""
    node.write("/root/question", f"{BEGIN}{question}\necho {END}")
    node.write("/etc/systemd/system/answer.service", UNIT.format(ending))
    node.link("/etc/systemd/system/multi-user.target.wants/answer.service", "../answer.service")
    with tempfile.TemporaryDirectory() as directory:
        console, answer = Path(directory, "console"), Path(directory, "answer")
        try:
            command = _command(node, Path(directory, "disk"), console, answer, arguments)
            subprocess.run(command, check=True, timeout=TIMEOUT)
        except subprocess.SubprocessError as error:
            raise MachineError(f"{error}:\n{_text(answer)}\n{_text(console)}") from error
        said, end, last = _text(answer).partition(END)
        if not end:
            raise MachineError(f"no answer but {said!r}:\n{_text(console)}")
        return Run(said, last, _text(console))


def _command(node: Machine, disk: Path, console: Path, answer: Path, arguments: Sequence[str]) -> list[str]:
    """What boots the tree, of which it makes a disk."""
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(node.tree), str(disk), "4G"], check=True)
    (kernel,) = node.tree.glob("boot/vmlinuz-*")
    (initrd,) = node.tree.glob("boot/initrd.img-*")
    return [
        *(*QEMU, "-kernel", str(kernel), "-initrd", str(initrd)),
        *("-append", " ".join(("root=/dev/vda rw console=ttyS0 panic=-1", *arguments))),
        *("-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"),
        *("-serial", f"file:{console}", "-serial", f"file:{answer}"),
    ]


def _text(serial: Path) -> str:
    return serial.read_text("utf-8", "replace").replace("\r\n", "\n") if serial.exists() else ""
