"""Butane, variant fcos 1.3.0, which its compiler makes Ignition 3.2.0 of: to be put together with one's own."""

from __future__ import annotations

from kubensctl.formats import Json, Options, ignition, yaml_text
from kubensctl.static import Static

SUMMARY = "a Butane configuration"


def text(static: Static, options: Options) -> str:
    made: Json = {"variant": "fcos", "version": "1.3.0"}
    if static.files:
        files = [
            {"path": path, "overwrite": True, "mode": mode, "contents": {"inline": content}}
            for path, (mode, content) in static.files.items()
        ]
        made["storage"] = {"files": files}
    made["systemd"] = {"units": ignition.units(static)}
    return yaml_text.document(made)
