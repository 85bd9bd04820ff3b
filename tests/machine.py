"""Machines to test in: a real systemd as PID 1, in systemd-nspawn, on a copy-on-write tree.

    with machine(files={"/etc/kubens/services.conf": "[MountNamespace]\\nWrap=kubelet\\n"}) as node:
        node.systemctl("start", "kubelet.service")
        assert node.mount_namespace(node.main_pid("kubelet.service")) != node.mount_namespace(1)

A machine's tree is an overlay: below it this computer's own OS or a debootstrap tree, which stay as they
are, above it a tmpfs.

Nothing outlives a machine, however its test ends. Its mounts are in the mount namespace of one keeper process
and nowhere else, its processes are in one control group, and the keeper kills and removes all of it as soon
as its standard input is closed: by `close()`, or by the kernel when the tests were killed.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Union

CHECKOUT = Path(__file__).resolve().parent.parent
BOOT_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0

# What this computer's administrator configured is no part of a test, and no test shall find kubens where it
# has not installed it.
HIDDEN = (
    glob.escape(str(CHECKOUT)),
    "/etc/.updated",
    "/etc/conf.d/netns",
    "/etc/fstab",
    "/etc/init.d",
    "/etc/kubens",
    "/etc/netns",
    "/etc/systemd",
    "/usr/bin/kubens*",
    "/usr/lib/kubens",
    "/usr/lib/systemd/system-generators/kubens*",
    "/usr/lib/systemd/system/netns*",
    "/usr/lib/tmpfiles.d/kubens*",
    "/usr/local/lib/python3*/dist-packages/kubens*",
    "/usr/local/lib/systemd",
    "/var/.updated",
    "/var/lib/kubens",
    "/var/log/journal",
)

# Slow, noisy, or of no use without a screen and a network.
MASKED = (
    "getty.target",
    "ldconfig.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-logind.service",
    "systemd-networkd-wait-online.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
)

ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM": "dumb",
}

# `make releases` makes them; without, the tests boot this computer's release alone.
TREES = CHECKOUT / os.environ.get("KUBENS_TREES", "build/trees")

ENTER = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")

# Its arguments: the machine's name, and its control group below /sys/fs/cgroup. It covers /run because nspawn
# would leave files there, and cgroup v1 because it would leave groups. cgroup.kill is Linux 5.14's.
KEEPER = """
set -eu
umask 022
mount -t tmpfs -o mode=755 "$1" /run
mkdir /run/upper /run/work /run/tree
[ -e /sys/fs/cgroup/cgroup.procs ] || mount -t cgroup2 "$1" /sys/fs/cgroup
group=/sys/fs/cgroup$2
mkdir "$group" "$group/nspawn" "$group/commands" "$group/kmsg"
echo ready
cat
echo 1 >"$group/cgroup.kill"
for attempt in $(seq 1000); do
    ! find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || exit 0
    sleep 0.01
done
echo "cannot be removed: $group" >&2
exit 1
"""

# A fifo, not a file: each of those who log there opens it anew and would write over what is in the file.
KMSG = """
mkfifo /run/kmsg
cat <>/run/kmsg >/run/kmsg.log &
"""

NEW_GROUP = """
while ! find "$0" -depth -type d -exec rmdir {} + 2>/dev/null; do
    sleep 0.01
done
mkdir "$0"
"""

StrPath = Union[str, "os.PathLike[str]"]


def lowers() -> list[str]:
    """What machines can be made of: this computer's own OS, then the trees of other releases."""
    return ["/", *sorted(str(path) for path in TREES.glob("*/") if (path / "usr/bin/systemctl").exists())]


class MachineError(Exception):
    """The machine itself failed: it did not boot, or did not stop."""


