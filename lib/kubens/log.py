"""Where findings go: the kernel log when PID 1 runs us, standard error otherwise."""

from __future__ import annotations

import posix

from kubens.finding import ERROR, NOTICE, WARNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.finding import Finding

_LEVELS = {ERROR: 3, WARNING: 4}  # syslog(3)
# The kernel takes records of 1024 bytes (PRINTKRB_RECORD_MAX) and refuses longer ones as a whole.
_RECORD_MAX = 960


def report(findings: list[Finding], notices: bool = True) -> None:
    """Say everything, one line each; what cannot be said is lost in silence. notices: whether they count by hand."""
    if not findings:
        return
    kernel = _kernel_log() if _run_by_systemd() else -1
    for finding in findings:
        if kernel >= 0 and finding.severity != NOTICE:
            text = f"<{_LEVELS[finding.severity]}>kubens-generator[{posix.getpid()}]: {finding}"
            _write(kernel, text.encode("utf-8", "replace")[:_RECORD_MAX] + b"\n")
        elif kernel < 0 and (notices or finding.severity != NOTICE):
            _write(2, f"kubens-generator: {finding.severity}: {finding}\n".encode("utf-8", "replace"))


def _kernel_log() -> int:
    try:
        return posix.open("/dev/kmsg", posix.O_WRONLY | posix.O_NOCTTY | posix.O_CLOEXEC)
    except OSError:
        return -1


def _run_by_systemd() -> bool:
    """Whether an ancestor is one of the helper processes in which PID 1 runs generators."""
    pid = posix.getppid()
    # The shell that runs this interpreter, then systemd's helpers: "(sd-executor)", "(sd-exec-strv)", "(generators)".
    for _ in range(3):
        if pid == 1:
            return True
        try:
            descriptor = posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
        except OSError:
            return False
        try:
            stat = posix.read(descriptor, 4096)
        except OSError:
            return False
        finally:
            posix.close(descriptor)
        # proc_pid_stat(5): PID (NAME) STATE PPID; the name may hold anything.
        name, _, rest = stat.rpartition(b")")
        if name.partition(b"(")[2].startswith(b"(sd-"):
            return True
        fields = rest.split()
        if len(fields) < 2:
            return False
        pid = int(fields[1])
    return False


def _write(descriptor: int, data: bytes) -> None:
    try:
        posix.write(descriptor, data)
    except OSError:
        pass
