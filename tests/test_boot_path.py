"""What a run of the generator imports, reads, writes and starts, and that it works where systemd runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from trees import BASE, FULL, GENERATOR, MOUNTS, POD, Content, acted_on, build, generate, install, snapshot, touched

REFUSED: dict[str, Content] = {
    **FULL,
    "/etc/kubens/40-bad.conf": "[MountNamespace]\nName=worse\nWrap=bad ../x\n",
    "/etc/systemd/system/bad.service": "[Service]\nExecStart=/bin/sleep 1\nPrivateTmp=yes\n",
}

# What a boot without any configuration costs, and all there is.
NOTHING = ["gc", "kubens", "kubens.boot", "kubens.config", "kubens.files", "kubens.finding", "kubens.names",
           "kubens.syntax"]  # fmt: skip
FOR_UNITS = ["gc", "kubens", "kubens.boot", "kubens.command", "kubens.config", "kubens.escape", "kubens.execs",
             "kubens.files", "kubens.finding", "kubens.inventory", "kubens.lookup", "kubens.names",
             "kubens.plan", "kubens.render", "kubens.sandbox", "kubens.syntax", "kubens.tree", "kubens.units",
             "kubens.wrap", "kubens.write"]  # fmt: skip
FOR_FINDINGS = ["kubens.failures", "kubens.log"]
FOR_MOUNTS = [*FOR_UNITS, *FOR_FINDINGS, "kubens.aliases", "kubens.commandline", "kubens.foreign", "kubens.order",
              "kubens.unplain"]  # fmt: skip
EVERYTHING = [*FOR_MOUNTS, "kubens.netns", "kubens.netns_plan", "kubens.netns_units"]
FOR_PODS = ["kubens.manifests", "kubens.pods", "kubens.pods.appc", "kubens.pods.errors", "kubens.pods.escape",
            "kubens.pods.host", "kubens.pods.hostread", "kubens.pods.hostunits", "kubens.pods.jsonscan",
            "kubens.pods.jsontext", "kubens.pods.kube", "kubens.pods.manifest", "kubens.pods.mounts",
            "kubens.pods.parser", "kubens.pods.place", "kubens.pods.quantity", "kubens.pods.targets",
            "kubens.pods.units", "kubens.pods_plan"]  # fmt: skip
PODS: dict[str, Content] = {**POD, "/etc/kubens/pods/bad.json": '{"kind": "Pod"}'}

# Runs the generator as if it were the main program, and lists what was imported at its end.
LIST_MODULES = """
import posix, sys
leave = posix._exit
posix._exit = lambda status: (print(*sys.modules, flush=True), leave(status))
del sys.argv[0]
if sys.argv:
    with open(sys.argv[0]) as program:
        exec(program.read(), {"__name__": "__main__", "__file__": sys.argv[0]})
posix._exit(0)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return install(tmp_path_factory.mktemp("installed"))


