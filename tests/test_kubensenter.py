"""kubensenter, with the real nsenter, under each shell that may be /bin/sh.

Every case runs in a mount namespace of its own, where /run is a fresh tmpfs that holds

- ``/run/kubens/mnt``, ``/run/other/mnt``: a pinned mount namespace each, whose ``/run/inside/name`` names it,
- ``/run/other/env``, as NAME.service leaves it,
- ``/run/wrong/mnt``: a pinned network namespace,
- ``/run/stale/mnt``: the plain file that a stopped namespace leaves behind.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

KUBENSENTER = Path(__file__).resolve().parent.parent / "bin" / "kubensenter"
SHELLS: dict[str, list[str]] = {"dash": [], "bash": ["--posix"]}

pytestmark = pytest.mark.needs("root")


STAGE = """
set -e
mount -t tmpfs tmpfs /run
mkdir /run/inside
for name in kubens other wrong stale; do
    mkdir /run/$name
    mount --bind /run/$name /run/$name
    mount --make-private --make-unbindable /run/$name 2>/dev/null || mount --make-unbindable /run/$name
    : >/run/$name/mnt
done
for name in kubens other; do
    unshare --mount=/run/$name/mnt --propagation slave sh -ec "
        mount -t tmpfs tmpfs /run/inside
        echo $name >/run/inside/name
        mkdir '/run/inside/only here'"
done
echo KUBENSMNT=/run/other/mnt >/run/other/env
unshare --net=/run/wrong/mnt true
set +e
"""

WHERE = "cat /run/inside/name 2>/dev/null || echo host"


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> list[str]:
    path = shutil.which(request.param)
    if path is None:
        pytest.skip(f"no {request.param} here")
    return [path, *SHELLS[request.param]]


def run(
    shell: list[str],
    *arguments: str,
    env: dict[str, str] | None = None,
    cwd: str = "/",
    before: str = "",
    prefix: tuple[str, ...] = (),
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run kubensenter on the stage: *before* is shell code that runs there first, *prefix* goes in front."""
    variables = [f"{name}={value}" for name, value in (env or {}).items()]
    return subprocess.run(
        # taskset: binding a mount namespace that was made on another CPU fails in containers (Linux 6.18).
        ["taskset", "-c", str(min(os.sched_getaffinity(0))), "unshare", "--mount", "--propagation", "private"]
        + ["sh", "-c", STAGE + before + '\ncd "$0" && exec "$@"', cwd]
        + ["env", "-i", *variables, *prefix, *shell, str(KUBENSENTER), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "env", "where"),
    [
        ([], {}, "kubens"),
        (["-n", "other"], {}, "other"),
        (["--namespace", "other"], {}, "other"),
        (["--namespace=other"], {}, "other"),
        (["-n", "other"], {"KUBENSMNT": "/run/kubens/mnt"}, "other"),
        ([], {"KUBENSMNT": "/run/other/mnt"}, "other"),
        ([], {"KUBENSMNT": ""}, "kubens"),
        ([], {"KUBENSMNT": "/run/other/mnt", "DEFAULT_KUBENSMNT": "/run/wrong/mnt"}, "other"),
        ([], {"DEFAULT_KUBENSMNT": "/run/other/mnt"}, "other"),
        ([], {"DEFAULT_KUBENSMNT": ""}, "kubens"),
        # Nothing is pinned there: the command runs all the same.
        (["-n", "stale"], {}, "host"),
        (["-n", "absent"], {}, "host"),
        ([], {"KUBENSMNT": "/run/stale/mnt"}, "host"),
        ([], {"KUBENSMNT": "/run/absent/mnt"}, "host"),
        ([], {"KUBENSMNT": "/run"}, "host"),
        ([], {"KUBENSMNT": "/run/kubens/mnt/"}, "host"),
        ([], {"DEFAULT_KUBENSMNT": "/run/stale/mnt"}, "host"),
        ([], {"DEFAULT_KUBENSMNT": "/run/absent/mnt"}, "host"),
        ([], {"DEFAULT_KUBENSMNT": "/run/wrong/mnt"}, "host"),
    ],
)
def test_where_the_command_runs(shell: list[str], arguments: list[str], env: dict[str, str], where: str) -> None:
    result = run(shell, "-q", *arguments, "sh", "-c", f"{WHERE}; exit 7", env=env)
    assert (result.stdout, result.stderr, result.returncode) == (f"{where}\n", "", 7)


