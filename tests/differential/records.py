"""What services run with, before and after they are wrapped: a program writes down all that it was given."""

from __future__ import annotations

import functools
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from differential.manager import EXEC_KEYS
from differential.trial import Mismatch, Result, Trial
from differential.worlds import World
from kubens_machine import configure, install
from machine import Machine

RECORDS = "/run/kubens-records"
# Where the random commands find the recorder.
_PROGRAMS = (
    "/usr/local/bin/record", "/opt/kubens/record", "/opt/kubens/a b", "/opt/gr\u00fc\u00df", "/opt/;", "/opt/a;b",
    "/opt/a=b", "/opt/a#b", "/opt/$x", "/opt/$$x", "/opt/%",
)  # fmt: skip
_DIRECTORIES = ("/opt/a b", "/opt/a$b%", "/opt/${FOO}")
# What is another one at each start.
_VOLATILE = ("INVOCATION_ID=", "JOURNAL_STREAM=", "MAINPID=", "SYSTEMD_EXEC_PID=")
# How systemd says that there is no such program (0 where that is ignored), and how nsenter does. The difference is
# accepted: whether it counts as a failure is in $SERVICE_RESULT.
_MISSING = ("EXIT_STATUS=203", "EXIT_STATUS=0", "EXIT_STATUS=127")


class Record(NamedTuple):
    """One run of the program. namespace is the mount namespace, which alone is to differ."""

    argv: list[str]
    environment: list[str]
    directory: str
    ids: str
    namespace: str


class Run(NamedTuple):
    """One start and stop of a unit."""

    records: list[Record]
    result: str


@functools.cache
def recorder() -> bytes:
    """The program, linked so that it runs on all releases."""
    source = Path(__file__).with_name("recorder.c")
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["gcc", "-static", "-O", "-Wall", "-o", f"{directory}/record", source], check=True)
        return Path(directory, "record").read_bytes()


def compare(node: Machine, world: World) -> Result:
    """Run each unit of the world that kubens wraps, as it is and wrapped. The machine is new, and of no use after."""
    node.boot()
    for path in _PROGRAMS:
        node.write(path, recorder(), 0o755)
    for path in _DIRECTORIES:
        node.run("mkdir", "-p", path)
    trial = Trial(node)
    try:
        static = trial.run(world, keep=True)
    finally:
        trial.close()
    bad = {mismatch.unit for mismatch in static.mismatches}
    members = {member: name for member, name in static.wrapped.items() if member not in bad}
    node.daemon_reload()
    before = _run_all(node, [*members.values()])
    install(node)
    configure(
        node, f"[MountNamespace]\nWrapCommands={' '.join(EXEC_KEYS)}\n" + "".join(f"Wrap={name}\n" for name in members)
    )
    node.daemon_reload()
    node.systemctl("start", "kubens.service")
    inside = node.run("nsenter", "--mount=/run/kubens/mnt", "readlink", "/proc/self/ns/mnt").stdout.strip()
    after = _run_all(node, [*members.values()])
    found = [*static.mismatches]
    for member, name in members.items():
        found += _differences(member, before[name], after[name], node.mount_namespace(1), inside)
    counts = Counter({"run": len(members), "records": sum(len(run.records) for run in before.values())})
    return Result(found, static.counts + counts, static.wrapped)


def _run_all(node: Machine, names: list[str]) -> dict[str, Run]:
    """Start all units, and stop them again."""
    node.write(RECORDS, "", 0o666)
    for verb in ("start", "stop"):
        node.systemctl(verb, "--", *names, check=False)
    found = records(node)
    results = {name: node.show(name, "Result")["Result"] for name in names}
    node.systemctl("reset-failed", "--", *names, check=False)
    return {name: Run(found.get(name, []), results[name]) for name in names}


def records(node: Machine) -> dict[str, list[Record]]:
    """What each unit's commands wrote down, in the order in which they ran."""
    found: dict[str, list[Record]] = {}
    for block in node.read(RECORDS).split("\n\n")[:-1]:
        pairs = (line.partition(" ")[::2] for line in block.split("\n"))
        fields = {key: bytes.fromhex(value).decode("utf-8", "surrogateescape") for key, value in pairs}
        # 0::/system.slice/foo.service, with /.control behind it for some commands.
        parts = fields["cgroup"].strip().split("/")
        unit = next((part for part in reversed(parts) if part.endswith(".service")), "")
        environment = [_stable(variable) for variable in fields["environ"].split("\0")[:-1]]
        argv = fields["cmdline"].split("\0")[:-1]
        record = Record(argv, sorted(environment), fields["cwd"], fields["ids"], fields["mnt"])
        found.setdefault(unit, []).append(record)
    return found


def _stable(variable: str) -> str:
    if variable in _MISSING:
        return _MISSING[0]
    return next((name for name in _VOLATILE if variable.startswith(name)), variable)


def _differences(member: str, before: Run, after: Run, outside: str, inside: str) -> list[Mismatch]:
    if {record.namespace for record in before.records} - {outside}:
        return [Mismatch(member, "runs in a namespace of its own", str(before))]
    expected = before._replace(records=[record._replace(namespace=inside) for record in before.records])
    if after == expected:
        return []
    for old, new in zip(expected.records, after.records):
        for field, was, came in zip(Record._fields, old, new):
            if was != came:
                return [Mismatch(member, f"{field} when run", f"{was}\nwrapped {came}")]
    if len(before.records) != len(after.records):
        argvs = [[record.argv for record in run.records] for run in (before, after)]
        return [Mismatch(member, "commands that run", f"{argvs[0]}\nwrapped {argvs[1]}")]
    return [Mismatch(member, "result", f"{before.result}, wrapped {after.result}")]
