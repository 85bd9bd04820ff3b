"""What the boot would do now: the very same plan, from the same files, through the same modules."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kubens import boot, config, inventory, names, plan, write
from kubens.config import Configuration, Member, MountNamespace
from kubens.files import SIZE_MAX, Root
from kubens.finding import ERROR, Finding
from kubens.inventory import Inventory
from kubens.plan import Plan
from kubens.units import Unit, Units

if TYPE_CHECKING:
    pass

# Where systemd puts what the generator writes into its first directory.
GENERATED = "/run/systemd/generator"
# The second directory's units come before those of /etc.
GENERATED_EARLY = "/run/systemd/generator.early"


class Draft(Root):
    """A machine's files with one of them as it might be: what would the generator say to that?"""

    def __init__(self, root: Root, path: str, text: str) -> None:
        super().__init__(root.path)
        self._directory, _, self._name = path.rpartition("/")
        self._text = text

    def read(self, path: str, size_max: int = SIZE_MAX) -> str | None:
        return self._text if path == f"{self._directory}/{self._name}" else super().read(path, size_max)

    def names(self, path: str) -> list[str]:
        found = super().names(path)
        return found if path != self._directory or self._name in found else [*found, self._name]


class Planned:
    """A plan with all it was made from. switched_off: by kubens=0, so that the boot would leave it at nothing."""

    def __init__(self, root: Root, configuration: Configuration) -> None:
        self.root = root
        self.configuration = configuration
        self.live = config.load_live(root)
        self.inventory: Inventory = inventory.take(root, configuration, self.live, search_path())
        self.plan: Plan = plan.plan(configuration, self.inventory)
        self.switched_off = boot.switched_off(root)

    @property
    def namespaces(self) -> list[MountNamespace]:
        """All that are configured, then those that only live on."""
        configured = self.configuration.mount_namespaces
        live = self.live.mount_namespaces
        return [*configured.values(), *(ns for name, ns in live.items() if name not in configured)]

    def members(self, namespace: MountNamespace) -> dict[str, Member]:
        """Those that are declared, and those that a living namespace keeps until it stops."""
        live = self.live.mount_namespaces.get(namespace.name)
        return {**namespace.members, **{name: member for name, member in (live.members if live else {}).items()
                                        if name not in namespace.members}}  # fmt: skip

    def errors_about(self, unit: str) -> list[Finding]:
        """Why a unit, by the name it was listed under, cannot be a member."""
        loaded = self.inventory.units.get(unit)
        names = {unit, loaded.name if loaded else unit}
        return [finding for finding in self.plan.findings if finding.severity == ERROR and finding.unit in names]

    def dropin(self, unit: Unit) -> tuple[str, str] | None:
        """The drop-in that the plan has for a unit: its path below the output directory, and its text."""
        # That of a template is that of its instances, but for those that have files of their own.
        for name in (unit.name, names.template_of(unit.name)):
            for tree in self.plan.trees:
                for path, text in tree.files.items():
                    if path.startswith(f"{name}.d/"):
                        return path, text
        return None

    def write(self, output: str, early: str = "") -> list[Finding]:
        """Write what the boot would write into its first two directories; what could not be written."""
        os.makedirs(output, exist_ok=True)
        if self.switched_off:
            return []
        said = len(self.plan.findings)
        write.write(self.plan, output, early)
        return self.plan.findings[said:]


def make(root: Root, files: Sequence[str] = ()) -> Planned:
    """The plan for the machine below root. files: paths on this computer, read instead of what is configured there."""
    if not files:
        return Planned(root, config.load(root))
    configuration = Configuration()
    for path in files:
        # The generator's reader is lenient about what is not there; who names a file means it.
        if not os.path.lexists(path):
            raise FileNotFoundError(f"{path}: no such file")
        config.read_file(configuration, Root(), os.path.abspath(path))
    return Planned(root, configuration)


def search_path() -> str:
    return os.environ.get("SYSTEMD_UNIT_PATH", "")


def load_units(root: Root) -> Units:
    return Units(root, inventory.KEYS, search_path())