@pytest.mark.parametrize("pin", ["../other/mnt", "mnt", "./mnt"])
def test_relative_pin(shell: list[str], pin: str) -> None:
    result = run(shell, "-q", "sh", "-c", WHERE, env={"KUBENSMNT": pin}, cwd="/run/other")
    assert (result.stdout, result.stderr) == ("other\n", "")


def test_fifo_does_not_block(shell: list[str]) -> None:
    result = run(shell, "-q", "sh", "-c", WHERE, env={"KUBENSMNT": "/run/fifo"}, before="mkfifo /run/fifo")
    assert result.stdout == "host\n"


@pytest.mark.parametrize(
    ("arguments", "env"),
    [([], {"KUBENSMNT": "/run/wrong/mnt"}), (["-n", "wrong"], {}), (["-v"], {"KUBENSMNT": "/run/wrong/mnt"})],
)
def test_wrong_kind_fails(shell: list[str], arguments: list[str], env: dict[str, str]) -> None:
    result = run(shell, *arguments, "echo", "ran", env=env)
    assert (result.stdout, result.returncode) == ("", 1)
    assert "nsenter: reassociate to namespace" in result.stderr
    assert ("kubensenter: $KUBENSMNT: entering the mount namespace at /run/wrong/mnt\n" in result.stderr) is bool(
        arguments == ["-v"]
    )


def test_without_proc_nsenter_decides(shell: list[str]) -> None:
    hide = "mount -t tmpfs tmpfs /proc"
    inside = run(shell, "-q", "sh", "-c", WHERE, before=hide)
    assert (inside.stdout, inside.stderr) == ("kubens\n", "")
    stale = run(shell, "-q", "-n", "stale", "echo", "ran", before=hide)
    assert (stale.stdout, stale.returncode) == ("", 1)


def message(text: str) -> str:
    return f"kubensenter: {text}\n"


INSIDE = message("autodetect: entering the mount namespace at /run/kubens/mnt")
EXPLICIT = message("$KUBENSMNT: entering the mount namespace at /run/kubens/mnt")
NAMED = message("--namespace: entering the mount namespace at /run/kubens/mnt")
STALE = message("autodetect: no mount namespace is pinned at /run/stale/mnt, running on the host")
WRONG = message("autodetect: what is at /run/wrong/mnt is not a mount namespace, running on the host")
NOT_A_MOUNT = message("$KUBENSMNT: no mount namespace is pinned at /run/stale/mnt, running on the host")


@pytest.mark.parametrize(
    ("arguments", "env", "stderr"),
    [
        ([], {}, INSIDE),
        (["-q"], {}, ""),
        (["--quiet"], {}, ""),
        (["-q", "-v"], {}, INSIDE),
        ([], {"KUBENSENTER_LOG": "0"}, ""),
        (["-v"], {"KUBENSENTER_LOG": "0"}, INSIDE),
        ([], {"KUBENSENTER_LOG": "-1"}, ""),
        (["-v"], {"KUBENSENTER_LOG": "-1"}, ""),
        ([], {"KUBENSENTER_LOG": "loud"}, INSIDE),
        ([], {"KUBENSENTER_LOG": "08"}, INSIDE),
        ([], {"KUBENSMNT": "/run/kubens/mnt"}, ""),
        (["-v"], {"KUBENSMNT": "/run/kubens/mnt"}, EXPLICIT),
        ([], {"KUBENSMNT": "/run/kubens/mnt", "KUBENSENTER_LOG": "2"}, EXPLICIT),
        (["-n", "kubens"], {}, ""),
        (["--verbose", "-n", "kubens"], {}, NAMED),
        ([], {"DEFAULT_KUBENSMNT": "/run/stale/mnt"}, STALE),
        (["-q"], {"DEFAULT_KUBENSMNT": "/run/stale/mnt"}, ""),
        ([], {"DEFAULT_KUBENSMNT": "/run/wrong/mnt"}, WRONG),
        ([], {"KUBENSMNT": "/run/stale/mnt"}, NOT_A_MOUNT),
    ],
)
def test_messages(shell: list[str], arguments: list[str], env: dict[str, str], stderr: str) -> None:
    result = run(shell, *arguments, "true", env=env)
    assert (result.stdout, result.stderr, result.returncode) == ("", stderr, 0)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../tmp", "a b", "a\nb", "a*", "$(id)", "\u00e9"])
