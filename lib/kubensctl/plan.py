"""`kubensctl plan`: what the generator would write, as text, as a difference, or as files."""

from __future__ import annotations

import argparse
import difflib
import os
import tempfile

from kubens.files import Root
from kubens.finding import ERROR, Finding
from kubens.write import PROBLEMS
from kubensctl import planning, terminal
from kubensctl.planning import GENERATED, GENERATED_EARLY
from kubensctl.terminal import Terminal
from kubensctl.verbs import Verbs, add_root

# A tree as text by path; a link is text as well.
Tree = dict[str, str]


EXAMPLES = """\
  kubensctl plan --diff                 what would the next reload change?
  kubensctl plan --output /tmp/units    as files, to look at"""


def declare(verbs: Verbs) -> None:
    verb = verbs.add("plan", "show what the generator writes", EXAMPLES, run)
    add_root(verb)
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--diff", action="store_true", help="show how it differs from what is live")
    how.add_argument("--output", metavar="DIR", help="write it below DIR")


def run(arguments: argparse.Namespace) -> int:
    root = Root(arguments.root)
    planned = planning.make(root)
    errors = terminal.standard_error()
    findings = list(planned.plan.findings)
    if planned.switched_off:
        errors.line("kubensctl: kubens=0 is on the kernel command line, nothing is generated")
    if arguments.output is not None:
        findings += planned.write(arguments.output)
    else:
        with tempfile.TemporaryDirectory(prefix="kubensctl-") as output, \
                tempfile.TemporaryDirectory(prefix="kubensctl-") as early:  # fmt: skip
            findings += planned.write(output, early)
            new = {**_read_tree(output, GENERATED), **_read_tree(early, GENERATED_EARLY)}
        out = terminal.standard_output()
        if arguments.diff:
            _show_difference(out, _live_tree(root), new)
        else:
            _show(out, new)
        out.flush()
    _report(errors, findings)
    return 1 if any(finding.severity == ERROR for finding in findings) else 0


def _report(errors: Terminal, findings: list[Finding]) -> None:
    for finding in findings:
        errors.line(f"kubensctl: {finding.severity}: {finding}")


def _read_tree(output: str, place: str) -> Tree:
    """What systemd will see of an output directory, by the paths that it will have there."""
    tree = {}
    for directory, subdirectories, files in os.walk(output):
        # Where the writer keeps the texts that the drop-ins are links to.
        subdirectories[:] = [name for name in subdirectories if name != ".kubens"]
        for name in files:
            path = os.path.join(directory, name)
            tree[f"{place}/{os.path.relpath(path, output)}"] = _content(path, Root())
    return tree


def _live_tree(root: Root) -> Tree:
    """What the last reload left of ours among the output of all generators."""
    written = [PROBLEMS, f"multi-user.target.wants/{PROBLEMS}"]
    for path in _walk(root, f"{GENERATED}/.kubens"):
        # NAMESPACE/units/PATH or NAMESPACE/dropins/NAME/UNIT
        _, kind, rest = [*path.split("/", 2), "", ""][:3]
        if kind == "units":
            written.append(rest)
        elif kind == "dropins":
            name, _, unit = rest.partition("/")
            written.append(f"{unit}.d/{name}")
    tree = {}
    for path in written:
        for directory in (GENERATED_EARLY, GENERATED):
            if root.link(f"{directory}/{path}") is not None or root.exists(f"{directory}/{path}"):
                tree[f"{directory}/{path}"] = _content(f"{directory}/{path}", root)
                break
    return tree


def _walk(root: Root, directory: str, prefix: str = "") -> list[str]:
    """The paths of all files below a directory, relative to it."""
    found = []
    try:
        entries = root.entries(directory)
    except OSError:
        return []
    for name, is_link in entries.items():
        if is_link or root.is_file(f"{directory}/{name}"):
            found.append(prefix + name)
        else:
            found += _walk(root, f"{directory}/{name}", f"{prefix}{name}/")
    return found


def _content(path: str, root: Root) -> str:
    target = root.link(path)
    # Drop-ins are links to their text; of all others the target is what counts.
    if target is not None and "/.kubens/" not in target:
        return f"→ {target}\n"
    try:
        return root.read(path) or ""
    except OSError as error:
        return f"({error})\n"


def _show(out: Terminal, tree: Tree) -> None:
    """As systemctl cat does."""
    for number, path in enumerate(sorted(tree)):
        if number:
            out.line()
        text = tree[path]
        if text.startswith("→ "):
            out.line(out.paint(f"# {path} {text.rstrip()}", terminal.BLUE))
        else:
            out.line(out.paint(f"# {path}", terminal.BLUE))
            out.line(text.rstrip("\n"))


def _show_difference(out: Terminal, old: Tree, new: Tree) -> None:
    for path in sorted({*old, *new}):
        show_lines(out, unified(path, old.get(path), new.get(path)))


def show_lines(out: Terminal, lines: list[str]) -> None:
    """The lines of a unified difference, coloured."""
    colours = {"+": terminal.GREEN, "-": terminal.RED, "@": terminal.BLUE}
    for line in lines:
        colour = terminal.BOLD if line.startswith(("+++", "---")) else colours.get(line[:1], terminal.PLAIN)
        out.line(out.paint(line, colour))


def unified(path: str, old: str | None, new: str | None) -> list[str]:
    """The lines of a unified difference; None where there is no such file."""
    before, after = ("/dev/null" if text is None else path for text in (old, new))
    lines = difflib.unified_diff(
        (old or "").splitlines(), (new or "").splitlines(), before, after, lineterm=""
    )  # fmt: skip
    return list(lines)
