"""cloud-init: user data that writes the files, and has systemd read them before a service is started in `runcmd`."""

from __future__ import annotations

from kubensctl.formats import Json, Options, yaml_text
from kubensctl.formats.units import files
from kubensctl.static import Static

SUMMARY = "user data for cloud-init"


def text(static: Static, options: Options) -> str:
    entries: list[Json] = [
        {"path": path, "permissions": f"0{mode:o}", "content": content}
        for path, (mode, content) in files(static).items()
    ]
    enabled = [name for name, unit in static.units.items() if unit.wanted_by]
    made = {
        "write_files": entries,
        "runcmd": [["systemctl", "daemon-reload"], ["systemctl", "enable", *enabled]],
    }
    return "#cloud-config\n" + yaml_text.document(made)