def test_name_is_refused(shell: list[str], name: str) -> None:
    result = run(shell, "-n", name, "echo", "ran")
    assert (result.stdout, result.returncode) == ("", 125)
    assert result.stderr == f"kubensenter: '{name}' cannot be the name of a namespace\n"


@pytest.mark.parametrize("name", ["container-mount-namespace", "a.b", "..a", "A_1:2@x", "-n", "a\\x2db"])
def test_name_is_taken(shell: list[str], name: str) -> None:
    result = run(shell, "-n", name, "echo", "ran")
    assert (result.stdout, result.returncode) == ("ran\n", 0)
    assert f" /run/{name}/mnt," in result.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-x", "echo", "ran"], "unknown option -x"),
        (["--quite"], "unknown option --quite"),
        (["-qv"], "unknown option -qv"),
        (["-q", "-n"], "-n needs the name"),
        (["--namespace"], "--namespace needs the name"),
    ],
)
def test_bad_usage(shell: list[str], arguments: list[str], reason: str) -> None:
    result = run(shell, *arguments)
    assert (result.stdout, result.returncode) == ("", 125)
    assert result.stderr.startswith(f"kubensenter: {reason}")


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(shell: list[str], option: str) -> None:
    result = run(shell, option, "echo", "ran")
    assert (result.stderr, result.returncode) == ("", 0)
    assert result.stdout.startswith("Usage: kubensenter ")
    assert all(f"--{word}" in result.stdout for word in ("namespace", "quiet", "verbose", "help"))


AWKWARD = ["", " ", "a b", "two\nlines\n", "-x", "--", "-q", "*", "$HOME", "a\\b", "é", "'", '"', ""]


@pytest.mark.parametrize("name", ["kubens", "absent"])
@pytest.mark.parametrize("end", [[], ["--"]])
@pytest.mark.parametrize("cwd", ["/", "/tmp"])
def test_arguments_pass_unchanged(shell: list[str], name: str, end: list[str], cwd: str) -> None:
    command = ["printf", "%s\\0", *AWKWARD]
    result = run(shell, "-q", "-n", name, *end, *command, cwd=cwd)
    assert result.stdout.split("\0")[:-1] == AWKWARD


@pytest.mark.parametrize("name", ["kubens", "absent"])
@pytest.mark.parametrize("cwd", ["/", "/tmp"])
@pytest.mark.parametrize("command", ["-q", "--help", "a=b", "a b", "--"])
def test_command_with_any_name(shell: list[str], tmp_path: Path, name: str, cwd: str, command: str) -> None:
    program = tmp_path / command
    program.write_text('#!/bin/sh\necho "ran $*"\n')
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    result = run(shell, "-q", "-n", name, "--", command, "x", cwd=cwd, env=env)
    assert (result.stdout, result.stderr) == ("ran x\n", "")


@pytest.mark.parametrize("name", ["kubens", "absent"])
@pytest.mark.parametrize(
    ("command", "status"),
    [(["/nonexistent/x"], 127), (["/etc/passwd"], 126), (["sh", "-c", "kill -9 $$"], -9), ([""], None)],
)
def test_exit_status(shell: list[str], name: str, command: list[str], status: int | None) -> None:
    result = run(shell, "-q", "-n", name, *command)
    assert result.returncode == status if status is not None else result.returncode in (126, 127)


@pytest.mark.parametrize("name", ["kubens", "absent"])
@pytest.mark.parametrize("end", [[], ["--"]])
def test_without_a_command_a_login_shell(shell: list[str], name: str, end: list[str]) -> None:
    script = f'echo "$0"; {WHERE}; pwd; exit 5\n'
    where = "kubens" if name == "kubens" else "host"
    for env, zero in (({"SHELL": "/bin/bash"}, "-bash"), ({}, "-sh")):
        result = run(shell, "-q", "-n", name, *end, env=env, cwd="/tmp", stdin=script)
        assert (result.stdout.split(), result.returncode) == ([zero, where, "/tmp"], 5)


