"""What is written about kubensctl and the configuration: help, manual pages, samples and completions say the same."""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ctl import kubensctl, write
from kubens import __version__, config, sandbox
from kubens.sandbox_rules import RULES
from kubensctl.main import parser
from machine import CHECKOUT

PAGES = sorted((CHECKOUT / "man").glob("*.rst"))
COMPLETION = CHECKOUT / "conf/completion"
SYSTEMCTL = "#!/bin/sh\n[ \"$1\" = list-unit-files ] && printf 'kubelet.service enabled -\\nk3s@.service static -\\n'\n"


def _page(name: str) -> str:
    return (CHECKOUT / "man" / name).read_text()


def _section(text: str, title: str, underline: str = "=") -> str:
    """What stands below a heading, up to the next one of its kind or a higher one."""
    _, found, rest = text.partition(f"\n{title}\n{underline * len(title)}\n")
    assert found, title
    return re.split(rf"\n[^\n]+\n(?:=+|{re.escape(underline)}+)\n", rest)[0]


def _verbs(of: argparse.ArgumentParser | None = None) -> dict[str, argparse.ArgumentParser]:
    """All verbs by what is typed: "status", and "netns list" where there is a group."""
    found = {}
    for action in (of or parser())._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, verb in action.choices.items():
                inner = _verbs(verb)
                found.update({f"{name} {more}": inner[more] for more in inner} or {name: verb})
    return found


def _options(verb: argparse.ArgumentParser) -> set[str]:
    return {option for action in verb._actions for option in action.option_strings if option.startswith("--")}


# The configuration


def test_the_page_has_every_setting_with_its_default() -> None:
    page = _page("kubens.conf.5.rst")
    for section in ("MountNamespace", "NetworkNamespace"):
        text = _section(page, f"[{section.upper()}]")
        described = dict(re.findall(r"^\*\*(\w+)=\*\*\n((?:    .*\n|\n)+)", text, re.MULTILINE))
        assert list(described) == [key for name, key, *_ in config.SETTINGS if name == section]
        for name, key, _, default in config.SETTINGS:
            if name == section and default:
                assert f"**{default}**" in described[key], key


def test_the_page_has_every_refused_setting() -> None:
    text = _section(_page("kubens.conf.5.rst"), "REFUSED SETTINGS")
    page = _page("kubens.conf.5.rst")
    titles = {
        sandbox.BARS: "Settings that keep a process from entering",
        sandbox.LOSES: "Settings that give a service a mount namespace of its own",
        sandbox.DOMAIN: "Settings that choose a security domain",
    }
    assert "all or nothing" in text
    for reason, title in titles.items():
        switched_off, _, always = _section(page, title, "-").partition("Refused always")
        for neutral, part in ((True, switched_off), (False, always)):
            named = set(re.findall(r"\*\*(\w+)=\*\*", part)) - {"Wrap"}
            rules = [(key, why, value is not None) for key, (_, _, why, value) in RULES.items()]
            ruled = {key for key, why, has_neutral in rules if why is reason and has_neutral is neutral}
            assert named == ruled, title


def test_the_page_has_every_command_setting() -> None:
    text = _section(_page("kubens.conf.5.rst"), "[MOUNTNAMESPACE]")
    _, _, rest = text.partition("A list of")
    assert tuple(re.findall(r"\*\*(Exec\w+)\*\*", rest.partition("What is not")[0])) == config.EXEC_SETTINGS


# The command line


def test_help_of_every_verb_has_examples_that_the_verb_takes() -> None:
    for name, verb in _verbs().items():
        text = kubensctl(*name.split(), "--help").stdout
        examples = re.findall(r"^  kubensctl (.*?)(?:   .*)?$", text, re.MULTILINE)
        assert examples, name
        for example in examples:
            assert f"{example} ".startswith(f"{name} ")
            verb.parse_args(example[len(name) :].split())


def test_examples_of_the_program_are_what_it_takes() -> None:
    examples = re.findall(r"^  kubensctl (.*)$", kubensctl("--help").stdout, re.MULTILINE)
    assert {example.split()[0] for example in examples} == {name.split()[0] for name in _verbs()}
    for example in examples:
        parser().parse_args(example.split())


