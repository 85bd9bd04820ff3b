"""`kubensctl migrate`: over from what people have, and back."""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Iterable

from kubens.files import Root
from kubens.finding import ERROR
from kubensctl import planning, predecessors, replace, report, static, terminal
from kubensctl.failure import Failure
from kubensctl.planning import Draft
from kubensctl.predecessors import Installation
from kubensctl.verbs import Verbs, add_root

# What is written, and where what was there is kept: the files below their own paths, and the list of them.
FILE = "/etc/kubens/60-migrated.conf"
KEPT = "/var/lib/kubens/migrated"
_LIST = f"{KEPT}/files.json"

EXAMPLES = """\
  kubensctl migrate --dry-run
  kubensctl migrate
  kubensctl migrate --undo

Then: systemctl daemon-reload. What runs goes on; a reboot is the proof."""


def declare(verbs: Verbs) -> None:
    verb = verbs.add("migrate", "take over what kubensmnt, OpenShift's additions or systemd-netns do", EXAMPLES, run)
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
    how.add_argument("--undo", action="store_true", help="put everything back as it was")
    add_root(verb, "change the machine below DIR, which does not run")


class _Migrated(Draft):
    """The machine's files as they will be."""

    def __init__(self, root: Root, text: str, gone: Iterable[str]) -> None:
        super().__init__(root, FILE, text)
        self._gone = frozenset(gone)

    def entries(self, path: str) -> dict[str, bool]:
        return {name: link for name, link in super().entries(path).items() if f"{path}/{name}" not in self._gone}

    def names(self, path: str) -> list[str]:
        return [name for name in super().names(path) if f"{path}/{name}" not in self._gone]


def run(arguments: argparse.Namespace) -> int:
    root = Root(arguments.root)
    out = terminal.standard_output()
    with replace.locked(root, FILE, arguments.dry_run):
        if arguments.undo:
            undo(root)
            out.line("Everything is back where it was. Then: systemctl daemon-reload")
            return 0
        if root.exists(_LIST):
            raise Failure(f"{KEPT} is there: it was migrated before; kubensctl migrate --undo takes that back")
        try:
            found = predecessors.find(root)
        except OSError as error:
            raise Failure(str(error)) from None
        text = _text(found)
        for installation in found:
            _show(out, installation)
        if not found:
            out.line("Nothing was found to be taken over.")
            return 0
        out.line(f"write {FILE}:")
        for line in text.splitlines():
            out.line(f"    {line}".rstrip())
        if not _is_sound(root, text, found):
            raise Failure("nothing is changed until this is mended")
        if not arguments.dry_run:
            apply(root, text, [path for installation in found for path in installation.files])
            out.line("Done. Then: systemctl daemon-reload. The way back: kubensctl migrate --undo")
    return 0


def _text(found: list[Installation]) -> str:
    sections = "\n".join(installation.configuration + "\n" for installation in found if installation.configuration)
    return f"# Written by kubensctl migrate; what was there before is in {KEPT}.\n{sections}"


def _show(out: terminal.Terminal, installation: Installation) -> None:
    out.line(f"{installation.name}:")
    for path in installation.files:
        out.line(f"  move {terminal.printable(path)}")
    for path in installation.kept:
        out.line(f"  keep {terminal.printable(path)}")


def _is_sound(root: Root, text: str, found: list[Installation]) -> bool:
    """Whether the generator is there, and takes all of it."""
    if not any(root.is_executable(path) for path in static.GENERATORS):
        raise Failure("the generator is not installed there: install kubens first")
    gone = [path for installation in found for path in installation.files]
    planned = planning.make(_Migrated(root, text, gone))
    errors = [finding for finding in planned.plan.findings if finding.severity == ERROR]
    report.show(terminal.standard_error(), planned.root, errors)
    return not errors


def apply(root: Root, text: str, files: list[str]) -> None:
    """Move the files aside and write the configuration. Interrupted at any time, undo() brings all of it back."""
    files = list(dict.fromkeys(files))
    kept = root.path + KEPT
    shutil.rmtree(kept, ignore_errors=True)
    for path in files:
        os.makedirs(os.path.dirname(kept + path), exist_ok=True)
        _copy(_place(root, path), kept + path)
    # Only from here on is there anything to bring back.
    replace.replace(root.path + _LIST, json.dumps(files, indent=2) + "\n")
    replace.replace(root.path + FILE, text)
    for path in files:
        os.unlink(_place(root, path))


def undo(root: Root) -> None:
    """Bring back what was moved aside."""
    try:
        listed = root.read(_LIST)
    except OSError as error:
        raise Failure(f"{_LIST}: {error}") from None
    if listed is None:
        raise Failure(f"nothing was migrated: there is no {_LIST}")
    for path in json.loads(listed):
        target = _place(root, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        draft = f"{target}.new"
        _copy(root.path + KEPT + path, draft)
        os.replace(draft, target)
    if os.path.lexists(root.path + FILE):
        os.unlink(root.path + FILE)
    # The list goes first: what is left without it means nothing.
    os.unlink(root.path + _LIST)
    shutil.rmtree(root.path + KEPT)


def _place(root: Root, path: str) -> str:
    """Where the file itself is, directories that are links followed inside the root."""
    directory, _, name = path.rpartition("/")
    return f"{root.path}{root.follow(directory)}/{name}"


def _copy(source: str, target: str) -> None:
    """With all that is of a file, its owner included; a link as a link."""
    if os.path.lexists(target):
        os.unlink(target)
    shutil.copy2(source, target, follow_symlinks=False)
    found = os.lstat(source)
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
