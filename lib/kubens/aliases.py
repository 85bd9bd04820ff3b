"""The other names of a unit, and the instances of a template: what links in the search path make of a name.

Few units have any, so this is loaded when one comes up. As src/basic/unit-file.c and src/shared/dropin.c do it; where
it depends on a hash, or on the release, what systemd makes of a name, this says so.
"""

from __future__ import annotations

from kubens import names
from kubens.files import in_byte_order
from kubens.lookup import normal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.lookup import Lookup


def all_names(lookup: Lookup, name: str, path: str) -> list[str]:
    """The real name, then in byte order every alias (find_fragment's set, of which systemd keeps no order)."""
    real = lookup.real_name(name, path)
    fragment = path[path.rindex("/") + 1 :]
    found = {name}
    instance = names.instance_of(name)
    for known in {name, real, fragment}:
        for alias in _aliases(lookup, known):
            if instance and names.kind(alias) == names.TEMPLATE:
                alias = names.with_instance(alias, instance)
                # An instance of the alias that has a file of its own is somebody else.
                other = lookup.resolve(alias)
                if other and other.rpartition("/")[2] != fragment:
                    continue
            found.add(alias)
    found.discard(real)
    return [real, *sorted(found)]


def ambiguity(lookup: Lookup, name: str, path: str) -> str:
    """Why nobody can tell what systemd makes of a unit, by its real name and its fragment; "" where one can."""
    file = path[path.rindex("/") + 1 :]
    own = lookup.find(name)
    if own != path:
        other = "is masked" if own == "masked" else f"has a file of its own, {own}"
        return f"would be known as {name} as well, which {other}: give both or none a file of their own"
    instance = names.instance_of(name)
    if instance and file == name:
        template = names.template_of(name)
        shared = lookup.find(template)
        for other in _instances(lookup, template, instance) if "/" in shared else ():
            if lookup.find(other) == shared:
                return f"{other} would be known by this name, too, but has the file {shared}: link it to {name}"
    others = _links_to_others(lookup, file)
    target = (lookup.root.link(path) or "") if lookup.is_link(path) else ""
    # The file's name is a name of the unit there.
    if (others or (target and target.rpartition("/")[2] != file)) and 0 < lookup.release < 250:
        linked = f"{others[0]}, a link to another file of that name," if others else f"the link to {target}"
        return f"systemd {lookup.release} takes {linked} for an alias: link it under its own name"
    return ""


def _links_to_others(lookup: Lookup, file: str) -> list[str]:
    """The names of links that say a file's name, and mean another file elsewhere."""
    found = lookup.others.get(file)
    if found is None:
        links = lookup.links_by_target(names.suffix(file)).get(file, ())
        found = [alias for alias in links if alias != file and lookup.locate(alias).startswith("/")]
        lookup.others[file] = found
    return found


def instances_of(lookup: Lookup, listed: str) -> list[str]:
    """The instances of a template, or of an alias of one, that have a fragment or drop-ins of their own.

    In byte order; by their real names, but where that is the name of another unit as well.
    """
    template = _known_as(lookup, listed)
    aliases = [template, *_leading_to(lookup, template)]
    templates = [name for name in aliases if names.kind(name) == names.TEMPLATE]
    # foo-@x.service.d/ holds drop-ins of foo-bar@x.service as well.
    related = [other for name in templates for other in names.dropin_names(names.with_instance(name, "x"))]
    prefixes = tuple({name[: name.index("@") + 1] for name in related if names.kind(name) == names.INSTANCE})
    own = tuple(name[: name.index("@") + 1] for name in templates)
    targets = [name for name in lookup.links_by_target(names.suffix(template)) if names.template_of(name) in templates]
    instances = {names.instance_of(name) for name in (*aliases, *targets) if names.kind(name) == names.INSTANCE}
    for present in lookup.places.values():
        for name in present:
            unit = name[:-2] if name.endswith(".d") else name
            if unit.startswith(own if unit == name else prefixes) and names.kind(unit) == names.INSTANCE:
                instances.add(names.instance_of(unit))
    found: set[str] = set()
    for one in aliases:
        for name in [names.with_instance(one, instance) for instance in instances] if one in templates else [one]:
            # An alias's instance with a file of its own is nobody else's.
            if one in (template, listed) or not lookup.find(name).endswith(("/" + name, "masked")):
                found.add(_known_as(lookup, name))
    return in_byte_order(found)