def imported(interpreter: list[str], program: list[str], root: Path) -> set[str]:
    """The modules that a program has imported when it ends; none is the interpreter alone."""
    done = subprocess.run(
        [*interpreter, "-c", LIST_MODULES, *program],
        env={"KUBENS_ROOT": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("files", "modules"),
    [
        (BASE, NOTHING),
        (MOUNTS, FOR_MOUNTS),
        (FULL, EVERYTHING),
        (REFUSED, [*EVERYTHING, "kubens.sandbox_rules"]),
        ({**BASE, **PODS}, [*FOR_UNITS, *FOR_FINDINGS, *FOR_PODS]),
    ],
    ids=["nothing configured", "mount namespaces", "network namespaces", "findings", "pods"],
)
def test_nothing_is_imported_but(
    files: Mapping[str, Content], modules: list[str], installed: list[str], tmp_path: Path
) -> None:
    root = build(tmp_path / "root", files)
    (tmp_path / "output").mkdir()
    interpreter, program = installed[:4], installed[4:]
    alone = imported(interpreter, [], root)
    assert {"posix", "encodings"} <= alone
    found = imported(interpreter, [*program, str(tmp_path / "output")], root) - alone
    assert sorted(found) == sorted(modules)


def _cut(compiled: Path) -> None:
    start = next(compiled.glob("start.*.pyc"))
    start.write_bytes(start.read_bytes()[:3000])


def _fill_with_anything(compiled: Path) -> None:
    start = next(compiled.glob("start.*.pyc"))
    start.write_bytes(start.read_bytes()[:16] + bytes(range(256)))


def _take_a_group(compiled: Path) -> None:
    next(compiled.glob("later.*")).unlink()


def _break_a_group(compiled: Path) -> None:
    next(compiled.glob("later.*")).write_bytes(b"?")


@pytest.mark.parametrize("harm", [_cut, _fill_with_anything, _take_a_group, _break_a_group, shutil.rmtree])
def test_whatever_became_of_what_is_compiled_the_source_is_taken(harm: Callable[[Path], None], tmp_path: Path) -> None:
    generator = Path(install(tmp_path)[4])
    root = build(tmp_path / "root", FULL)
    good, output = tmp_path / "good", tmp_path / "output"

    def run(output: Path) -> tuple[int, str]:
        output.mkdir()
        environment = {"KUBENS_ROOT": str(root)}
        done = subprocess.run([generator, output], env=environment, stderr=subprocess.PIPE, text=True)
        return done.returncode, done.stderr

    as_it_was = run(good)
    harm(tmp_path / "lib/__pycache__")
    assert run(output) == as_it_was
    assert as_it_was[0] == 0 and snapshot(output) == snapshot(good)
    shutil.rmtree(tmp_path / "lib")
    shutil.rmtree(output)
    status, said = run(output)
    assert (status, said.count("\n")) == (1, 2) and "did not run the generator" in said
    assert sorted(os.listdir(output)) == ["kubens-problems.service", "multi-user.target.wants"]


class Trace:
    """The system calls of a run. own: those made after the interpreter was up."""

    def __init__(self, root: Path, output: Path) -> None:
        output.mkdir()
        log = output.parent / "trace"
        subprocess.run(
            ["strace", "-f", "-qq", "-s", "4096", "-o", str(log), str(GENERATOR), str(output)],
            env={"KUBENS_ROOT": str(root), "PATH": os.environ["PATH"]},
            stderr=subprocess.DEVNULL,
        )
        self.calls = re.findall(r"^\d+ +(\w+)\((.*)", log.read_text(errors="replace"), re.MULTILINE)
        begin = max(place for place, (_, rest) in enumerate(self.calls) if '/start.py"' in rest)
        self.own = self.calls[begin + 1 :]


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    "files", [BASE, FULL, REFUSED, {**BASE, **PODS}], ids=["nothing configured", "namespaces", "findings", "pods"]
)
def test_a_run_starts_nothing_and_touches_nothing_else(files: Mapping[str, Content], tmp_path: Path) -> None:
    root, output = build(tmp_path / "root", files), tmp_path / "output"
    trace = Trace(root, output)
    names = [name for name, _ in trace.calls]
    assert names.count("execve") == 1
    assert not {"fork", "vfork", "clone", "clone3"} & set(names)
    assert not {name for name, _ in trace.own} & FORBIDDEN
    for name, path, rest in touched(trace.own):
        inside = f"{path}/".startswith(f"{output}/") and "/../" not in path
        if "O_WRONLY" in rest or "O_RDWR" in rest or name in CHANGES:
            assert inside or path == "/dev/kmsg", (name, path)
        elif path.startswith(f"{root}/"):
            assert READ.match(path[len(str(root)) :]), (name, path)
        elif not inside:
            assert ELSEWHERE.match(path), (name, path)


FORBIDDEN = {"fork", "vfork", "clone", "clone3", "execve", "socket", "socketpair", "connect", "bind", "kill", "mount",
             "umount2", "setns", "unshare", "chroot", "chmod", "chown"}  # fmt: skip
