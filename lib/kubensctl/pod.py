"""`kubensctl pod`: what pods there are, what is wrong with a manifest, and the trees of its apps."""

from __future__ import annotations

import argparse
import json
import os
import sys

from kubens import config, manifests
from kubens.files import Root
from kubens.finding import ERROR, NOTICE, WARNING, Finding
from kubens.pods import place
from kubens.pods.errors import PodError
from kubens.pods.host import HOST, HostApp, HostPod
from kubens.pods.hostunits import app_socket, app_unit, pod_target, rootfs
from kubens.pods.tree import beneath
from kubensctl import check, manager, podtree, report, terminal
from kubensctl.failure import Failure
from kubensctl.manager import State
from kubensctl.planning import Planned
from kubensctl.podtree import Source
from kubensctl.terminal import BOLD, GREEN, GREY, PLAIN, RED, YELLOW, Painted
from kubensctl.verbs import Verbs, add_json, add_root

CHECK_EXAMPLES = """\
  kubensctl pod check                   all that are in /etc/kubens/pods
  kubensctl pod check ./shop.json       one before it is put there

Exit status: 0 no errors, 1 errors."""

PREPARE_EXAMPLES = """\
  kubensctl pod prepare shop --tree ./unpacked
  kubensctl pod prepare shop --tree web=./web --oci worker=./layout:latest

A pod of one app needs no APP=. The manifest has to be in /etc/kubens/pods already."""


def declare(verbs: Verbs) -> None:
    group = verbs.group("pod", "list and check pods, and put the trees of their apps in place")
    verb = group.add("list", "show each pod and its apps", "  kubensctl pod list", run_list)
    add_root(verb)
    add_json(verb)
    verb = group.add(
        "check", "say what is wrong with manifests, and with the trees of their apps", CHECK_EXAMPLES, run_check
    )
    verb.add_argument("files", metavar="FILE", nargs="*", help="a manifest, by default all that are configured")
    add_root(verb)
    add_json(verb)
    verb = group.add("prepare", "put the trees of a pod's apps in their places", PREPARE_EXAMPLES, run_prepare)
    verb.add_argument("name", metavar="NAME", help="the pod")
    verb.add_argument("--tree", metavar="[APP=]DIR", action="append", default=[], help="a directory to be copied")
    verb.add_argument(
        "--oci", metavar="[APP=]DIR[:TAG]", action="append", default=[], help="an OCI image layout to be unpacked"
    )
    verb.add_argument("--replace", action="store_true", help="replace trees that are there, with all that is in them")
    add_root(verb)


def run_list(arguments: argparse.Namespace) -> int:
    root = Root(arguments.root)
    configuration = config.load(root)
    pods = [configuration.pods[name] for name in sorted(configuration.pods)]
    units = [unit for pod in pods for unit in (pod_target(pod.name), *(_unit(pod, app) for app in pod.apps))]
    states = manager.connect().states(units) if units and not root.path else {}
    if arguments.json:
        json.dump([_as_json(root, pod, states) for pod in pods], sys.stdout, indent=2)
        print()
        return 0
    out = terminal.standard_output()
    rows: list[list[Painted]] = []
    for pod in pods:
        target = pod_target(pod.name)
        rows.append([(pod.name, BOLD), (target, PLAIN), _state(states.get(target)), ("", PLAIN)])
        for app in pod.apps:
            unit = _unit(pod, app)
            note = "" if root.exists(rootfs(pod, app)) else f"no tree: kubensctl pod prepare {pod.name}"
            rows.append([(f"  {app.name}", PLAIN), (unit, PLAIN), _state(states.get(unit)), (note, YELLOW)])
    if rows:
        out.table([[(title, GREY) for title in ("POD", "UNIT", "STATE", "")], *rows])
    broken = sorted({finding.file for finding in configuration.findings if _is_pods_error(finding)})
    for path in broken:
        out.line(out.paint(f"{terminal.printable(path)} is no pod: kubensctl pod check", RED))
    if not rows and not broken:
        out.line(f"There are no pods: their manifests belong in {config.PODS_DIRECTORY}.")
    return 0


def _unit(pod: HostPod, app: HostApp) -> str:
    return app_socket(pod, app) if app.listen else app_unit(pod, app)


def _state(state: State | None) -> Painted:
    if state is None:
        return "-", GREY
    if state.load == "not-found":
        return "not made: systemctl daemon-reload", YELLOW
    return state.active, {"active": GREEN, "failed": RED}.get(state.active, PLAIN)


def _is_pods_error(finding: Finding) -> bool:
    return finding.severity == ERROR and finding.file.startswith(config.PODS_DIRECTORY)


def _as_json(root: Root, pod: HostPod, states: dict[str, State]) -> dict[str, object]:
    def active(unit: str) -> str | None:
        return states[unit].active if unit in states else None

    apps = [
        {
            "name": app.name,
            "unit": app_unit(pod, app),
            "socket": app_socket(pod, app) if app.listen else None,
            "active": active(_unit(pod, app)),
            "tree": rootfs(pod, app),
            "prepared": root.exists(rootfs(pod, app)),
        }
        for app in pod.apps
    ]
    target = pod_target(pod.name)
    return {"name": pod.name, "file": pod.file, "unit": target, "active": active(target), "apps": apps}


