"""Which settings give a service a mount namespace of its own or keep it from entering one: systemd is asked.

    python3 -m differential.settings [--lower TREE]

tries every setting that a release knows, and names those that are obstacles and missing in kubens.sandbox.
"""

from __future__ import annotations

import argparse
import glob
import re
from collections.abc import Sequence
from pathlib import Path

from differential.records import RECORDS, recorder, records
from kubens import sandbox
from machine import Machine

FREE, LOSES, BARS, FAILS = "free", "a namespace of its own", "cannot enter", "does not start"

_PIN = "/run/pins/mnt"
_RECORDER = "/opt/record"
_UNIT = f"""[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
TimeoutStartSec=20
ExecStart={_RECORDER} %n
ExecStart=/usr/bin/nsenter --mount={_PIN} {_RECORDER} %n
"""

# One of these makes a difference in any setting that could make one.
_VALUES = (
    "yes", "no", "/opt/dir", "/opt/dir:/opt/dir2", "private", "full", "tmpfs", "disconnected", "self", "slave", "mnt",
    "noaccess", "pid", "name", "name::ro", "name:value", "noroot", "~CAP_SYS_ADMIN", "~@process", "AF_UNIX", "nobody",
    "/proc/1/ns/user", "*", "auto", "5",
)  # fmt: skip
# Limits and accounting; when and how often a service is started and stopped; what it reads, writes and is called;
# what makes it fail without any namespace.
_UNRELATED = re.compile(
    "(Limit|CPU|IO|Memory|BlockIO|Tasks|OOM|IP[AIE]|Device|Startup|Default|Managed|Allowed|ZSwap|Timer|Nice|NUMA|Socket"
    "|Exec(Start|Stop|Reload|Condition)|Timeout|Restart(?!rict)|Start|Success|Failure|Watchdog|Runtime(Max|Rand)|Kill"
    "|Send|Final|Notify|FileDesc|Bus|Guess|Permissions|RootDirectoryStart|Std|Standard|Syslog|Log(Rate|Extra|Level)|TTY"
    "|Environment|Unset|Pass|USB|Sockets|Type|Reboot|PIDFile|OpenFile|NFTSet|Slice|SysV|ExitType|Job|Remain|Swap|Oneshot)"
)


def observe(node: Machine, cases: Sequence[str]) -> list[str]:
    """For each text of [Service] settings what becomes of a service that has them: FREE, LOSES, BARS or FAILS."""
    units = [f"case-{number}.service" for number in range(len(cases))]
    for unit, case in zip(units, cases):
        node.write(f"/run/systemd/system/{unit}", f"{_UNIT}{case}\n")
    names = " ".join(units)
    node.write("/run/systemd/system/cases.target", f"[Unit]\nWants={names}\nAfter={names}\n")
    node.write(RECORDS, "", 0o666)
    node.daemon_reload()
    node.run("systemctl", "start", "cases.target", timeout=600)
    own = node.mount_namespace(1)
    found: dict[str, list[str]] = {}
    for record in (record for unit in records(node).values() for record in unit):
        found.setdefault(record.argv[1], []).append(record.namespace)
    node.systemctl("stop", "cases.target")
    node.systemctl("reset-failed")
    return [_effect(found.get(unit, []), own) for unit in units]


def prepare(node: Machine) -> None:
    """What `observe` needs. The machine does not run yet, and does afterwards."""
    node.write(_RECORDER, recorder(), 0o755)
    for directory in ("/opt/dir", "/opt/dir2"):
        node.write(f"{directory}/file", "")
    node.boot()
    node.write(_PIN, "")
    node.run("mount", "--bind", "--make-private", "/run/pins", "/run/pins")
    node.run("unshare", f"--mount={_PIN}", "--propagation=slave", "true")


def _effect(namespaces: list[str], own: str) -> str:
    """From the namespaces of the command itself and of the one behind nsenter."""
    if not namespaces:
        return FAILS
    if namespaces[0] != own:
        return LOSES
    return FREE if len(namespaces) > 1 else BARS


def known(lower: str) -> list[str]:
    """The settings of [Service] that the systemd of a tree knows: they stand in its library one by one."""
    pattern = f"{lower.rstrip('/')}/usr/lib/"
    files = glob.glob(f"{pattern}*/systemd/libsystemd-core-*.so") or [f"{pattern}systemd/systemd"]
    found = {name for file in files for name in re.findall(rb"Service\.([A-Za-z0-9]+)\0", Path(file).read_bytes())}
    return sorted(name.decode() for name in found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lower", default="/", help="the tree to boot")
    options = parser.parse_args()
    keys = [key for key in known(options.lower) if not _UNRELATED.match(key) and key not in sandbox.KEYS]
    cases = [f"{key}={value}" for key in keys for value in _VALUES]
    missing = []
    with Machine(options.lower) as node:
        prepare(node)
        for start in range(0, len(cases), 500):
            part = cases[start : start + 500]
            effects = zip(part, observe(node, part))
            missing += [f"{case}: {effect}" for case, effect in effects if effect in (LOSES, BARS)]
    print(f"{len(keys)} settings, {len(cases)} tried")
    print("\n".join(missing))
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