OLD_UTIL_LINUX = "! [ -e /usr/bin/lsfd ] || mount --bind /dev/null /usr/bin/lsfd"


@pytest.mark.parametrize("before", ["", OLD_UTIL_LINUX], ids=["wdns", "unshare"])
class TestWorkingDirectory:
    def test_is_kept(self, shell: list[str], before: str) -> None:
        result = run(shell, "-q", "pwd", cwd="/usr/share", before=before)
        assert (result.stdout, result.stderr) == ("/usr/share\n", "")

    def test_is_the_one_inside(self, shell: list[str], before: str) -> None:
        result = run(shell, "-q", "sh", "-c", "ls; pwd -P", cwd="/run/inside", before=before)
        assert (result.stdout, result.stderr) == ("name\nonly here\n/run/inside\n", "")

    def test_with_a_blank(self, shell: list[str], before: str) -> None:
        directory = "/run/inside/only here"
        result = run(shell, "-q", "pwd", cwd=directory, before=f"{before}\nmkdir '{directory}'")
        assert (result.stdout, result.stderr) == (f"{directory}\n", "")

    def test_absent_inside(self, shell: list[str], before: str) -> None:
        make = before + "\nmkdir /run/inside/outside"
        result = run(shell, "-q", "echo", "ran", cwd="/run/inside/outside", before=make)
        assert (result.stdout, result.returncode) == ("", 1)
        assert "No such file or directory" in result.stderr

    def test_absent_inside_on_the_host(self, shell: list[str], before: str) -> None:
        make = before + "\nmkdir /run/inside/outside"
        result = run(shell, "-q", "-n", "absent", "pwd", cwd="/run/inside/outside", before=make)
        assert (result.stdout, result.stderr) == ("/run/inside/outside\n", "")


ENVIRONMENTS: dict[str, dict[str, str]] = {
    "empty": {},
    "service": {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "INVOCATION_ID": "0" * 32},
    "interactive": {"HOME": "/root", "PWD": "/tmp", "OLDPWD": "/", "SHLVL": "3", "_": "/usr/bin/env"},
    "without HOME": {"PWD": "/tmp", "SHLVL": "1"},
    "ours": {"KUBENSENTER_LOG": "0", "DEFAULT_KUBENSMNT": "/run/other/mnt", "KUBENSMNT": "/run/kubens/mnt"},
    "awkward": {"A": "", "B": "two\nlines\n", "C": "a=b", "level": "x", "name": "y", "CDPATH": "/"},
}


