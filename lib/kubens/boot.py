"""The generator itself: read, plan, write. systemd.generator(7)."""

from __future__ import annotations

import posix

from kubens import config
from kubens.files import Root
from kubens.finding import ERROR, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubens.config import Configuration

# What `recorded` understands; anything else tells it that we never came to an end.
DONE, DONE_WITH_ERRORS, CRASHED = 64, 65, 70


def main(arguments: list[str]) -> int:
    """Run as systemd runs generators, with NORMAL [EARLY LATE]: DONE, DONE_WITH_ERRORS or CRASHED. Never raises."""
    try:
        return generate(arguments, posix.environ)
    except BaseException as error:
        reason = f"internal error, nothing more is generated: {type(error).__name__}: {error}; report it"
        _report([Finding(ERROR, "", 0, "", reason)])
        return CRASHED


def generate(arguments: list[str], environment: Mapping[bytes, bytes]) -> int:
    """Generate into arguments[0], to which the working directory may change; the exit status says how it went."""
    if len(arguments) not in (1, 3):
        _report([Finding(ERROR, "", 0, "", "usage: kubens-generator NORMAL [EARLY LATE]")])
        return DONE_WITH_ERRORS
    output, early = _absolute(arguments[0]), _absolute(arguments[1] if len(arguments) > 1 else arguments[0])
    root_path = environment.get(b"KUBENS_ROOT", b"").decode("utf-8", "surrogateescape")
    root = Root(_absolute(root_path) if root_path else "")
    configuration = config.load(root)
    live = config.load_live(root)
    if not any(map(_has_anything, (configuration, live))) or switched_off(root):
        return DONE
    if live.unreadable:
        # It lives all the same: as it was recorded, then.
        _report(live.findings)
        return CRASHED
    # Nothing below is needed where nothing is configured.
    from kubens import inventory, plan, write

    search_path = environment.get(b"SYSTEMD_UNIT_PATH", b"").decode("utf-8", "surrogateescape")
    taken = inventory.take(root, configuration, live, search_path)
    made = plan.plan(configuration, taken)
    if taken.unreadable and _has_anything(live):
        # What lives cannot be made again without the units: as it was recorded, then.
        _report([finding for finding in made.findings if finding.severity == ERROR])
        return CRASHED
    missing = write.write(made, output, early)
    _report(made.findings)
    if missing and _any_lives(root, missing):
        return CRASHED  # what lives is not left without its units: `recorded` tries once more
    return DONE_WITH_ERRORS if made.has_errors else DONE


def _absolute(path: str) -> str:
    """systemd gives such; people need not."""
    try:
        return path if path.startswith("/") else f"{posix.getcwd()}/{path}"
    except FileNotFoundError:
        return path  # in a directory that was removed there is nothing, as whoever looks for it will say


def _has_anything(configuration: Configuration) -> bool:
    return bool(
        configuration.mount_namespaces or configuration.has_networks or configuration.has_pods or configuration.findings
    )


def _any_lives(root: Root, trees: list[str]) -> bool:
    """Whether there is a record of one of the trees; of a type of network namespaces, each instance has its own."""
    try:
        records = root.names(config.LIVE)
    except OSError:
        return True
    return any(record == name or record.startswith(f"{name}@") for record in records for name in trees)


def _report(findings: list[Finding]) -> None:
    if findings:
        from kubens import log

        log.report(findings)


def switched_off(root: Root) -> bool:
    """kubens=0 on the kernel command line; in a container, as systemd itself does, on that of its init."""
    container = root.exists("/run/systemd/container")
    try:
        line = root.read("/proc/1/cmdline" if container else "/proc/cmdline") or ""
    except OSError:
        return False
    off = False
    if "kubens=" not in line:
        return off
    for word in line.replace("\0", " ").split():
        key, _, value = word.partition("=")
        if key == "kubens":
            off = value in ("0", "no", "off", "false")
    return off
