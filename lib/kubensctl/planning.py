"""What the boot would do now: the very same plan, from the same files, through the same modules."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Union

from kubens import boot, config, inventory, names, plan, write
from kubens.config import Configuration, Member, MountNamespace
from kubens.files import SIZE_MAX, Root, in_byte_order
from kubens.finding import ERROR, Finding
from kubens.inventory import Inventory
from kubens.lookup import Lookup
from kubens.netns import NetworkNamespace
from kubens.tree import Plan
from kubens.units import Unit, Units

# A namespace as configured, of either kind.
Configured = Union[MountNamespace, NetworkNamespace]

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
        """The mount namespaces: all that are configured, then those that only live on."""
        configured, live = self.configuration.mount_namespaces, self.live.mount_namespaces
        return [*configured.values(), *(live[name] for name in live if name not in configured)]

    @property
    def networks(self) -> list[NetworkNamespace]:
        """The network namespaces, likewise."""
        configured, live = self.configuration.network_namespaces, self.live.network_namespaces
        return [*configured.values(), *(live[name] for name in live if name not in configured)]

    @property
    def all_namespaces(self) -> list[Configured]:
        return [*self.namespaces, *self.networks]

    def live_one(self, namespace: Configured) -> Configured | None:
        """The namespace as it was configured when it started, None where it does not live."""
        if isinstance(namespace, MountNamespace):
            return self.live.mount_namespaces.get(namespace.name)
        return self.live.network_namespaces.get(namespace.name)

    def is_configured(self, namespace: Configured) -> bool:
        if isinstance(namespace, MountNamespace):
            return namespace.name in self.configuration.mount_namespaces
        return namespace.name in self.configuration.network_namespaces

    def is_planned(self, namespace: Configured) -> bool:
        """Whether there is anything of it in the plan."""
        name = namespace.name if isinstance(namespace, MountNamespace) else namespace.record
        return any(tree.name == name for tree in self.plan.trees)

    def members(self, namespace: Configured) -> dict[str, Member]:
        """Those that are declared, and those that a living namespace keeps until it stops."""
        live = self.live_one(namespace)
        kept = {name: member for name, member in live.members.items() if name not in namespace.members} if live else {}
        return {**namespace.members, **kept}

    def loaded(self, namespace: Configured) -> list[tuple[Unit, str]]:
        """Its members' units as systemd has them, instances of templates included, with their mode."""
        found: dict[str, tuple[Unit, str]] = {}
        for name, member in self.members(namespace).items():
            for listed in (name, *self.inventory.instances.get(name, ())):
                unit = self.inventory.units.get(listed)
                if unit is not None:
                    found.setdefault(unit.name, (unit, member.mode))
        return list(found.values())

    def errors_about(self, unit: str) -> list[Finding]:
        """Why a unit, by the name it was listed under, cannot be a member."""
        loaded = self.inventory.units.get(unit)
        names = {unit, loaded.name if loaded else unit}
        return [finding for finding in self.plan.findings if finding.severity == ERROR and finding.unit in names]

    def dropins(self, unit: Unit) -> dict[str, str]:
        """The drop-ins that the plan has for a unit, in the order applied: text by path below the output directory."""
        found: dict[str, tuple[str, str]] = {}
        # That of a template is that of its instances, but for those that have files of their own.
        for unit_name in (names.template_of(unit.name), unit.name):
            for tree in self.plan.trees:
                for name, texts in tree.dropins.items():
                    if unit_name in texts:
                        found[name] = (f"{unit_name}.d/{name}", texts[unit_name])
        return dict(found[name] for name in in_byte_order(found))

    def dropin(self, unit: Unit, namespace: Configured) -> tuple[str, str] | None:
        """That of them which is for this namespace: its path, and its text."""
        suffix = "kubens.conf" if isinstance(namespace, MountNamespace) else "kubens-netns.conf"
        return next((pair for pair in self.dropins(unit).items() if pair[0].endswith(suffix)), None)

    def write(self, output: str, early: str = "") -> list[Finding]:
        """Write what the boot would write into its first two directories; what could not be written."""
        os.makedirs(output, exist_ok=True)
        if self.switched_off:
            return []
        said = len(self.plan.findings)
        here = os.open(".", os.O_PATH)
        try:
            write.write(self.plan, os.path.abspath(output), early)
        finally:
            os.fchdir(here)
            os.close(here)
        return self.plan.findings[said:]


def make(root: Root, files: Sequence[str] = ()) -> Planned:
    """The plan for the machine below root. files: paths on this computer, read instead of what is configured there."""
    if not files:
        return Planned(root, config.load(root))
    # The types of network namespaces are no part of what the files replace.
    configuration = config.load(root, directories=())
    for path in files:
        # The generator's reader is lenient about what is not there; who names a file means it.
        if not os.path.lexists(path):
            raise FileNotFoundError(f"{path}: no such file")
        config.read_file(configuration, Root(), os.path.abspath(path))
    return Planned(root, configuration)


def search_path() -> str:
    return os.environ.get("SYSTEMD_UNIT_PATH", "")


def load_units(root: Root) -> Units:
    return Units(Lookup(root, search_path()), inventory.KEYS)