# What is written for people who type.
TEXTS = (CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md")), *PAGES)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_what_is_written_to_be_typed_is_what_it_takes(path: Path) -> None:
    text = path.read_text()
    typed = re.findall(r"^(?: {4})?kubensctl +([^#|\n]*)$", text, re.MULTILINE)
    typed += re.findall(r"`kubensctl ([^`…]*)`", re.sub(r"\n *", " ", text))
    for arguments in typed:
        words = arguments.partition(" ||")[0].split()
        # A verb may be spoken of without what it needs.
        if not any(f"{verb} ".startswith(" ".join(words) + " ") for verb in _verbs()):
            parser().parse_args(words)
    assert typed or path.stem not in ("README", "troubleshooting", "kubensctl.1")


def test_version() -> None:
    assert kubensctl("--version").stdout == f"kubensctl {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("no-such-verb",), ("status", "--js"), ("plan", "--diff", "--output", "x")])
def test_a_wrong_command_line(arguments: tuple[str, ...]) -> None:
    done = kubensctl(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: kubensctl")


def test_the_page_has_every_verb_and_option() -> None:
    page = _page("kubensctl.1.rst")
    synopsis = [line for line in _section(page, "SYNOPSIS").splitlines() if line]
    described = set(re.findall(r"^(\w+(?: \w+)?)$", _section(page, "VERBS"), re.MULTILINE))
    options = set(re.findall(r"(?:^|, )(--[\w-]+)", _section(page, "OPTIONS"), re.MULTILINE))
    assert described == set(_verbs())
    assert options == {"--version"}.union(*map(_options, _verbs().values()))
    for name, verb in _verbs().items():
        line = next(line for line in synopsis if all(f"**{word}**" in line for word in name.split()))
        assert set(re.findall(r"--[\w-]+", line)) == _options(verb) - {"--help"}, name


# The pages


@pytest.mark.needs("man", "groff")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_read_without_a_warning(page: Path, tmp_path: Path) -> None:
    target = tmp_path / page.stem
    command = [sys.executable, "-m", "docutils", "--writer=manpage", "--strict", str(page), str(target)]
    subprocess.run(command, check=True)
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", str(target)]
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert page.stem.rpartition(".")[0] in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_refers_to_pages_that_exist(page: Path) -> None:
    ours = {path.stem for path in PAGES}
    for name, section in re.findall(r"(kubens[\w.-]*)(?:\*\*\\)?\((\d)\)", page.read_text()):
        assert f"{name}.{section}" in ours


def test_all_of_it_is_installed(tmp_path: Path) -> None:
    library = tmp_path / "usr/lib/kubens"
    for name in ("other.conf", "kubens/gone.py"):
        write(library, name, "")
    command = ["make", "--silent", f"--directory={CHECKOUT}", "install", f"DESTDIR={tmp_path}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert not (library / "kubens/gone.py").exists()
    share = tmp_path / "usr/share"
    for page in PAGES:
        assert (share / f"man/man{page.stem[-1]}" / page.stem).read_text().startswith('.\\" Man page generated'), page
    for path in ("bash-completion/completions/kubensctl", "zsh/site-functions/_kubensctl",
                 "fish/vendor_completions.d/kubensctl.fish", "doc/kubens/troubleshooting.md"):  # fmt: skip
        assert (share / path).stat().st_size > 1000
    subprocess.run([*command[:3], "uninstall", f"DESTDIR={tmp_path}"], check=True, stdout=subprocess.DEVNULL)
    # Another package's configuration is not ours to remove.
    (library / "other.conf").unlink()
    library.rmdir()
    assert [path for path in tmp_path.rglob("*kubens*") if path.name != "kubens" or path.parent.name != "etc"] == []


# Completions


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A $PATH with a systemctl that knows two services."""
    write(tmp_path, "systemctl", SYSTEMCTL).chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def _complete_bash(path: str, *words: str) -> list[str]:
    script = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kubensctl; printf "%s\\n" "${COMPREPLY[@]}"'
    command = ["bash", "-c", script, str(COMPLETION / "kubensctl.bash"), "kubensctl", *words]
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def _complete_fish(path: str, *words: str) -> list[str]:
    script = f"source {COMPLETION}/kubensctl.fish; complete -C 'kubensctl {' '.join(words)}'"
    environment = {"PATH": path, "HOME": "/nonexistent", "TERM": "dumb"}
    done = subprocess.run(["fish", "--no-config", "-c", script], env=environment, capture_output=True, text=True)
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def _complete(shell: str, path: str, *words: str) -> set[str]:
    return set({"bash": _complete_bash, "fish": _complete_fish}[shell](path, *words))


@pytest.mark.parametrize("shell", [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("bash", "fish")])
def test_completion_has_every_verb_and_option(shell: str, path: str) -> None:
    assert _complete(shell, path, "") >= {name.split()[0] for name in _verbs()}
    assert _complete(shell, path, "netns", "") == {"list", "save", "exec"}
    assert _complete(shell, path, "wr") == {"wrap"}
    assert _complete(shell, path, "--v") == {"--version"}
    for name, verb in _verbs().items():
        assert _complete(shell, path, *name.split(), "--") == _options(verb), name
    for words in ("wrap", "env", "release", "explain", "join blue", "leave --now blue"):
        assert _complete(shell, path, *words.split(), "k") == {"kubelet.service", "k3s@.service"}
    assert _complete(shell, path, "netns", "exec", "kubele") == {"kubelet.service"}
    assert _complete(shell, path, "status", "kub") == {"kubens"}
    assert _complete(shell, path, "wrap", "--namespace", "kub") == {"kubens"}
    assert _complete(shell, path, "wrap", "kubelet.service", "k3") == {"k3s@.service"}


@pytest.mark.needs("zsh")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("wra", "wrap "),
        ("rel", "release "),
        ("--vers", "--version "),
        ("wrap kube", "wrap kubelet.service "),
        ("wrap --dry", "wrap --dry-run "),
        ("wrap --namesp", "wrap --namespace "),
        ("check --js", "check --json "),
        ("netns exe", "netns exec "),
        ("netns exec kube", "netns exec kubelet.service "),
        ("join blue kube", "join blue kubelet.service "),
        ("plan --out", "plan --output "),
        ("explain k3", "explain k3s@.service "),
    ],
)
def test_completion_in_zsh(typed: str, completed: str, path: str) -> None:
    assert completed in _complete_zsh(path, typed)


def test_completion_in_zsh_names_every_verb_and_option() -> None:
    text = (COMPLETION / "_kubensctl").read_text()
    for name, verb in _verbs().items():
        assert re.search(rf"""['"]{name.split()[-1]}:""", text)
        assert all(option in text for option in _options(verb))


def _complete_zsh(path: str, typed: str) -> str:
    """What zsh, on a terminal, makes of a line after the tabulator key."""
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {"PATH": path, "TERM": "dumb", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
        os.execvpe("zsh", ["zsh", "-f", "-i"], environment)
    try:
        setup = f"PS1=READY; fpath=({COMPLETION} $fpath); autoload -Uz compinit; compinit -u -D; echo SET''UP\n"
        os.write(terminal, setup.encode())
        _read_until(terminal, r"SETUP\r?\n.*READY")
        os.write(terminal, f"kubensctl {typed}\t".encode())
        written = _read_until(terminal, re.escape(typed) + r"\S* $")
    finally:
        os.close(terminal)  # which hangs up on the shell
        os.waitpid(pid, 0)
    return written


def _read_until(terminal: int, pattern: str, timeout: float = 20.0) -> str:
    """What is written up to a pattern, without the sequences that move the cursor; after a long time, whatever came."""
    found = ""
    deadline = time.monotonic() + timeout
    while not re.search(pattern, found, re.DOTALL) and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            found += os.read(terminal, 65536).decode(errors="replace")
            found = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x07", "", found)
    return found
