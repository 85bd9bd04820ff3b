"""Any system call of the generator may fail or be its last: a namespace is whole or not there.

It runs as at a boot: in a root of its own, without KUBENS_ROOT, with which it would make other calls. `make check`
tries a sample, `make check-faults` (KUBENS_FAULTS=all) every call of a run with every error.
"""

from __future__ import annotations

import os
import random
import re
import resource
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubens import boot
from machine import CHECKOUT
from test_boot_path import CHANGES, FORBIDDEN, READ
from trees import BASE, FULL, POD, Run, build, program, snapshot, touched

ERRORS = ("EIO", "EACCES", "ENOSPC", "EMFILE", "ELOOP")
TREES = ("blue", "netns-own", "netns@night", "pod@shop", "red")
INTERPRETER = ("/usr/bin/python3", "-I", "-S", "-B", "-X", "utf8")
GENERATORS = "/usr/lib/systemd/system-generators"
COMMAND = (*INTERPRETER, f"{GENERATORS}/kubens-generator", "--status")
# Its name, and how many of that name there were so far.
Call = tuple[str, int]
# Of one without the other nothing is to be seen.
NEEDS = {"netns@night": "netns-own"}
LIVE = "run/kubens-generator"
CALLS = ("access,openat,newfstatat,statx,read,write,readlink,getdents64,mkdir,symlink,link,rename,unlink,rmdir,close,"
         "chdir,fcntl,lseek,ioctl,getppid")  # fmt: skip
# What the tree does not have, from this computer: the interpreter and strace, below the tree's own /usr.
ROOT = """
set -eu
cd "$0"
mkdir -p usr dev proc
for directory in bin lib lib32 lib64 sbin; do
    [ ! -L "/$directory" ] || cp -P "/$directory" .
done
mount -t overlay -o "lowerdir=$PWD/usr:/usr" overlay usr
touch dev/null
mount --bind /dev/null dev/null
mount --bind /proc proc
echo ready
cat
"""
CONSEQUENCES = (r"namespace \w+: (none of its services|nothing joins)|: there is no netns-own; mend that$"
                r"|cannot be bound over|, which cannot join: ")  # fmt: skip
SEED = 20261122
SAMPLES = {"error": 24, "kill": 12, "beginning": 6}
CLEAN, WITH_ERRORS, CRASHED, KILLED = 64, 65, 70, -9

pytestmark = pytest.mark.needs("root", "namespaces", "strace")


