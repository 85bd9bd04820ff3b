"""Unit names: systemd.unit(5), "Description", as src/basic/unit-name.c enforces it."""

from __future__ import annotations

_CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:-_.\\@"
_TYPES = frozenset(
    ("service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope")
)
# Types whose units may be links to one another and may be templates (src/basic/unit-file.c).
MAY_ALIAS = frozenset(("service", "socket", "target", "device", "timer", "path"))

PLAIN, TEMPLATE, INSTANCE = "plain", "template", "instance"


_kinds: dict[str, str] = {}


def kind(name: str) -> str:
    """PLAIN, TEMPLATE or INSTANCE, or "" where this is no valid unit name."""
    known = _kinds.get(name)
    if known is None:
        known = _kinds[name] = _kind(name)
    return known


def _kind(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    # What is left after stripping is what does not belong there; no loop is faster.
    if suffix not in _TYPES or not stem or len(name) > 255 or stem.strip(_CHARACTERS):
        return ""
    at = stem.find("@")
    if at < 0:
        return PLAIN
    if at == 0:
        return ""
    return INSTANCE if at + 1 < len(stem) else TEMPLATE


def suffix(name: str) -> str:
    """The unit type that a valid name ends in: "service"."""
    return name[name.rindex(".") + 1 :]


def template_of(name: str) -> str:
    """foo@bar.service → foo@.service; any other name as it is."""
    at = name.find("@")
    return name if at < 0 else name[: at + 1] + name[name.rindex(".") :]


def instance_of(name: str) -> str:
    """foo@bar.service → bar; "" for a plain name or a template."""
    at = name.find("@")
    return "" if at < 0 else name[at + 1 : name.rindex(".")]


def with_instance(template: str, instance: str) -> str:
    """foo@.service, bar → foo@bar.service."""
    at = template.index("@")
    return template[: at + 1] + instance + template[template.rindex(".") :]


def beginning(name: str) -> str:
    """foo-bar.service → foo-.service, which stands for all that begin so; "" where there is no such."""
    end = name.rindex(".")
    # A name that ends in a dash stands for itself already: look further left.
    dash = name.rfind("-", 0, end - 1)
    return name[: dash + 1] + name[end:] if dash > 0 else ""


def dropin_names(name: str) -> list[str]:
    """The names whose NAME.d/ directories hold drop-ins for a unit, most specific first; as of those without an
    instance's name for a template, what all of its instances have.

    foo-bar@x.service → itself, foo-bar@.service, foo-.service, foo-@x.service, foo-@.service: the order in which
    src/shared/dropin.c (unit_file_find_dirs) visits them, duplicates left in as it leaves them.
    """
    if "@" in name and kind(name) == TEMPLATE:
        return [found for found in _dropin_names(with_instance(name, "x")) if not instance_of(found)]
    return _dropin_names(name)


def _dropin_names(name: str) -> list[str]:
    found = [name]
    at = name.find("@")
    if at < 0:
        while name := beginning(name):
            found.append(name)
        return found
    instance = instance_of(name)
    if instance:
        found += _dropin_names(template_of(name))
    dash = name.rfind("-", 0, at - 1)
    if dash > 0:
        # By the template, on the way, with no instance at all: foo-.service.
        found += _dropin_names(name[: dash + 1] + ("@" + instance if instance else "") + name[name.rindex(".") :])
    return found
