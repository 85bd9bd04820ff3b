"""Ignition, specification 3.2.0: what Fedora CoreOS, Flatcar and OpenShift's MachineConfig from 4.7 on all take."""

from __future__ import annotations

import json
from urllib.parse import quote

from kubensctl.formats import Json, Options
from kubensctl.static import Static

SUMMARY = "an Ignition configuration"
VERSION = "3.2.0"


def text(static: Static, options: Options) -> str:
    return json.dumps(configuration(static), indent=2) + "\n"


def configuration(static: Static) -> Json:
    made: Json = {"ignition": {"version": VERSION}}
    if static.files:
        files = [
            {"path": path, "overwrite": True, "mode": mode, "contents": {"source": f"data:,{quote(content)}"}}
            for path, (mode, content) in static.files.items()
        ]
        made["storage"] = {"files": files}
    made["systemd"] = {"units": units(static)}
    return made


def units(static: Static) -> list[Json]:
    """`systemd.units`, as Butane has it, too."""
    found = []
    for name, unit in static.units.items():
        entry: Json = {"name": name}
        if unit.wanted_by:
            entry["enabled"] = True
        if unit.text:
            entry["contents"] = unit.text
        if unit.dropins:
            entry["dropins"] = [{"name": dropin, "contents": content} for dropin, content in unit.dropins.items()]
        found.append(entry)
    return found