class Generator:
    """An installed generator, a tree for it, what comes out of it, and every system call it makes on the way.

    calls: those from where our own code begins. beginning: those before, which the interpreter makes. is_live: whether
    all that is configured lives already, so that it must not be lost.
    """

    def __init__(self, directory: Path, is_live: bool) -> None:
        self.is_live = is_live
        self.root = directory / "root"
        command = ["make", "--silent", f"--directory={CHECKOUT}", "install", f"DESTDIR={self.root}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        files = {**FULL, **POD, "/faulty": program}
        # Real programs for those that are run.
        build(self.root, {path: content for path, content in files.items() if path not in BASE})
        self._number = 0
        # For its mounts, which end with it.
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", ROOT, str(self.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout
        assert self._keeper.stdout.readline() == "ready\n"
        self.complete, trace = self.traced()
        if is_live:
            shutil.copytree(self.complete.output / ".kubens", self.root / LIVE, symlinks=True)
            # Of a type, its instances live; one that comes with us has nothing to be recorded.
            os.rename(self.root / LIVE / "netns-own", self.root / LIVE / "netns-own@night")
            os.mkdir(self.root / LIVE / "netns-lo@night")
            self.complete, trace = self.traced()
        self.calls: list[Call] = []
        self.beginning: list[Call] = []
        counts: dict[str, int] = {}
        into = self.beginning
        for line in trace.splitlines():
            name = line.partition("(")[0]
            counts[name] = counts.get(name, 0) + 1
            # The interpreter's own beginning is not ours: the shell in front answers for that.
            into = self.calls if "/etc/kubens" in line else into
            if name in CALLS.split(","):
                into.append((name, counts[name]))
        self.everything = {name: self._parts(name)[0] for name in TREES}
        self.effective = {name: self._parts(name)[1] for name in TREES}

    def close(self) -> None:
        self._keeper.communicate()

    def traced(self, fault: str = "", output: Path | None = None) -> tuple[Run, str]:
        """Run with a fault, `NAME:error=…:when=…`; how it ended, and a trace of the calls of that name, or of all."""
        self._number += 1
        output = output or self.root / f"output{self._number}"
        output.mkdir(exist_ok=True)
        done = self.run(output, *self._strace(fault), *COMMAND)
        return done, (self.root / "trace").read_text(errors="replace")

    def from_the_shell(self, call: Call, fault: str) -> Run:
        """Run as systemd does while something lives, the interpreter having a fault whatever it is given to run."""
        name, number = call
        strace = shlex.join(self._strace(f"{name}:{fault}:when={number}"))
        (self.root / "faulty").write_text(f'#!/bin/sh\nexec {strace} {INTERPRETER[0]} "$@"\n')
        text = (self.root / f"{GENERATORS}/.kubens-recorded"[1:]).read_text()
        (self.root / "recorded").write_text(text.replace(f"python={INTERPRETER[0]}\n", "python=/faulty\n"))
        self._number += 1
        output = self.root / f"output{self._number}"
        output.mkdir()
        return self.run(output, "sh", "/recorded")

    @staticmethod
    def _strace(fault: str) -> list[str]:
        command = ["strace", "--quiet=all", "--output=/trace", f"--trace={fault.partition(':')[0] or CALLS}"]
        return [*command, f"--inject={fault}"] if fault else command

    def run(self, output: Path, *command: str) -> Run:
        """Run a command over the tree; one that takes a second of a processor is killed. Raises TimeoutExpired."""
        inside = ["nsenter", f"--target={self._keeper.pid}", "--mount", "chroot", str(self.root)]
        done = subprocess.run(
            [*inside, *command, f"/{output.name}"],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            # On a busy computer a second is long.
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (1, 1)),
            timeout=60,
        )
        return Run(output, done.returncode, done.stderr)

    def with_fault(self, call: Call, fault: str) -> tuple[Run, str]:
        """Run with a fault in one call; how it ended, and the call."""
        name, number = call
        run, trace = self.traced(f"{name}:{fault}:when={number}")
        same = [line for line in trace.splitlines() if line.startswith(f"{name}(")]
        line = same[number - 1] if len(same) >= number else ""
        assert "(INJECTED)" in line or fault.startswith("signal"), (call, line)
        return run, line

    def _parts(self, name: str) -> tuple[list[Path], list[Path]]:
        """All that a tree has in the output, and that of it which takes effect by itself."""
        whole = self.complete.output
        units = whole / ".kubens" / name / "units"
        found = [path.relative_to(units) for path in units.rglob("*") if not path.is_dir() or path.is_symlink()]
        links = [path for path in whole.glob("*.d/*") if f"/.kubens/{name}/" in os.readlink(path)]
        dropins = [path.relative_to(whole) for path in links]
        return found + dropins, dropins + [path for path in found if path.parent.suffix in (".wants", ".requires")]


@pytest.fixture(scope="module", params=[False, True], ids=["new", "live"])
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generator]:
    made = Generator(tmp_path_factory.mktemp("faults"), request.param)
    yield made
    made.close()


def chosen(what: str, calls: list[Call], errors: tuple[str, ...] = ERRORS) -> list[tuple[Call, str]]:
    every = [(call, error) for call in calls for error in errors]
    if os.environ.get("KUBENS_FAULTS") == "all":
        return every
    return random.Random(SEED).sample(every, SAMPLES[what])


def state(path: Path) -> bytes | str | None:
    """What systemd makes of a path: a file's text, or what a link says; None for a drop-in that leads nowhere.

    A tool that is not found in /usr/bin is found in /bin, which makes another digest.
    """
    if path.is_symlink() and path.parent.suffix != ".d":
        return os.readlink(path)
    if not path.exists():
        return None
    text = path.read_bytes().replace(b"/usr/bin/", b"/bin/")
    return re.sub(rb"^(ConditionPathExists=!.*/)[0-9a-f]{16}$", rb"\1DIGEST", text, flags=re.MULTILINE)


def lost(generator: Generator, output: Path) -> list[str]:
    """The trees of which a unit or a drop-in is missing. What lives may be as it was recorded, which is not the same;
    and it needs nobody who wants it."""
    found = []
    for name in TREES:
        needed = [path for path in generator.everything[name] if path.parent.suffix not in (".wants", ".requires")]
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
    everything, effective = generator.everything[name], generator.effective[name]
    if name in NEEDS:
        everything = everything + generator.everything[NEEDS[name]]
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
    assert {name: len(generator.effective[name]) for name in TREES} == {
        "blue": 2, "netns-own": 0, "netns@night": 5, "pod@shop": 1, "red": 5
    }  # fmt: skip


