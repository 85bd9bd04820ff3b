"""What the tests of a fleet's tools share: appliers, each written from its format's specification and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

# A file's mode and content by path.
Files = dict[str, tuple[int, str]]


def apply_ignition(tree: Path, configuration: Mapping[str, Any]) -> None:
    """Ignition 3.2: `storage.files`, and `systemd.units` as files, drop-ins and presets, which a first boot applies."""
    assert configuration["ignition"]["version"] == "3.2.0"
    assert configuration.keys() <= {"ignition", "storage", "systemd"}
    for path, (mode, content) in ignition_files(configuration).items():
        write(tree, path, mode, content)
    enabled = [unit["name"] for unit in configuration["systemd"]["units"] if unit.get("enabled")]
    preset = "".join(f"enable {_of_preset(name)}\n" for name in enabled)
    write(tree, "/etc/systemd/system-preset/20-ignition.preset", 0o644, preset)
    subprocess.run(["systemctl", "--quiet", f"--root={tree}", "preset", *enabled], check=True)


def _of_preset(name: str) -> str:
    """A unit as systemd.preset(5) has it: the instance stands behind its template."""
    prefix, at, rest = name.partition("@")
    instance, _, suffix = rest.rpartition(".")
    return f"{prefix}@.{suffix} {instance}" if at and instance else name


def ignition_files(configuration: Mapping[str, Any]) -> Files:
    """What it writes, but for what enabling a unit makes."""
    found: Files = {}
    for file in configuration.get("storage", {}).get("files", ()):
        scheme, data = file["contents"]["source"].split(",", 1)
        assert scheme == "data:" and file["overwrite"] is True
        found[file["path"]] = (file["mode"], unquote(data, errors="strict"))
    for unit in configuration["systemd"]["units"]:
        assert unit.keys() <= {"name", "enabled", "contents", "dropins"}
        if "contents" in unit:
            found[f"/etc/systemd/system/{unit['name']}"] = (0o644, unit["contents"])
        for dropin in unit.get("dropins", ()):
            found[f"/etc/systemd/system/{unit['name']}.d/{dropin['name']}"] = (0o644, dropin["contents"])
    return found


def butane_to_ignition(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Butane's own names for what Ignition has: a version, and contents that stand there as they are."""
    assert (configuration["variant"], configuration["version"]) == ("fcos", "1.3.0")
    made: dict[str, Any] = {"ignition": {"version": "3.2.0"}, "systemd": configuration["systemd"]}
    for file in configuration.get("storage", {}).get("files", ()):
        source = "data:," + file["contents"]["inline"].replace("%", "%25")
        made.setdefault("storage", {"files": []})["files"].append({**file, "contents": {"source": source}})
    return made


def write(tree: Path, path: str, mode: int, content: str) -> None:
    target = tree / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content)
    target.chmod(mode)
