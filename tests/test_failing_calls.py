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

from trees import FULL, POD, Run, build, install, snapshot

ERRORS = ("EIO", "EACCES", "ENOSPC", "EMFILE", "ELOOP")
TREES = ("blue", "netns-own", "netns@night", "pod@shop", "red")
# Of one without the other nothing is to be seen.
NEEDS = {"netns@night": "netns-own"}
LIVE = "run/kubens-generator"
CALLS = ("openat,newfstatat,statx,read,write,readlink,getdents64,mkdir,symlink,link,rename,unlink,rmdir,close,fcntl,"
         "lseek,ioctl,getppid")  # fmt: skip
CONSEQUENCES = (r"namespace \w+: (none of its services|nothing joins)|: there is no netns-own$|cannot be bound over"
                r"|, which cannot join: ")  # fmt: skip
SEED = 20261122
SAMPLE = 60
CLEAN, WITH_ERRORS, CRASHED, KILLED = 64, 65, 70, -9

pytestmark = pytest.mark.needs("strace")


class Generator:
    """An installed generator, a tree for it, what comes out of it, and every system call it makes on the way.

    calls: (name, how many of that name so far), from where our own code begins. is_live: whether all that is configured
    lives already, so that it must not be lost.
    """

    def __init__(self, directory: Path, is_live: bool) -> None:
        self.is_live = is_live
        self.command = install(directory / "installed")
        self.root = build(directory / "root", {**FULL, **POD})
        self._directory = directory
        self._number = 0
        self.complete, trace = self.traced(f"trace={CALLS}")
        if is_live:
            shutil.copytree(self.complete.output / ".kubens", self.root / LIVE, symlinks=True)
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


@pytest.fixture(scope="module", params=[False, True], ids=["new", "live"])
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return Generator(tmp_path_factory.mktemp("faults"), request.param)


def chosen(calls: list[tuple[str, int]], errors: tuple[str, ...]) -> list[tuple[tuple[str, int], str]]:
    every = [(call, error) for call in calls for error in errors]
    if os.environ.get("KUBENS_FAULTS") == "all":
        return every
    return random.Random(SEED).sample(every, min(SAMPLE, len(every)))


def state(path: Path) -> bytes | str | None:
    """What systemd makes of a path: a file's text, or what a link says; None for a drop-in that leads nowhere."""
    if path.is_symlink() and path.parent.suffix != ".d":
        return os.readlink(path)
    return path.read_bytes() if path.exists() else None


def parts(generator: Generator, name: str) -> tuple[list[Path], list[Path]]:
    """All that a tree has in the output, and that of it which takes effect by itself."""
    whole = generator.complete.output
    units = whole / ".kubens" / name / "units"
    found = [path.relative_to(units) for path in units.rglob("*") if not path.is_dir() or path.is_symlink()]
    links = [path for path in whole.glob("*.d/*") if f"/.kubens/{name}/" in os.readlink(path)]
    dropins = [path.relative_to(whole) for path in links]
    return found + dropins, dropins + [path for path in found if path.parent.suffix in (".wants", ".requires")]


def lost(generator: Generator, output: Path) -> list[str]:
    """The trees of which a unit or a drop-in is missing. What lives may be as it was recorded, which is not the same;
    and it needs nobody who wants it."""
    found = []
    for name in TREES:
        everything, _ = parts(generator, name)
        needed = [path for path in everything if path.parent.suffix not in (".wants", ".requires")]
        if any(state(output / path) is None for path in needed):
            found.append(name)
    return found


def half_done(generator: Generator, done: Run, was_killed: bool = False) -> list[str]:
    """The trees of which something would be acted on, but not all of it.

    was_killed: one that is whole may have lost some of those who want it.
    """
    return [name for name in TREES if _is_half_done(generator, done, name, was_killed)]


def _is_half_done(generator: Generator, done: Run, name: str, was_killed: bool) -> bool:
    complete, output = generator.complete.output, done.output
    everything, effective = parts(generator, name)
    if name in NEEDS:
        everything = everything + parts(generator, NEEDS[name])[0]
    if was_killed:
        everything = [path for path in everything if path.parent.suffix not in (".wants", ".requires")]
    # A service that cannot join a network namespace costs the others nothing, but says so.
    refused = re.findall(r": (\S+\.(?:service|socket))(?=: )", "\n".join(done.lines))
    if refused and name.startswith("netns@"):
        needed = [path for path in everything if path.parent.stem not in refused]
        whole = all(state(output / path) is not None for path in needed)
    else:
        whole = all(state(output / path) == state(complete / path) for path in everything)
    return not whole and any(state(output / path) is not None for path in effective)


def test_the_run_itself_is_whole(generator: Generator) -> None:
    assert generator.complete.status == CLEAN
    assert len(generator.calls) > 400
    assert sorted(path.name for path in (generator.complete.output / ".kubens").iterdir()) == sorted(TREES)
    assert lost(generator, generator.complete.output) == half_done(generator, generator.complete) == []
    assert {name: len(parts(generator, name)[1]) for name in TREES} == {
        "blue": 2, "netns-own": 0, "netns@night": 5, "pod@shop": 1, "red": 5
    }  # fmt: skip


def test_a_generator_that_may_make_files_and_no_links_to_them(generator: Generator) -> None:
    """As Debian's SELinux policy has it, which lets generators neither link nor unlink."""
    done, _ = generator.traced("inject=link,unlink:error=EACCES")
    assert (done.status, done.lines) == (CLEAN, generator.complete.lines)
    assert lost(generator, done.output) == half_done(generator, done) == []


def test_a_failing_call_leaves_a_namespace_whole_or_not_there(generator: Generator) -> None:
    failures = []
    for call, error in chosen(generator.calls, ERRORS):
        done, line = generator.with_fault(call, f"error={error}")
        if generator.is_live:
            # Nothing is given up: the shell in front uses what was recorded.
            half = lost(generator, done.output) if done.status != CRASHED else []
        else:
            half = half_done(generator, done)
        new = [line for line in done.lines if line not in generator.complete.lines and not line.startswith("notice: ")]
        # Beside the line about the call, one for each namespace that is not generated for it.
        said = [line for line in new if not re.search(CONSEQUENCES, line)]
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
        half = half_done(generator, done, was_killed=True)
        again = generator.traced(f"trace={CALLS}", output=done.output)[0]
        if half or done.status != KILLED or (again.status, snapshot(done.output)) != (CLEAN, whole):
            failures.append((line, half, done.status, again.status))
        shutil.rmtree(done.output)
    assert not failures, "\n".join(map(str, failures))