def test_a_generator_that_may_make_files_and_no_links_to_them(generator: Generator) -> None:
    """As Debian's SELinux policy has it, which lets generators neither link nor unlink."""
    done, _ = generator.traced("link,unlink:error=EACCES")
    assert (done.status, done.lines) == (CLEAN, generator.complete.lines)
    assert lost(generator, done.output) == half_done(generator, done) == []


# What is loaded late, and the ancestors by which log.py knows PID 1's helper.
OWN = re.compile(r"/usr/lib/kubens/__pycache__/\w+\.cpython|/usr/lib/python3[.0-9]*(/|$)|/proc/\d+/stat$")


def test_a_boot_touches_nothing_else(generator: Generator) -> None:
    """As test_boot_path.py has it of runs with KUBENS_ROOT."""
    output = generator.root / "boot"
    output.mkdir()
    strace = ["strace", "--quiet=all", "--output=/trace", "--string-limit=4096"]
    assert generator.run(output, *strace, *COMMAND).status == CLEAN
    calls = re.findall(r"^(\w+)\((.*)", (generator.root / "trace").read_text(errors="replace"), re.MULTILINE)
    begin = next(place for place, (_, rest) in enumerate(calls) if '"/etc/kubens"' in rest)
    assert len(calls) > begin + 300
    assert FORBIDDEN.isdisjoint(name for name, _ in calls[begin:])
    for name, path, rest in touched(calls[begin:]):
        if f"{path}/".startswith("/boot/") and "/../" not in path:
            continue
        assert name not in CHANGES and "O_WRONLY" not in rest and "O_RDWR" not in rest, (name, rest)
        assert READ.match(path) or OWN.match(path), (name, path)
    shutil.rmtree(output)


def test_a_failing_call_leaves_a_namespace_whole_or_not_there(generator: Generator) -> None:
    failures = []
    for call, error in chosen("error", generator.calls):
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
    for call, _ in chosen("kill", generator.calls, ("KILL",)):
        done, line = generator.with_fault(call, "signal=KILL")
        half = half_done(generator, done, was_killed=True)
        again = generator.traced(output=done.output)[0]
        if half or done.status != KILLED or (again.status, snapshot(done.output)) != (CLEAN, whole):
            failures.append((line, half, done.status, again.status))
        shutil.rmtree(done.output)
    assert not failures, "\n".join(map(str, failures))


@pytest.mark.parametrize(
    ("record", "status"),
    [("netns-own@x", boot.CRASHED), ("netns-other@x", boot.DONE_WITH_ERRORS)],
)
def test_a_type_of_which_something_lives_is_not_given_up(
    record: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody joins that, so no other tree needs the type."""
    files = {**BASE, "/etc/conf.d/netns/own.sh": "x=1\n", f"/{LIVE}/{record}/units/x": ""}
    root = build(tmp_path / "root", files)
    (tmp_path / "output/netns-own@.service").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)  # it goes to the output, and stays there
    assert boot.generate([str(tmp_path / "output")], {b"KUBENS_ROOT": os.fsencode(root)}) == status


def test_an_interpreter_that_cannot_begin_loses_nothing(generator: Generator) -> None:
    """What it says of itself then is its own; we say one line."""
    failures = []
    whole, recorded = snapshot(generator.complete.output), ["kubens-problems.service", "multi-user.target.wants"]
    for call, error in chosen("beginning", generator.beginning):
        done = generator.from_the_shell(call, f"error={error}")
        said = [line for line in done.stderr.splitlines() if re.match("kubens-generator: (?!warning|notice)", line)]
        if done.status == 0:
            is_right = snapshot(done.output) == whole and not said
        elif generator.is_live:
            is_right = done.status == len(said) == 1 and not lost(generator, done.output)
        else:
            is_right = done.status == len(said) == 1 and sorted(os.listdir(done.output)) == recorded
        if not is_right or os.listdir(generator.root / "dev") != ["null"]:
            failures.append((call, error, done.status, done.stderr))
        shutil.rmtree(done.output)
    assert not failures, "\n".join(map(str, failures))
