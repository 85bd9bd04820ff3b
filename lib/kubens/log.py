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
# On a serial console each takes some milliseconds of the boot; whoever has more to mend begins with these.
LINES_MAX = 100


def report(findings: list[Finding], notices: bool = True) -> None:
    """Say everything, one line each; what cannot be said is lost in silence. notices: whether they count by hand."""
    if not findings:
        return
    kernel = _kernel_log() if _run_by_systemd() else -1
    if kernel >= 0:
        _report_to_kernel(kernel, [finding for finding in findings if finding.severity != NOTICE])
        return
    for finding in findings:
        if notices or finding.severity != NOTICE:
            _write(2, f"kubens-generator: {finding.severity}: {finding}\n".encode("utf-8", "replace"))


def _report_to_kernel(log: int, findings: list[Finding]) -> None:
    lines = [f"<{_LEVELS[finding.severity]}>kubens-generator[{posix.getpid()}]: {finding}" for finding in findings]
    if len(lines) > LINES_MAX:
        more = f"and {len(lines) - LINES_MAX} more: kubensctl check shows all"
        lines[LINES_MAX:] = [f"<{_LEVELS[ERROR]}>kubens-generator[{posix.getpid()}]: {more}"]
    for line in lines:
        _write(log, line.encode("utf-8", "replace")[:_RECORD_MAX] + b"\n")


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