class CommandError(subprocess.CalledProcessError):
    """A command in a machine failed; says what it wrote."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stdout}{self.stderr}".rstrip()


class Machine:
    """One machine, from its tree to its end. A context manager; `close()` may be called twice.

    `lower` is the tree below the overlay, `arguments` go to systemd-nspawn as they are, `capabilities` are
    granted on top of nspawn's own. With `kmsg` there is a stand-in for /dev/kmsg, which nspawn machines lack;
    `kmsg()` reads it.
    """

    def __init__(
        self,
        lower: str = "/",
        *,
        arguments: Sequence[str] = (),
        capabilities: Sequence[str] = (),
        kmsg: bool = False,
    ) -> None:
        self._arguments = [*arguments]
        if capabilities:
            self._arguments.append("--capability=" + ",".join(capabilities))
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        # Linux 6.18 numbers namespaces in batches per processor, and binds no mount namespace whose number is
        # below that of the caller's own. On one processor the numbers rise.
        self._processor = _processor()
        self._console = tempfile.TemporaryFile("a+b")  # noqa: SIM115, lives as long as the machine
        self.name = f"kubens-test-{uuid.uuid4().hex[:12]}"
        self._group = f"{_own_control_group()}/{self.name}"
        self._keeper = self._start_keeper()
        try:
            self._prepare_tree(lower)
            if kmsg:
                self._arguments.append("--bind=/run/kmsg:/dev/kmsg")
                self.write("/etc/systemd/journald.conf.d/kmsg.conf", "[Journal]\nReadKMsg=no\n")
                self._in_keeper("sh", "-euc", KMSG, group="kmsg")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # The tree

    @property
    def tree(self) -> Path:
        """The machine's root directory as this process can reach it; while it runs, with all of its mounts.

        Beware of absolute symbolic links below it: the kernel follows them into this computer's own root.
        `write()`, `read()`, `link()` and `install()` do not.
        """
        if self._leader:
            return Path(f"/proc/{self._leader}/root")
        return self._keeper_root / "run/tree"

    def write(self, path: str, content: str | bytes, mode: int = 0o644) -> None:
        """Put a file there in the place of whatever was there, with the directories above it."""
        data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        target = self._vacate(path)
        target.write_bytes(data)
        target.chmod(mode)

    def link(self, path: str, target: str) -> None:
        """Put a symbolic link there in the place of whatever was there, with the directories above it."""
        self._vacate(path).symlink_to(target)

    def install(self, source: StrPath, path: str) -> None:
        """Copy a file of this computer with its mode, or lay a directory over the one that is there."""
        source = Path(source)
        if not source.is_dir():
            shutil.copy(source, self._vacate(path))
            return
        for inner in source.rglob("*"):
            target = f"{path}/{inner.relative_to(source)}"
            if inner.is_symlink():
                self.link(target, os.readlink(inner))
            elif inner.is_dir():
                self._locate(target).mkdir(parents=True, exist_ok=True)
            else:
                self.install(inner, target)

    def chroot(self, *command: str) -> None:
        """Run a command of the tree in it, before it is booted."""
        script = 'mount -t proc proc "$0/proc"; exec chroot "$0" "$@"'
        self._in_keeper("unshare", "--mount", "sh", "-euc", script, "/run/tree", *command)

    def read(self, path: str) -> str:
        return self._locate(path).read_text("utf-8", "surrogateescape")

    # The running machine

    def boot(self, *arguments: str) -> None:
        """Boot to multi-user.target, PID 1 getting `arguments` as its kernel command line.

        Raises MachineError, with what was on the console, when it reaches neither `running` nor `degraded`.
        """
        if self._nspawn:
            raise MachineError("the machine runs already")
        self._console.truncate(0)
        self._nspawn = self._start_nspawn(arguments)
        deadline = time.monotonic() + BOOT_TIMEOUT
        while (state := self._state()) not in ("running", "degraded"):
            if state == "maintenance" or self._nspawn.poll() is not None or time.monotonic() > deadline:
                console = self.console()
                self.kill()
                raise MachineError(f"no boot, the last state was {state}:\n{console}")
            time.sleep(0.03)

    def reboot(self, *arguments: str) -> None:
        """Shut down in order and boot the same tree again; what was in tmpfs, such as /run, is gone."""
        self._stop("reboot")
        self.boot(*arguments)

    def poweroff(self) -> None:
        """Shut down in order. The tree stays, to be looked at or booted again."""
        self._stop("poweroff")

    def kill(self) -> None:
        """Pull the plug. The tree stays as it was in that moment."""
        if self._nspawn:
            for group in ("nspawn", "commands"):
                (self._control_group / group / "cgroup.kill").write_text("1")
            self._nspawn.wait()
            # What is cloned into a group below one that was killed once dies at once (seen on Linux 6.18, with systemd
            # 257 and later): a new boot gets a new group.
            self._in_keeper("sh", "-euc", NEW_GROUP, str(self._control_group / "nspawn"))
        self._nspawn = None
        self._leader = 0

    def close(self) -> None:
        """Leave nothing behind. Raises MachineError if that cannot be done."""
        errors = self._keeper.communicate()[1]
        if self._keeper.returncode:
            raise MachineError(errors)
        if self._nspawn:
            self._nspawn.wait()
        self._nspawn = None
        self._leader = 0
        self._console.close()

    def run(
        self,
        *command: str,
        check: bool = True,
        timeout: float = 30,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root in the machine, outside of all units; `env` adds to a small environment.

        Raises CommandError when it fails and `check` is set, subprocess.TimeoutExpired when it was killed.
        """
        if not self._leader:
            raise MachineError("the machine does not run")
        process = subprocess.Popen(
            ["nsenter", f"--target={self._leader}", *ENTER, "--", *command],
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            env={**ENVIRONMENT, **(env or {})},
            start_new_session=True,
            preexec_fn=functools.partial(self._confine, "commands"),
        )
        try:
            stdout, stderr = process.communicate(input, timeout)
        except BaseException:
            # nsenter alone would leave the command behind, and the command the pipes open.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if check and process.returncode:
            raise CommandError(process.returncode, command, stdout, stderr)
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)

    def wait_until(self, condition: Callable[[], object], timeout: float = 10) -> None:
        """Poll until the condition holds. Raises MachineError, with the journal's end, if it does not."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise MachineError(f"waited in vain; the journal:\n{self.journal(None, '--lines=50')}")
            time.sleep(0.02)

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", "--no-pager", "--full", *arguments, check=check, timeout=120)

    def daemon_reload(self) -> None:
        self.systemctl("daemon-reload")

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit, all if none is named. One with several lines, as of commands, keeps them."""
        selection = [f"--property={','.join(properties)}"] if properties else []
        values: dict[str, str] = {}
        for line in self.systemctl("show", *selection, "--", unit).stdout.splitlines():
            name, _, value = line.partition("=")
            values[name] = f"{values[name]}\n{value}" if name in values else value
        return values

    def main_pid(self, unit: str) -> int:
        """The main process's id in the machine, 0 if there is none."""
        return int(self.show(unit, "MainPID")["MainPID"])

    def journal(self, unit: str | None = None, *arguments: str) -> str:
        """The journal of this boot, of one unit or all; `arguments` go to journalctl."""
        self.run("journalctl", "--sync")
        selection = [f"--unit={unit}"] if unit else []
        return self.run("journalctl", "--no-pager", "--boot", "--quiet", *selection, *arguments).stdout

    def kmsg(self) -> str:
        """What was written to the stand-in for /dev/kmsg since the machine was made."""
        # What was written before this mark is there with it.
        mark = f"mark {uuid.uuid4()}\n"
        (self._keeper_root / "run/kmsg").write_text(mark)
        deadline = time.monotonic() + BOOT_TIMEOUT
        while mark not in (text := (self._keeper_root / "run/kmsg.log").read_text("utf-8", "surrogateescape")):
            if time.monotonic() > deadline:
                raise MachineError("the stand-in for /dev/kmsg is read by nobody")
            time.sleep(0.01)
        return re.sub(r"mark [0-9a-f-]{36}\n", "", text)

    def console(self) -> str:
        """What this boot wrote to the console."""
        # Not read(): PID 1 writes at the same file offset.
        size = os.fstat(self._console.fileno()).st_size
        return os.pread(self._console.fileno(), size, 0).decode("utf-8", "surrogateescape")

    def mount_namespace(self, pid: int = 1) -> str:
        """The mount namespace of a process, given by its id in the machine: `mnt:[4026531841]`."""
        return os.readlink(self.tree / "proc" / str(pid) / "ns/mnt")

    def mounts(self, pid: int = 1) -> list[str]:
        """Where the mounts are that a process sees, in mountinfo's order."""
        mountinfo = self.read(f"/proc/{pid}/mountinfo")
        return [_unescape(line.split(" ")[4]) for line in mountinfo.splitlines()]

    # Inside

    @property
    def _keeper_root(self) -> Path:
        return Path(f"/proc/{self._keeper.pid}/root")

    @property
    def _control_group(self) -> Path:
        return Path(f"{self._keeper_root}/sys/fs/cgroup{self._group}")

    def _start_keeper(self) -> subprocess.Popen[str]:
        keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation=private", "sh", "-c", KEEPER, "sh", self.name, self._group],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # A Ctrl-C is for the tests; the keeper has to outlive them.
            preexec_fn=self._pin,
        )
        assert keeper.stdout
        if keeper.stdout.readline() != "ready\n":
            raise MachineError(f"no machine can be made here: {keeper.communicate()[1]}")
        return keeper

    def _prepare_tree(self, lower: str) -> None:
        below = lower.rstrip("/")
        for pattern in HIDDEN:
            for path in glob.glob(below + pattern):
                self._hide(below, path[len(below) :])
        layers = f"lowerdir={lower},upperdir=/run/upper,workdir=/run/work"
        self._in_keeper("mount", "-t", "overlay", "-o", layers, self.name, "/run/tree")
        self.write("/etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)
        for unit in MASKED:
            self.link(f"/etc/systemd/system/{unit}", "/dev/null")

    def _hide(self, lower: str, path: str) -> None:
        """Hide a path of the lower tree before the overlay is mounted: a device 0/0 is a whiteout."""
        upper = f"{self._keeper_root}/run/upper"
        for parent in reversed(PurePosixPath(path).parents):
            if not os.path.exists(f"{upper}{parent}"):
                status = os.stat(f"{lower}{parent}")
                os.mkdir(f"{upper}{parent}")
                os.chown(f"{upper}{parent}", status.st_uid, status.st_gid)
                os.chmod(f"{upper}{parent}", status.st_mode)
        os.mknod(upper + path, stat.S_IFCHR, os.makedev(0, 0))

    def _locate(self, path: str) -> Path:
        """Where a path of the machine is for this process, links followed as the machine follows them."""
        root = here = self.tree
        ahead = path.split("/")[::-1]
        links = 0
        while ahead:
            part = ahead.pop()
            if part in ("", ".", ".."):
                here = here.parent if part == ".." and here != root else here
            elif (here / part).is_symlink():
                target = os.readlink(here / part)
                here = root if target.startswith("/") else here
                ahead += target.split("/")[::-1]
                links += 1
                if links > 40:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            else:
                here /= part
        return here

    def _vacate(self, path: str) -> Path:
        """The place for a new file: its directory made, what was there removed."""
        parent, name = os.path.split(path)
        directory = self._locate(parent)
        directory.mkdir(parents=True, exist_ok=True)
        target = directory / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        elif os.path.lexists(target):
            target.unlink()
        return target

    def _start_nspawn(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *("nsenter", f"--target={self._keeper.pid}", "--mount", "--root", "--"),
                *("systemd-nspawn", "--quiet", "--directory=/run/tree", f"--machine={self.name}", "--boot"),
                *("--register=no", "--keep-unit", "--settings=no", "--console=pipe", "--link-journal=no"),
                *("--private-network", "--resolv-conf=off", "--timezone=off"),
                *self._arguments,
                *("systemd.unit=multi-user.target", *arguments),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=self._console,
            env={**ENVIRONMENT, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            start_new_session=True,
            preexec_fn=functools.partial(self._confine, "nspawn"),
        )

    def _state(self) -> str:
        """What PID 1 says of its boot, `none` while it does not answer."""
        self._leader = self._leader or self._find_leader()
        if not self._leader:
            return "none"
        try:
            return self.run("systemctl", "is-system-running", check=False, timeout=5).stdout.strip() or "none"
        except subprocess.TimeoutExpired:
            return "none"

    def _find_leader(self) -> int:
        """PID 1, which is nspawn's child once it has become systemd; 0 until then."""
        assert self._nspawn
        pid = self._nspawn.pid
        with contextlib.suppress(OSError):  # The child that prepares the machine comes and goes.
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
        return 0

    def _stop(self, verb: str) -> None:
        nspawn = self._nspawn
        if not nspawn:
            raise MachineError("the machine does not run")
        # What `systemctl reboot` does where there is no logind. What it asks for may kill the command itself.
        job = ("--no-block", "--job-mode=replace-irreversibly")
        self.systemctl("start", *job, f"{verb}.target", check=False)
        try:
            nspawn.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise MachineError(f"no {verb}:\n{self.console()}") from None
        finally:
            self.kill()

    def _in_keeper(self, *command: str, group: str = "commands") -> None:
        """Run a command in the namespace that holds the machine's mounts."""
        subprocess.run(
            ["nsenter", f"--target={self._keeper.pid}", "--mount", "--root", "--", *command],
            check=True,
            preexec_fn=functools.partial(self._confine, group),
        )

    def _pin(self) -> None:
        os.sched_setaffinity(0, {self._processor})

    def _confine(self, group: str) -> None:
        """What every process of the machine does first: stay on its processor, and be killed with it."""
        os.umask(0o022)
        self._pin()
        (self._control_group / group / "cgroup.procs").write_text("0")


@contextlib.contextmanager
def machine(
    lower: str = "/", *arguments: str, files: Mapping[str, str | bytes] | None = None, **options: Any
) -> Iterator[Machine]:
    """A booted machine. `files` are written before, `arguments` are its kernel command line."""
    with Machine(lower, **options) as made:
        for path, content in (files or {}).items():
            made.write(path, content)
        made.boot(*arguments)
        yield made


def _processor() -> int:
    """One for each of the processes that pytest-xdist runs tests in, so that two machines do not share one."""
    processors = sorted(os.sched_getaffinity(0))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # gw0, gw1, ...
    return processors[int(worker[2:]) % len(processors)] if worker else random.choice(processors)


def _own_control_group() -> str:
    """This process's cgroup in the unified hierarchy; empty for the root."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line[3:].rstrip("/")
    raise MachineError("Linux has no cgroup v2 here")


def _unescape(path: str) -> str:
    """mountinfo(5) writes blanks and backslashes in octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