def _known_as(lookup: Lookup, name: str) -> str:
    """The real name of what a name leads to; the name itself where that is another unit's, or leads nowhere."""
    path = lookup.find(name)
    if "/" not in path:
        return name
    real = lookup.real_name(name, path)
    return real if lookup.find(real) == path else name


def _aliases(lookup: Lookup, real: str) -> list[str]:
    """The names of links that lead to a unit."""
    if real not in lookup.links_by_target(names.suffix(real)) and "@" not in real:
        return []
    found = lookup.aliases.get(real)
    if found is None:
        instance = names.instance_of(real)
        related = _instances(lookup, names.template_of(real), instance) if instance else []
        found = lookup.aliases[real] = []
        for name in (*related, *_leading_to(lookup, real, *related)):
            path = lookup.resolve(name)
            if path and lookup.real_name(name, path) == real:
                found.append(name)
    return found


def _instances(lookup: Lookup, template: str, instance: str) -> list[str]:
    """What the aliases of a template make of an instance: that of each, and links of this name."""
    family = lookup.families.get(template)
    if family is None:
        # Links by their instance; those of templates by "".
        family = lookup.families[template] = {}
        for alias in _leading_to(lookup, template):
            if "@" in alias:
                family.setdefault(names.instance_of(alias), []).append(alias)
    made = [names.with_instance(alias, instance) for alias in family.get("", ())]
    return [*made, *family.get(instance, ())]


def _leading_to(lookup: Lookup, *targets: str) -> list[str]:
    """The names of links that say one of the targets, and of those that say one of these, and so on."""
    links = lookup.links_by_target(names.suffix(targets[0]))
    instance = names.instance_of(targets[0])
    waiting = [*targets]
    found: dict[str, None] = {}
    while waiting:
        for name in links.get(waiting.pop(), ()):
            if name not in found:
                found[name] = None
                waiting.append(name)
                if instance and names.kind(name) == names.TEMPLATE:
                    waiting.append(names.with_instance(name, instance))
    return [name for name in found if not lookup.locate(name).startswith("/")]


def link_target(lookup: Lookup, directory: str, entry: str) -> str:
    """What a link in the search path means: the name it is an alias of, or (a linked unit, a mask) its directory.

    "" for what systemd ignores: an alias of another type or to itself, and a circular link.
    """
    target = lookup.root.link(f"{directory}/{entry}")
    if target is None:
        lookup.unreadable = (f"{directory}/{entry}", "the link cannot be read; mend that")
        return ""
    target = normal(target if target.startswith("/") else f"{directory}/{target}")
    if f"{target}/" in lookup.inside:
        return ""
    if not target.startswith(lookup.inside):
        parent, _, last = target.rpartition("/")
        try:
            target = f"{lookup.root.follow(parent)}/{last}"
        except OSError:
            return ""
        if not target.startswith(lookup.inside):
            return directory
    real = target[target.rindex("/") + 1 :]
    return real if _may_alias(entry, real) else ""


def _may_alias(name: str, target: str) -> bool:
    """unit_validate_alias_symlink_and_warn(): the same type, and plain to plain, instance to the same or a template."""
    to_kind = names.kind(target)
    suffix = names.suffix(name)
    if not to_kind or name == target or suffix != names.suffix(target) or suffix not in names.MAY_ALIAS:
        return False
    from_kind = names.kind(name)
    if from_kind == names.INSTANCE and to_kind == names.INSTANCE:
        return names.instance_of(name) == names.instance_of(target)
    return from_kind == to_kind or (from_kind == names.INSTANCE and to_kind == names.TEMPLATE)