CHANGES = {"mkdir", "unlink", "rmdir", "link", "rename", "symlink"}
# Below the root: what is configured, units, what other generators make units from, programs, and whether we are off.
READ = re.compile(
    r"/(etc|usr/lib)/kubens(/[^/]*|/pods/[^/]*)?$"
    r"|/(etc|etc/conf\.d)$"
    r"|(/etc|/run|/usr/local/lib|/usr/lib|/?/lib)/systemd/(system|transient|system\.(control|attached))(/|$)"
    r"|/etc/(conf\.d/netns|netns(/[^/]*)?|resolv\.conf)$|/run/systemd/resolve(/stub-resolv\.conf)?$"
    r"|/run/kubens-generator(/|$)|/run/systemd/container$|/proc/(1/)?cmdline$|/dev(/null)?$|/sys/fs/selinux$"
    r"|/etc/init\.d/[^/]*$|/(etc|run|usr/share)/containers/systemd/[^/]*$"
    r"|/?(/usr|/usr/local)?/s?bin(/[^/]*)?$"
    # On the way there, for links.
    r"|/?/(etc|run|usr|lib|proc|usr/lib|usr/local|usr/local/lib|usr/share)$"
    r"|/(etc|run|usr/local/lib|usr/lib|lib)/systemd$"
    r"|/(etc/init\.d|(etc|run|usr/share)/containers(/systemd)?)$"
)
ELSEWHERE = re.compile(
    # Our own code, __future__, the null device, the ancestors by which log.py knows PID 1's helper.
    rf"{re.escape(str(GENERATOR.parent.parent))}(/|$)|/usr/lib/python3[.0-9]*(/|$)|/dev/null$|/proc/\d+/stat$"
)


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    root = build(tmp_path / "root", REFUSED)
    first, second = (generate(root, tmp_path / name) for name in ("first", "second"))
    assert first.lines == second.lines
    assert snapshot(first.output) == snapshot(second.output)
    third = generate(root, tmp_path / "first")
    assert snapshot(third.output) == snapshot(second.output)


def test_two_at_once_into_two_directories(tmp_path: Path) -> None:
    root = build(tmp_path / "root", FULL)
    expected = snapshot(generate(root, tmp_path / "alone").output)
    outputs = [tmp_path / str(number) for number in range(8)]
    for output in outputs:
        output.mkdir()
    running = [
        subprocess.Popen([str(GENERATOR), str(output)], env={"KUBENS_ROOT": str(root)}, stderr=subprocess.DEVNULL)
        for output in outputs
    ]
    assert [process.wait(30) for process in running] == [0] * len(running)
    assert all(snapshot(output) == expected for output in outputs)


@pytest.mark.parametrize("beginning", ["{}/", "", "./"], ids=["as systemd gives them", "relative", "with a dot"])
def test_three_arguments(beginning: str, tmp_path: Path) -> None:
    """Of what lives, a unit that comes before those of /etc."""
    files = {**REFUSED, "/etc/systemd/system/red.service": ""}
    root = build(tmp_path / "root", files)
    kept = root / "run/kubens-generator/red"
    shutil.copytree(generate(build(tmp_path / "before", FULL), tmp_path / "old").output / ".kubens/red", kept)
    expected = snapshot(generate(root, tmp_path / "alone").output)
    names = ("normal", "early", "late")
    for name in names:
        (tmp_path / name).mkdir()
    given = [beginning.format(tmp_path) + name for name in ("root", *names)]
    command = [str(GENERATOR), *given[1:]]
    subprocess.run(command, env={"KUBENS_ROOT": given[0]}, cwd=tmp_path, stderr=subprocess.DEVNULL)
    normal, early, late = (snapshot(tmp_path / name) for name in names)
    assert "red.service" in early and "red.service" not in normal and late == {}
    assert {**normal, **early} == expected


def test_a_relative_path_where_the_working_directory_was_removed(tmp_path: Path) -> None:
    root = build(tmp_path / "root", MOUNTS)
    (tmp_path / "gone").mkdir()
    script = f'rmdir "$PWD" && exec {GENERATOR} "$0"'
    command = ["sh", "-c", script, "output"]
    done = subprocess.run(
        command, env={"KUBENS_ROOT": str(root)}, cwd=tmp_path / "gone", stderr=subprocess.PIPE, text=True
    )
    errors = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert done.returncode == 1
    assert errors and all("cannot write" in line and "No such file or directory" in line for line in errors)