# As systemd executes it, but for the PWD that this shell sets.
BY_SYSTEMD = ("sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "sh")


def _received(shell: list[str], result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The variables, without what bash does on its own and cannot be told not to."""
    received = dict(variable.split("=", 1) for variable in result.stdout.split("\0")[:-1])
    if "--posix" in shell and received.get("SHLVL") == "0":
        del received["SHLVL"]
    return received


@pytest.mark.parametrize("name", ["kubens", "absent"])
@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_environment(shell: list[str], name: str, env: dict[str, str]) -> None:
    """One that has no PWD is given the right one, but where systemd executes it: as it is."""
    command = ("-q", "-n", name, "/usr/bin/env", "-0")
    expected = {key: value for key, value in env.items() if key != "_" or "--posix" not in shell}
    assert _received(shell, run(shell, *command, env=env, cwd="/tmp")) == {"PWD": "/tmp", **expected}
    received = _received(shell, run(shell, *command, env=env, cwd="/tmp", prefix=BY_SYSTEMD))
    assert received.pop("SYSTEMD_EXEC_PID").isdigit()
    expected.pop("PWD", None)
    assert received == expected


def test_environment_of_a_service_of_systemd_247(shell: list[str]) -> None:
    """systemd is the parent, and says no more."""
    arguments = [*shell, str(KUBENSENTER), "-q", "-n", "absent", "/usr/bin/env", "-0"]
    front = ["unshare", "--pid", "--fork", sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])"]
    own = {"INVOCATION_ID": "0"}
    of_a_child = {**own, "SYSTEMD_EXEC_PID": "7"}
    for env, has_pwd in ((own, False), (of_a_child, True), ({}, True)):
        done = subprocess.run([*front, *arguments], env=env, capture_output=True, text=True)
        assert ("PWD" in _received(shell, done)) is has_pwd, done.stderr


def test_environment_of_a_child_of_a_service(shell: list[str]) -> None:
    """It inherits SYSTEMD_EXEC_PID, and may have been given a PWD."""
    parents = run(shell, "-q", "/usr/bin/env", env={"HOME": "/", "SYSTEMD_EXEC_PID": "1", "PWD": "/"})
    assert "PWD=/\n" in parents.stdout


@pytest.mark.parametrize("name", ["kubens", "absent"])
def test_passed_descriptors_stay(shell: list[str], name: str) -> None:
    """Socket activation passes descriptors from 3 on: the very numbers that kubensenter uses in between."""
    script = 'exec 3</etc/passwd 4</etc/group 5</etc/hostname; exec "$@"'
    look = "readlink /proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5; exec ls /proc/self/fd"
    result = run(shell, "-q", "-n", name, "sh", "-c", look, prefix=("sh", "-c", script, "sh"))
    # 6 is the directory that ls reads.
    assert result.stdout.split() == ["/etc/passwd", "/etc/group", "/etc/hostname", *"0123456"]


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    ("arguments", "env", "programs"),
    [
        (["-n", "kubens", "--", "true"], {}, ["nsenter", "true"]),
        (["true"], {"KUBENSMNT": "/run/kubens/mnt"}, ["nsenter", "true"]),
        (["-v", "true"], {"DEFAULT_KUBENSMNT": "/run/other/mnt"}, ["nsenter", "true"]),
        (["-n", "absent", "--", "true"], {}, ["true"]),
        (["-v", "true"], {"DEFAULT_KUBENSMNT": "/run/wrong/mnt"}, ["true"]),
    ],
)
def test_starts_no_process(
    shell: list[str], tmp_path: Path, arguments: list[str], env: dict[str, str], programs: list[str]
) -> None:
    log = tmp_path / "strace"
    strace = ("strace", "-f", "-qq", "-o", str(log), "-e", "trace=process", "-e", "status=successful")
    result = run(shell, *arguments, env=env, prefix=strace)
    assert result.returncode == 0, result.stderr
    calls = log.read_text()
    assert not re.search(r"\b(v?fork|clone3?)\(", calls)
    chain = re.findall(r'^(\d+) +execve\("(?:[^"]*/)?([^"/]+)"', calls, re.MULTILINE)
    assert [program for _, program in chain] == [Path(shell[0]).name, *programs]
    assert len({pid for pid, _ in chain}) == 1


COST = """
import measure, sys
nsenter = ("/usr/bin/nsenter", "--mount=/run/kubens/mnt", "/usr/bin/true")
one, other = (lambda command=command: measure.seconds(command) for command in (tuple(sys.argv[1:]), nsenter))
print(min(measure.paired(one, other, 30)[2] for _ in range(3)))
"""


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (["-q"], []),
        (["-v", "-n", "kubens"], []),
        (["-q"], ["DEFAULT_KUBENSMNT=/run/other/mnt"]),
        (["-q"], [f"VARIABLE_{number}=of a service that has many" for number in range(60)]),
    ],
    ids=["default", "named", "default elsewhere", "60 variables"],
)
def test_it_takes_at_most_twice_as_long_as_nsenter(arguments: list[str], more: list[str]) -> None:
    """As systemd runs it: without HOME. Medians of pairs, of which the best of three: other tests run beside it."""
    mounts = "for number in $(seq 200); do mkdir -p /run/m/$number; mount -t tmpfs tmpfs /run/m/$number; done\n"
    done = subprocess.run(
        ["taskset", "-c", str(min(os.sched_getaffinity(0))), "unshare", "--mount", "--propagation", "private"]
        + ["sh", "-c", STAGE + mounts + 'exec "$@"', "sh"]
        + ["env", "-i", "INVOCATION_ID=0123456789abcdef", f"PYTHONPATH={KUBENSENTER.parent.parent}/bench", *more]
        + [sys.executable, "-c", COST, str(KUBENSENTER), *arguments, "--", "/usr/bin/true"],
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert float(done.stdout) <= 2.0


def test_shellcheck() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck here")
    subprocess.run(["shellcheck", "--shell=sh", str(KUBENSENTER)], check=True)
