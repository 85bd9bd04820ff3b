"""`kubensctl pod`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ctl import kubensctl, tree

from .booted import PODS, app, appc

TWO = appc(
    app("web", "/bin/web", mounts=[{"volume": "v", "path": "/data/x"}]),
    app("worker", "/bin/worker"),
    volumes=[{"name": "v", "kind": "empty"}],
)


def machine_with(path: Path, pod: Any = TWO) -> Path:
    return tree(path, {"/etc/kubens/pods/shop.json": json.dumps(pod)})


def an_app(path: Path, program: str) -> Path:
    """A tree with what copying can lose: a mode, an owner, a link, a hole."""
    (path / "bin").mkdir(parents=True)
    (path / "bin" / program).touch()
    (path / "bin" / program).chmod(0o4755)
    (path / "link").symlink_to("/nowhere")
    if os.geteuid() == 0:
        os.chown(path / "bin" / program, 33, 34)
        (path / "bin" / program).chmod(0o4755)
    return path


def findings(*arguments: str) -> list[tuple[str, str]]:
    found = json.loads(kubensctl("pod", "check", "--json", *arguments).stdout)
    return [(one["severity"], one["reason"]) for one in found]


def test_a_pod_is_prepared(tmp_path: Path) -> None:
    root = machine_with(tmp_path / "root")
    where = ("--root", str(root))
    web, worker = an_app(tmp_path / "a=web", "web"), an_app(tmp_path / "worker", "worker")
    listed = json.loads(kubensctl("pod", "list", "--json", *where).stdout)
    assert [pod["name"] for pod in listed] == ["shop"] and [one["prepared"] for one in listed[0]["apps"]] == [False] * 2
    done = kubensctl("pod", "prepare", "shop", "--tree", f"web={web}", "--tree", f"worker={worker}", *where)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    made = root / f"{PODS[1:]}/shop/web/rootfs"
    kept = os.lstat(made / "bin/web")
    assert (kept.st_mode, kept.st_uid) == (os.lstat(web / "bin/web").st_mode, os.lstat(web / "bin/web").st_uid)
    assert os.readlink(made / "link") == "/nowhere"
    # Nobody but root gets to programs that are set-uid.
    assert (root / f"{PODS[1:]}/shop").stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in made.parent.iterdir()) == ["rootfs"]
    assert "web" in kubensctl("pod", "list", *where).stdout
    assert findings(*where) == []

    (made / "written").touch()
    again = ("pod", "prepare", "shop", "--tree", f"web={web}", *where)
    done = kubensctl(*again)
    assert done.returncode == 1 and "--replace" in done.stderr and (made / "written").exists()
    assert kubensctl(*again, "--replace").returncode == 0 and not (made / "written").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("other", "--tree", "."), "link to nothing"),
        (("shop",), "say which tree"),
        (("shop", "--tree", "."), "say for which app: web|worker="),
        (("shop", "--tree", "db=."), "no app db"),
        (("shop", "--tree", "web=/nowhere"), "no directory"),
        (("shop", "--oci", "web=."), "no OCI image layout"),
        (("../x", "--tree", "."), "the name ../x"),
    ],
)
def test_what_cannot_be_prepared(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    root = machine_with(tmp_path / "root")
    done = kubensctl("pod", "prepare", *arguments, "--root", str(root))
    assert done.returncode == 1 and why in done.stderr
    assert not (root / PODS[1:]).exists()


@pytest.mark.needs("umoci", "root")
def test_an_image_is_unpacked(tmp_path: Path) -> None:
    layout, image = tmp_path / "layout", f"{tmp_path}/layout:v1"
    program = tmp_path / "web"
    program.touch(0o755)
    for command in (
        ("init", "--layout", layout),
        ("new", "--image", image),
        ("insert", "--image", image, program, "/bin/web"),
        ("config", "--image", image, "--config.entrypoint", "/bin/web", "--config.user", "33"),
    ):
        subprocess.run(["umoci", *command], check=True, capture_output=True)
    root = machine_with(tmp_path / "root", appc(app("web", "/bin/web")))
    for arguments in ((str(layout),), (f"web={layout}:v1", "--replace")):
        done = kubensctl("pod", "prepare", "shop", "--root", str(root), "--oci", *arguments)
        assert (done.returncode, done.stderr.splitlines()) == (0, [
            f"web: {PODS}/shop/web/rootfs",
            '  the image\'s command: ["/bin/web"]',
            '  the image\'s user: "33"',
        ])  # fmt: skip
        assert (root / f"{PODS[1:]}/shop/web/rootfs/bin/web").stat().st_mode & 0o777 == 0o755
    done = kubensctl("pod", "prepare", "shop", "--root", str(root), "--replace", "--oci", f"{layout}:v2")
    assert done.returncode == 1 and done.stderr.startswith("kubensctl: umoci failed: ")
    assert (root / f"{PODS[1:]}/shop/web/rootfs/bin/web").exists()
    subprocess.run(["umoci", "tag", "--image", image, "v2"], check=True, capture_output=True)
    done = kubensctl("pod", "prepare", "shop", "--root", str(root), "--replace", "--oci", str(layout))
    assert done.returncode == 1 and "say which image" in done.stderr


def test_a_link_in_a_tree(tmp_path: Path) -> None:
    root = machine_with(tmp_path / "root")
    web = an_app(root / f"{PODS[1:]}/shop/web/rootfs", "web")
    links = {"/etc": "passes the link /data to /etc", "../../../../..": "leaves", "srv": "a link, to /srv/x"}
    for target, why in links.items():
        (web / "data").symlink_to(target)
        errors = [reason for severity, reason in findings("--root", str(root)) if severity == "error"]
        assert len(errors) == 1 and errors[0].startswith("$.apps[0].mounts[0]: ") and why in errors[0]
        (web / "data").unlink()


def test_a_manifest_before_it_is_configured(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", {"/usr/lib/systemd/system/new-web.service": "[Service]\nExecStart=/bin/true\n"})
    new = tmp_path / "new.json"
    new.write_text(json.dumps(appc(app("web", "/bin/web", x=1), app("db", "/bin/db"))))
    found = findings("--root", str(root), str(new))
    assert [(severity, reason.partition(":")[0]) for severity, reason in found] == [
        ("warning", "$.apps[0].app.x"),
        ("error", "exists already (/usr/lib/systemd/system/new-web.service)"),
        ("notice", "$.apps[0]"),
        ("notice", "$.apps[1]"),
    ]
    new.write_text("{")
    done = kubensctl("pod", "check", "--root", str(root), str(new))
    assert done.returncode == 1 and "$: no JSON" in done.stdout and done.stdout.endswith("1 manifest: 1 error.\n")
    assert kubensctl("pod", "check", str(tmp_path / "none.json")).returncode == 1
    assert kubensctl("pod", "check", __file__).returncode == 1


def test_without_pods(tmp_path: Path) -> None:
    root = tree(tmp_path)
    assert kubensctl("pod", "list", "--root", str(root)).stdout.startswith("There are no pods")
    assert kubensctl("pod", "check", "--root", str(root)).stdout == "0 manifests: nothing to mend.\n"
