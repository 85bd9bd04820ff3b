"""The text of the units that make network namespaces, as pure functions. kubens-netns(5) describes them.

systemd-netns named them; what people have enabled, ordered and edited goes on working. A stop is what ExecStopPost=
does, so that what failed, crashed or took too long half-way is undone as well.
"""

from __future__ import annotations

from kubens import render
from kubens.config import LIVE

# Reads the types and runs their functions; `make install` writes here where it put it.
RUNNER = "/usr/lib/kubens/kubens-netns"
DOCUMENTATION = "man:kubens-netns(5)"

# Packaged units cannot know where a distribution has its tools; this shell is everywhere, and looks for the others.
_TOOLS = {"sh": "/bin/sh"}


def packaged(kinds: tuple[str, ...]) -> dict[str, str]:
    """The templates to be installed, by name: what all types need, and those of the given types."""
    units = {"netns_name@.service": _name()}
    for kind in kinds:
        units[f"netns_outside-{kind}@.service"] = _packaged(_outside(kind))
        install = ("Install", [("WantedBy", "multi-user.target")])
        units[f"netns-{kind}@.service"] = _packaged((*_inside(kind), install))
    return units


def generated(kind: str, origin: str) -> dict[str, str]:
    """The templates of an administrator's own type, by name. [Install] would do nothing in them."""
    return {
        f"netns_outside-{kind}@.service": render.text(origin, _outside(kind)),
        f"netns-{kind}@.service": render.text(origin, _inside(kind)),
    }


def _packaged(sections: render.Sections) -> str:
    return "# Part of kubens(8). For changes that stay: systemctl edit\n" + render.body(sections)


def _name() -> str:
    """Makes the namespace and removes it. A mount namespace of its own would hide what it makes."""
    directory = f"{LIVE}/.netns"
    unit = [
        *_unit("Network namespace %i"),
        # Outer functions work on devices of the host; at shutdown, there still is a network.
        ("After", "network.target"),
        ("StopWhenUnneeded", "yes"),
        ("RefuseManualStart", "yes"),
        ("RefuseManualStop", "yes"),
    ]
    service = [
        *_ONESHOT,
        ("PrivateMounts", "no"),
        ("ExecStartPre", render.shell(_TOOLS, _PREPARE, directory, " ".join(render.OWN_PEER_GROUP.split("\n")))),
        ("ExecStart", f"{RUNNER} create %i"),
        ("ExecStopPost", f"{RUNNER} delete %i"),
    ]
    return _packaged((("Unit", unit), ("Service", service)))


# $0 is where it may work, which only who comes first needs, and removes.
_PREPARE = """\
mkdir -p /run/netns && flock /run/netns sh -c "$1" "$0"; status=$?;
[ ! -e "$0" ] || flock /run/netns sh -c 'umount "$0"; rmdir "$0"' "$0" 2>/dev/null; exit $status
"""

_ONESHOT = [
    ("Type", "oneshot"),
    ("RemainAfterExit", "yes"),
    # A oneshot has none of its own, and the boot would wait.
    ("TimeoutStartSec", "90s"),
]


def _unit(description: str) -> list[tuple[str, str]]:
    return [
        ("Description", description),
        ("Documentation", DOCUMENTATION),
        # Those who join may restart often, and must not use up its starts.
        ("StartLimitIntervalSec", "0"),
    ]


def _outside(kind: str) -> render.Sections:
    unit = [
        *_unit(f"Network namespace %i: {kind}, outside"),
        ("Requires", "netns_name@%i.service"),
        ("After", "netns_name@%i.service"),
        # A restart of what people restart runs these functions again, too.
        ("PartOf", f"netns-{kind}@%i.service"),
        ("StopWhenUnneeded", "yes"),
        ("RefuseManualStart", "yes"),
    ]
    service = [
        *_ONESHOT,
        ("ExecStart", f"{RUNNER} up outside {kind} %i"),
        ("ExecStopPost", f"{RUNNER} down outside {kind} %i"),
    ]
    return (("Unit", unit), ("Service", service))


def _inside(kind: str) -> render.Sections:
    unit = [
        *_unit(f"Network namespace %i: {kind}"),
        ("Requires", f"netns_outside-{kind}@%i.service"),
        ("After", f"netns_outside-{kind}@%i.service"),
    ]
    service = [
        *_ONESHOT,
        ("TimeoutStopSec", "30s"),
        ("NetworkNamespacePath", "/run/netns/%i"),
        # From 257 on it would have a mount namespace of its own (systemd.exec(5)), in which nothing it mounts stays.
        ("PrivateMounts", "no"),
        ("ExecStart", f"{RUNNER} up inside {kind} %i"),
        ("ExecStopPost", f"{RUNNER} down inside {kind} %i"),
    ]
    return (("Unit", unit), ("Service", service))
