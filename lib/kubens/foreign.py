"""Units that other generators will make, whose output nobody can see yet: init scripts and Podman's files.

Loaded where a unit is missing, or where Podman has files.
"""

from __future__ import annotations

from kubens import names, syntax
from kubens.inventory import QUADLETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.files import Root

# What each kind of Podman's files adds to the name.
_KINDS = {
    "container": "", "kube": "", "volume": "-volume", "network": "-network", "image": "-image", "build": "-build",
    "pod": "-pod",
}  # fmt: skip


def source(root: Root, name: str, quadlets: dict[str, str]) -> str:
    """The file that another generator will make this unit from, "" where none is known."""
    if names.suffix(name) != "service":
        return ""
    # systemd-sysv-generator(8) leaves .sh out of the name.
    for path in (f"/etc/init.d/{name[: -len('.service')]}", f"/etc/init.d/{name[: -len('.service')]}.sh"):
        if root.is_file(path):
            return path
    return quadlets.get(name) or quadlets.get(names.template_of(name), "")


def quadlets(root: Root) -> dict[str, str]:
    """The services that podman-systemd.unit(5) makes of files, by name, with the files."""
    found: dict[str, str] = {}
    waiting = [*QUADLETS]
    while waiting:
        directory = waiting.pop(0)
        try:
            entries = root.entries(directory)
        except OSError:
            continue
        for name, is_link in entries.items():
            stem, dot, kind = name.rpartition(".")
            if dot and kind in _KINDS:
                for service in (f"{stem}{_KINDS[kind]}.service", *_service_names(root, f"{directory}/{name}")):
                    found.setdefault(service, f"{directory}/{name}")
            elif not is_link and name != "users":
                waiting.append(f"{directory}/{name}")
    return found


def _service_names(root: Root, path: str) -> list[str]:
    """What the file wants its service to be called."""
    try:
        text = root.read(path) or ""
    except OSError:
        return []
    sections = syntax.parse(text, frozenset(("ServiceName",))).sections
    return [f"{value}.service" for _, _, assignments in sections for _, value, _ in assignments]
