"""`kubensctl plan`: exactly what the generator writes, as text, as a difference, as files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ctl import kubensctl, tree, write
from machine import CHECKOUT

CONF = "/etc/kubens/services.conf"
FILES = {
    CONF: "[MountNamespace]\nWrap=a b@\n[MountNamespace]\nName=blue\nEnv=c\n",
    "/etc/systemd/system/a.service": "[Service]\nExecStart=/usr/bin/a é\n",
    "/etc/systemd/system/b@.service": "[Service]\nExecStart=/usr/bin/a %i\n",
    "/etc/systemd/system/c.service": "[Service]\nExecStart=/usr/bin/a\n",
}


def _files(directory: Path) -> dict[str, bytes]:
    """Every file and link below a directory, hidden ones included."""
    return {
        str(path.relative_to(directory)): os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        for path in directory.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def _generate(root: Path, output: Path) -> int:
    output.mkdir()
    environment = {**os.environ, "KUBENS_ROOT": str(root)}
    command = [str(CHECKOUT / "generator/kubens-generator"), str(output)]
    return subprocess.run(command, env=environment, stderr=subprocess.DEVNULL).returncode


def test_output_is_what_the_generator_writes(tmp_path: Path) -> None:
    for name, text in (("good", FILES[CONF]), ("bad", FILES[CONF] + "Wrap=/bad\n")):
        root = tree(tmp_path / name, {**FILES, CONF: text}, ("a",))
        status = _generate(root, tmp_path / f"{name}.generator")
        done = kubensctl("plan", "--root", str(root), "--output", str(tmp_path / f"{name}.plan"))
        assert (done.returncode, done.stdout) == (status, "")
        assert status == int(name == "bad")
        assert _files(tmp_path / f"{name}.plan") == _files(tmp_path / f"{name}.generator") != {}


def test_text_is_every_file_with_its_name(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", FILES, ("a",))
    kubensctl("plan", "--root", str(root), "--output", str(tmp_path / "out"))
    text = kubensctl("plan", "--root", str(root)).stdout
    for path, content in _files(tmp_path / "out").items():
        if not path.startswith(".kubens/"):
            resolved = (tmp_path / "out" / path).resolve()
            if resolved.is_file() and ".wants" not in path:
                content = resolved.read_bytes()
                assert f"# /run/systemd/generator/{path}\n{content.decode(errors='surrogateescape')}" in text
    assert "# /run/systemd/generator/multi-user.target.wants/blue.service → ../blue.service\n" in text


def test_difference_to_what_is_live(tmp_path: Path) -> None:
    root = tree(tmp_path, FILES, ("a",))
    new = kubensctl("plan", "--root", str(root), "--diff").stdout
    assert new.startswith("--- /dev/null\n+++ /run/systemd/generator/a.service.d/zz-kubens.conf\n")
    kubensctl("plan", "--root", str(root), "--output", f"{root}/run/systemd/generator")
    write(root, "/run/systemd/generator/other.service", "[Service]\n")
    assert kubensctl("plan", "--root", str(root), "--diff").stdout == ""
    write(root, "/etc/systemd/system/c.service.d/x.conf", "[Service]\nPrivateTmp=yes\n")
    write(root, "/etc/systemd/system/a.service", "[Service]\nExecStart=/usr/bin/a --new\n")
    lines = kubensctl("plan", "--root", str(root), "--diff").stdout.splitlines()
    assert "-ExecStart=/usr/bin/nsenter --mount=/run/kubens/mnt /usr/bin/a é" in lines
    assert "+ExecStart=/usr/bin/nsenter --mount=/run/kubens/mnt /usr/bin/a --new" in lines
    assert "--- /run/systemd/generator/c.service.d/zz-kubens.conf" in lines
    assert "+++ /run/systemd/generator/kubens-problems.service" in lines
    assert not any("other.service" in line for line in lines)


def test_findings_go_to_standard_error(tmp_path: Path) -> None:
    root = tree(tmp_path, {**FILES, CONF: "[MountNamespace]\nWrap=a /bad\n"}, ("a",))
    done = kubensctl("plan", "--root", str(root))
    assert (done.returncode, done.stderr) == (
        1,
        f"kubensctl: error: {CONF}:2: /bad: not a unit name, ignored: mend or remove it\n",
    )
    assert "# /run/systemd/generator/a.service.d/zz-kubens.conf\n" in done.stdout


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    root = tree(tmp_path, FILES, ("a",))
    script = f"{CHECKOUT}/bin/kubensctl plan --root {root}; echo $? >&2"
    done = subprocess.run(["bash", "-c", f"({script}) | true"], stderr=subprocess.PIPE, text=True)
    assert "Traceback" not in done.stderr
    assert done.stderr.split()[-1] in ("0", "141")