def run_check(arguments: argparse.Namespace) -> int:
    root = Root(arguments.root)
    findings: list[Finding] = []
    count = 0
    for reader, path in _manifests(root, arguments.files):
        findings += check_file(root, reader, path)
        count += 1
    if arguments.json:
        json.dump([check.as_json(finding) for finding in findings], sys.stdout, indent=2)
        print()
    else:
        out = terminal.standard_output()
        report.show(out, root, findings)
        out.line(f"{count} manifest{'s' * (count != 1)}: {report.summary(findings) or 'nothing to mend'}.")
    return 1 if any(finding.severity == ERROR for finding in findings) else 0


def _manifests(root: Root, files: list[str]) -> list[tuple[Root, str]]:
    """What to check, each with the root that its path is below."""
    if not files:
        directory = config.PODS_DIRECTORY
        return [(root, f"{directory}/{name}") for name in root.files(directory, ".json")
                if root.link(f"{directory}/{name}") != "/dev/null"]  # fmt: skip
    for path in files:
        # The generator's reader is lenient about what is not there; who names a file means it.
        if not os.path.lexists(path):
            raise FileNotFoundError(f"{path}: no such file")
        if not path.endswith(".json"):
            raise Failure(f"{path} does not end in .json, as it will have to")
    return [(Root(), os.path.abspath(path)) for path in files]


def check_file(root: Root, reader: Root, path: str) -> list[Finding]:
    """All there is to say about a manifest, of the pod that it would be in the machine below root."""
    name = path.rpartition("/")[2][: -len(".json")]
    pod, made = manifests.read_file(reader, name, path)
    findings = list(pod.findings)
    if made:
        configuration = config.load(root)
        configuration.pods[name] = pod
        findings += [found for found in Planned(root, configuration).plan.findings if found.file == path]
        for app in pod.apps:
            findings += _tree_findings(root, pod, app)
        for volume in pod.volumes.values():
            if volume.kind == HOST and not volume.must_be.endswith("-or-create") and not root.exists(volume.source):
                where = next(mount.where for app in pod.apps for mount in app.mounts if mount.volume is volume)
                reason = f"{where}: {volume.source} is not there, and the pod does not start without it: make it there"
                findings.append(Finding(WARNING, path, 0, "", reason))
        for finding in findings:
            place.mark(finding, pod.text)
    return list({str(finding): finding for finding in findings}.values())


def _tree_findings(root: Root, pod: HostPod, app: HostApp) -> list[Finding]:
    """What is wrong with an app's tree, as far as it can be seen while nothing runs."""
    place = rootfs(pod, app)
    tree = root.path + place
    if not os.path.isdir(tree):
        reason = f"{app.where}: {app.name} has no tree at {place}: kubensctl pod prepare {pod.name}"
        return [Finding(NOTICE, pod.file, 0, "", reason)]
    findings = []
    for mount in app.mounts:
        try:
            resolved = beneath(tree, mount.path)
            problem = f"passes a link, to {resolved}" if resolved != mount.path else ""
        except PodError as error:
            problem = str(error)
        if problem:
            reason = f"{mount.where}: {mount.path} in {place} {problem}: write the path that is meant"
            findings.append(Finding(ERROR, pod.file, 0, "", reason))
    below = [mount.path for mount in app.mounts if app.exec[0].startswith(mount.path + "/")]
    if app.exec[0].startswith("/") and not below and not Root(tree).is_executable(app.exec[0]):
        reason = f"{app.where}: {app.exec[0]} is not in {place}, or cannot be executed: install it there"
        findings.append(Finding(WARNING, pod.file, 0, "", reason))
    return findings


def run_prepare(arguments: argparse.Namespace) -> int:
    root = Root(arguments.root)
    path = f"{config.PODS_DIRECTORY}/{arguments.name}.json"
    pod, made = manifests.read_file(root, arguments.name, path)
    out = terminal.standard_error()
    if not made:
        report.show(out, root, [finding for finding in pod.findings if finding.severity == ERROR])
        raise Failure(f"{path} has to be mended first")
    sources = [Source.parse(text, is_oci=False) for text in arguments.tree]
    sources += [Source.parse(text, is_oci=True) for text in arguments.oci]
    if not sources:
        raise Failure("say which tree: --tree DIR, or --oci DIR")
    apps = {app.name: app for app in pod.apps}
    for source in sources:
        if not source.app and len(apps) > 1:
            raise Failure(f"say for which app: {'|'.join(apps)}={source.path}")
        source.app = source.app or next(iter(apps))
        if source.app not in apps:
            raise Failure(f"pod {pod.name} has no app {source.app}: it has {' '.join(apps)}")
    podtree.refuse_mounted(root, pod)
    for source in sources:
        place = rootfs(pod, apps[source.app])
        podtree.put(root, place, source, arguments.replace)
        out.line(f"{source.app}: {place}")
        if source.is_oci:
            for line in podtree.image_says(source):
                out.line(f"  {terminal.printable(line)}")
    findings = [finding for app in pod.apps for finding in _tree_findings(root, pod, app)]
    report.show(out, root, findings)
    if not root.path:
        out.line(f"To start it: systemctl daemon-reload; systemctl start {pod_target(pod.name)}")
    return 1 if any(finding.severity == ERROR for finding in findings) else 0
