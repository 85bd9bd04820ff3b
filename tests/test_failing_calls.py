"""Any system call of the generator may fail or be its last: a namespace is whole or not there.

`make check` tries a sample, `make check-faults` (KUBENS_FAULTS=all) every call of a run with every error.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from trees import FULL, Run, acted_on, build, install, snapshot

ERRORS = ("EIO", "EACCES", "ENOSPC", "EMFILE", "ELOOP")
DROPINS = {"red": ("a.service", "t@.service", "t@9.service", "real.service"), "blue": ("c.service",)}
CALLS = ("openat,newfstatat,statx,read,write,readlink,getdents64,mkdir,symlink,link,rename,unlink,rmdir,close,fcntl,"
         "lseek,ioctl,getppid")  # fmt: skip
SEED = 20261122
SAMPLE = 60
CLEAN, WITH_ERRORS, CRASHED, KILLED = 64, 65, 70, -9

pytestmark = pytest.mark.needs("strace")


class Generator:
    """An installed generator, a tree for it, what comes out of it, and every system call it makes on the way.

    calls: (name, how many of that name so far), from where our own code begins.
    """

    def __init__(self, directory: Path) -> None:
        self.command = install(directory / "installed")
        self.root = build(directory / "root", FULL)
        self._directory = directory
        self._number = 0
        self.complete, trace = self.traced(f"trace={CALLS}")
        self.calls: list[tuple[str, int]] = []
        counts: dict[str, int] = {}
        begun = False
        for line in trace.splitlines():
            name = line.partition("(")[0]
            counts[name] = counts.get(name, 0) + 1
            # The interpreter's own beginning is not ours: the shell in front answers for that.
            begun = begun or "/etc/kubens" in line
            if begun and name in CALLS.split(","):
                self.calls.append((name, counts[name]))

    def traced(self, *expressions: str, output: Path | None = None) -> tuple[Run, str]:
        self._number += 1
        output = output or self._directory / f"output{self._number}"
        output.mkdir(exist_ok=True)
        trace = self._directory / "trace"
        options = [f"--trace={CALLS}", *(f"-e{expression}" for expression in expressions)]
        done = subprocess.run(
            ["strace", "--quiet=all", f"--output={trace}", *options, *self.command, str(output)],
            env={"KUBENS_ROOT": str(self.root)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=10,
        )
        return Run(output, done.returncode, done.stderr), trace.read_text()

    def with_fault(self, call: tuple[str, int], fault: str) -> tuple[Run, str]:
        """Run with a fault in one call; how it ended, and the call."""
        name, number = call
        run, trace = self.traced(f"inject={name}:{fault}:when={number}")
        same = [line for line in trace.splitlines() if line.startswith(f"{name}(")]
        return run, same[number - 1] if len(same) >= number else f"{call} is not made"


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return Generator(tmp_path_factory.mktemp("faults"))


def chosen(calls: list[tuple[str, int]], errors: tuple[str, ...]) -> list[tuple[tuple[str, int], str]]:
    every = [(call, error) for call in calls for error in errors]
    if os.environ.get("KUBENS_FAULTS") == "all":
        return every
    return random.Random(SEED).sample(every, min(SAMPLE, len(every)))


def half_done(generator: Generator, output: Path) -> list[str]:
    """The namespaces of which something would be acted on, but not all of it."""
    found = []
    for name, members in DROPINS.items():
        expected = [acted_on(generator.complete.output, unit) for unit in members]
        made = [acted_on(output, unit) for unit in members]
        units = [(output / f"{name}{suffix}.service").is_file() for suffix in ("", "-record")]
        wanted = os.path.lexists(output / f"multi-user.target.wants/{name}.service")
        if (made != expected or not all(units)) and (any(made) or wanted):
            found.append(name)
    return found


def test_the_run_itself_is_whole(generator: Generator) -> None:
    assert generator.complete.status == CLEAN
    assert len(generator.calls) > 300
    for members in DROPINS.values():
        assert all(acted_on(generator.complete.output, unit) for unit in members)


def test_a_failing_call_leaves_a_namespace_whole_or_not_there(generator: Generator) -> None:
    failures = []
    for call, error in chosen(generator.calls, ERRORS):
        done, line = generator.with_fault(call, f"error={error}")
        half = half_done(generator, done.output)
        new = [line for line in done.lines if line not in generator.complete.lines]
        # Beside the line about the call, one for each namespace that is not generated for it.
        said = [line for line in new if not re.search(r"namespace \w+: (none of its services|nothing joins)", line)]
        odd = done.status not in (CLEAN, WITH_ERRORS, CRASHED) or "Traceback" in done.stderr or len(said) > 1
        if half or odd or (done.status == CLEAN and new):
            failures.append((line, half, done.status, new))
        shutil.rmtree(done.output)
    assert not failures, "\n".join(map(str, failures))


def test_killed_at_any_call_it_leaves_nothing_half_done_and_the_next_run_is_whole(generator: Generator) -> None:
    failures = []
    whole = snapshot(generator.complete.output)
    for call, _ in chosen(generator.calls, ("KILL",)):
        done, line = generator.with_fault(call, "signal=KILL")
        half = half_done(generator, done.output)
        again = generator.traced(f"trace={CALLS}", output=done.output)[0]
        if half or done.status != KILLED or (again.status, snapshot(done.output)) != (CLEAN, whole):
            failures.append((line, half, done.status, again.status))
        shutil.rmtree(done.output)
    assert not failures, "\n".join(map(str, failures))
