"""The only place that writes: a plan into the generator's output directory.

A member without its namespace, or half of the members, would be worse than nothing. So a namespace's files are made
aside, the drop-ins are links that lead nowhere yet (systemd ignores such), and one rename gives all of them their
content. Whoever is killed before leaves nothing that systemd would act on.

    OUTPUT/.kubens/NAME/dropins/zz-kubens.conf/kubelet.service    the text of a drop-in
    OUTPUT/.kubens/NAME/units/                                    whole units and links, in the shape of the output
    OUTPUT/.kubens/NAME/namespace.conf                            the configuration, to be kept with it
    OUTPUT/.kubens/NAME/DIGEST                                    empty, tells this from what is kept already
    OUTPUT/kubelet.service.d/zz-kubens.conf                       → ../.kubens/NAME/dropins/zz-kubens.conf/kubelet...
    OUTPUT/NAME.service                                           does nothing unless something wants it
    OUTPUT/multi-user.target.wants/NAME.service                   comes last
"""

from __future__ import annotations

import posix

from kubens.finding import ERROR, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.tree import Plan, Tree

PROBLEMS = "kubens-problems.service"
_CANCELED = 125  # ECANCELED
_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_CLOEXEC


def write(plan: Plan, output: str, early: str = "") -> list[str]:
    """Write every tree, then kubens-problems.service where there are errors, those of writing among them.

    Leaves the working directory at output, or inside: where a thousand files are made, a tenth of the time goes into
    finding the directory of each by a path from the root.

    A tree that cannot be written is taken back as a whole. What goes wrong is added to the plan's findings; returned
    are the names of trees that are missing now.
    output, early: the absolute paths of the first two directories of systemd.generator(7); without the second nothing
    comes before /etc.
    """
    early = early or output
    missing: list[str] = []
    known: dict[str, bool] = {}
    for tree in plan.trees:
        try:
            for name in tree.needs:
                if name in missing:
                    raise OSError(_CANCELED, f"there is no {name}")
            _write_tree(tree, output, early, known)
        except OSError as error:
            missing.append(tree.name)
            _take_back(tree, output, early)
            reason = f"namespace {tree.name}: cannot write, nothing of it is generated: {error.strerror}; mend that"
            plan.findings.append(Finding(ERROR, output, 0, "", reason))
    errors = [str(finding) for finding in plan.findings if finding.severity == ERROR]
    if errors:
        try:
            _write_problems(errors, output, known)
        except OSError as error:
            _remove(f"{output}/{PROBLEMS}")
            plan.findings.append(Finding(ERROR, output, 0, PROBLEMS, f"cannot write: {error.strerror}; mend that"))
    elif not plan.trees:
        _make_marker(output)
    return missing


def _make_marker(output: str) -> None:
    """What tells the kubens-problems.service that is installed that all is well, though there was nothing to make."""
    try:
        posix.mkdir(f"{output}/.kubens", 0o755)
    except OSError:
        pass  # it will say that the generator did not run, which comes to the same


def _write_problems(errors: list[str], output: str, known: dict[str, bool]) -> None:
    from kubens import failures

    posix.chdir(output)
    _make_file(PROBLEMS, failures.problems_service(errors))
    _make_link(f"../{PROBLEMS}", f"multi-user.target.wants/{PROBLEMS}", known)


def _write_tree(tree: Tree, output: str, early: str, known: dict[str, bool]) -> None:
    posix.chdir(output)
    final, staging = f".kubens/{tree.name}", f".kubens/{tree.name}.new"
    if not _make_directory(".kubens", known):
        _remove_tree(final)
        _remove_tree(staging)
    _make_directory(staging, known)
    _make_directory(f"{staging}/units", known)
    _make_file(f"{staging}/namespace.conf", tree.record)
    _make_file(f"{staging}/{tree.digest}", "")
    for path, target in tree.links.items():
        _make_link(target, f"{staging}/units/{path}", known)
    for name, text in tree.units.items():
        _make_file(name, text)
        try:
            posix.link(name, f"{staging}/units/{name}")
        except PermissionError:
            # Debian's SELinux policy lets generators create files here, and not link them.
            _make_file(f"{staging}/units/{name}", text)
    for name, texts in tree.dropins.items():
        _make_directory(f"{staging}/dropins", known)
        _make_directory(f"{staging}/dropins/{name}", known)
        posix.chdir(f"{staging}/dropins/{name}")
        for unit, text in texts.items():
            _make_file(unit, text)
        posix.chdir(output)
        for unit in texts:
            _make_link(f"../.kubens/{tree.name}/dropins/{name}/{unit}", f"{unit}.d/{name}", known)
    for name, text in tree.early.items():
        _make_file(f"{staging}/units/{name}", text)
        _make_file(f"{early}/{name}", text)
    posix.rename(staging, final)
    for path, target in tree.links.items():
        _make_link(target, path, known)


def _take_back(tree: Tree, output: str, early: str) -> None:
    for name in tree.early:
        _remove(f"{early}/{name}")
    for path in (*tree.links, *tree.units):
        _remove(f"{output}/{path}")
    for name, texts in tree.dropins.items():
        for unit in texts:
            _remove(f"{output}/{unit}.d/{name}")
    for name in (tree.name, f"{tree.name}.new"):
        try:
            _remove_tree(f"{output}/.kubens/{name}")
        except OSError:
            continue


def _make_directory(path: str, known: dict[str, bool]) -> bool:
    """Make a directory, where there is none; whether this run has made it. known: the answers given before."""
    is_new = known.get(path)
    if is_new is None:
        try:
            posix.mkdir(path, 0o755)
            is_new = True
        except FileExistsError:
            is_new = False
        known[path] = is_new
    return is_new


def _make_link(target: str, path: str, known: dict[str, bool]) -> None:
    """Make a link, and the directory that it is in, where there is none."""
    _make_directory(path[: path.rindex("/")], known)
    try:
        posix.symlink(target, path)
    except FileExistsError:
        posix.unlink(path)
        posix.symlink(target, path)


def _make_file(path: str, text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    try:
        descriptor = posix.open(path, _NEW, 0o644)
    except FileExistsError:
        # Never through what an earlier run left: its other names are another tree's files.
        posix.unlink(path)
        descriptor = posix.open(path, _NEW, 0o644)
    try:
        while data:
            data = data[posix.write(descriptor, data) :]
    finally:
        posix.close(descriptor)


def _remove(path: str) -> None:
    try:
        posix.unlink(path)
    except OSError:
        pass


def _remove_tree(path: str) -> None:
    """Remove what an earlier run into the same directory left. Raises OSError; nothing there is fine."""
    if not posix.access(path, posix.F_OK):
        return
    for entry in list(posix.scandir(path)):
        if entry.is_dir(follow_symlinks=False):
            _remove_tree(f"{path}/{entry.name}")
        else:
            posix.unlink(f"{path}/{entry.name}")
    posix.rmdir(path)