@pytest.mark.parametrize("arguments", [(), ("a", "b"), ("a", "b", "c", "d")])
def test_another_number_of_arguments_is_one_line(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run([str(GENERATOR), *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "kubens-generator: error: usage: kubens-generator NORMAL [EARLY LATE]\n"
    assert snapshot(tmp_path) == {}


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_descriptors_change_nothing(closed: tuple[int, ...], tmp_path: Path) -> None:
    """And what is said does not end in a file that got the number of standard error."""
    root = build(tmp_path / "root", REFUSED)
    expected = generate(root, tmp_path / "alone")
    script = f'exec "$@" {" ".join(f"{number}>&-" for number in closed)}'
    done = generate(root, tmp_path / "output", prefix=("sh", "-c", script, "sh"))
    assert done.status == expected.status == 1
    assert snapshot(done.output) == snapshot(expected.output)


# As systemd's generator_sandbox since 253: a mount namespace of their own in which all but the output is read-only.
READ_ONLY = """
set -eu
output=$1; shift
mount --make-rprivate /
mount --bind "$output" "$output"
for target in $(findmnt --noheadings --raw --output TARGET); do
    [ "$target" = "$output" ] || mount -o remount,bind,ro "$target" 2>/dev/null || :
done
"""


NO_KERNEL_LOG = """
mount -n -t tmpfs none /mnt
touch /mnt/null
mount -n --bind /dev/null /mnt/null
mount -n --move /mnt /dev
"""


def sandboxed(script: str, output: Path) -> tuple[str, ...]:
    """A prefix that runs a command in that sandbox, after some more commands of a shell."""
    output.mkdir(exist_ok=True)
    return ("unshare", "--mount", "sh", "-c", f'{READ_ONLY}{script}\nexec "$@"', "sh", str(output))


@pytest.mark.needs("root", "namespaces")
@pytest.mark.parametrize(
    "script",
    ["! touch /usr/bin/written 2>/dev/null", "mount -t tmpfs -o ro none /proc", NO_KERNEL_LOG],
    ids=["read-only", "no /proc", "no /dev/kmsg"],
)
def test_it_works_in_systemds_sandbox(script: str, tmp_path: Path) -> None:
    root = build(tmp_path / "root", REFUSED)
    expected = generate(root, tmp_path / "alone")
    done = generate(root, tmp_path / "output", prefix=sandboxed(script, tmp_path / "output"))
    assert (done.status, done.lines) == (1, expected.lines)
    assert snapshot(done.output) == snapshot(expected.output)


@pytest.mark.needs("root", "namespaces")
@pytest.mark.parametrize("files", [BASE, FULL, REFUSED], ids=["nothing configured", "namespaces", "findings"])
def test_an_output_that_cannot_be_written_is_no_crash(files: Mapping[str, Content], tmp_path: Path) -> None:
    root = build(tmp_path / "root", files)
    script = f'mount -o remount,bind,ro "{tmp_path / "output"}"'
    done = generate(root, tmp_path / "output", prefix=sandboxed(script, tmp_path / "output"))
    assert done.status == (0 if files is BASE else 1)
    assert snapshot(done.output) == {}
    written = [line for line in done.lines if "cannot write" in line]
    assert len(written) == {len(BASE): 0, len(FULL): 5, len(REFUSED): 5}[len(files)]


@pytest.mark.needs("root", "namespaces")
@pytest.mark.parametrize("limit", ["nr_inodes", "size"])
def test_a_full_disk_leaves_whole_namespaces(limit: str, tmp_path: Path) -> None:
    """Wherever it is full, and whatever of it was there before."""
    root = build(tmp_path / "root", FULL)
    whole = generate(root, tmp_path / "alone").output
    members = {"red": ("a.service", "t@.service", "t@9.service", "real.service"), "blue": ("c.service",)}
    seen = set()
    for number in range(2, 50, 3):
        output, copy = tmp_path / f"output{number}", tmp_path / f"copy{number}"
        option = f"{limit}={number}" if limit == "nr_inodes" else f"size={number * 4}k"
        script = f'mount -t tmpfs -o {option} none "$output"; "$@"; status=$?; cp -a "$output" {copy}; exit $status'
        output.mkdir()
        prefix = ("unshare", "--mount", "sh", "-c", f"output=$1; shift; {script}", "sh", str(output))
        done = generate(root, output, prefix=prefix)
        assert "Traceback" not in done.stderr
        for name, units in members.items():
            expected = [acted_on(whole, unit) for unit in units]
            made = [acted_on(copy, unit) for unit in units]
            assert made in (expected, [None] * len(units)), (number, name)
            seen.add(made == expected)
            wanted = os.path.lexists(copy / f"multi-user.target.wants/{name}.service")
            assert wanted == (copy / f"{name}.service").exists() == (made == expected), (number, name)
    assert seen == {True, False}
