"""The text of every unit and drop-in that comes out, as pure functions; public for those who embed them.

A text is lists of settings; each value has been through kubens.escape, or is the raw text of the same setting in the
unit it came from. The units of a namespace need util-linux, coreutils and the system manager's /run; at a shutdown they
use grep and sed.
"""

from __future__ import annotations

from kubens import escape
from kubens.config import LIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kubens.config import Member, MountNamespace

    Sections = Iterable[tuple[str, list[tuple[str, str]]]]

# Where the generator leaves what a namespace is made of, for NAME-record.service to keep.
GENERATED = "/run/systemd/generator/.kubens"
DOCUMENTATION = "man:kubens-generator(8) man:kubens.conf(5)"
# What the units run, and where it usually is.
TOOLS = {
    name: f"/usr/bin/{name}"
    for name in (
        "nsenter", "unshare", "mount", "umount", "mountpoint", "findmnt", "flock",
        "sh", "env", "cp", "rm", "mkdir", "rmdir", "tac", "printf", "true", "false",
    )
}  # fmt: skip
# Keeps the generator runnable while something lives; `make install` writes here where it put it.
GUARD = "/usr/lib/kubens/kubens-guard"
# Where kubelet has all pods, with the cgroup driver systemd.
PODS = "kubepods.slice"
# Those of `systemd-analyze filesystems @network`, more of fstype_is_network(), and what containers bring.
NETWORK_FILE_SYSTEMS = (
    "afs,ceph,cifs,gfs,gfs2,ncp,ncpfs,nfs,nfs4,ocfs2,orangefs,pvfs2,smb3,smbfs,"
    "davfs,fuse.davfs,glusterfs,fuse.glusterfs,lustre,fuse.sshfs,fuse.s3fs,9p"
)


def text(origin: str, sections: Sections, first: str = "") -> str:
    """A unit file: a header that says what made it, then the sections that have settings.

    first: what comes before them, made by body() for many.
    """
    if not origin.isprintable():
        origin = "".join(c if c.isprintable() else "?" for c in origin)
    source = f" from {origin}" if origin else ""
    header = f"# Made by kubens-generator(8){source}. Do not edit: the next reload makes it anew.\n"
    return header + first + body(sections)


def body(sections: Sections) -> str:
    """The sections that have settings."""
    parts = []
    for name, settings in sections:
        if settings:
            parts.append(f"\n[{name}]\n")
            parts += [f"{key}={value}\n" for key, value in settings]
    return "".join(parts)


def mount_namespace_service(
    name: str = "kubens",
    members: Iterable[str] = (),
    when_missing: str = "fail",
    origin: str = "",
    tools: Mapping[str, str] | None = None,
    record: bool = False,
) -> str:
    """NAME.service: makes, pins and destroys the mount namespace NAME.

    members: the units that hang on it. when_missing: "fail" or "host", as in the configuration. origin: FILE:LINE for
    the header and SourcePath=. record: keep what the namespace is made of, of which only the generator has use.
    """
    tool = tools or TOOLS
    directory, pin, environment = f"/run/{name}", f"/run/{name}/mnt", f"/run/{name}/env"
    # systemctl(1) takes no template, but a pattern for those of its instances that are there.
    units = [unit.replace("@.service", "@*.service") for unit in members]
    settings = [
        ("Type", "oneshot"),
        ("RemainAfterExit", "yes"),
        # A oneshot has none of its own, and the boot would wait.
        ("TimeoutStartSec", "90s"),
        ("ExecStartPre", f"{tool['mkdir']} -p {directory} /run/netns"),
        ("ExecStartPre", shell(tool, KEEP_OR_CLEAR, pin, directory, environment)),
        ("ExecStartPre", shell(tool, MAKE_UNBINDABLE, directory)),
        ("ExecStartPre", f"{tool['flock']} /run/netns {shell(tool, OWN_PEER_GROUP, directory)}"),
        ("ExecStart", shell(tool, MAKE_NAMESPACE, pin)),
        # A namespace that nobody can enter is none.
        ("ExecStartPost", f"{tool['nsenter']} --mount={pin} {tool['true']}"),
    ]
    if when_missing == "host" and units:
        # Members that run on the host, because there was no namespace when they started, come in with the others.
        restart = 'test -e "$0" || exec systemctl --no-block try-restart "$@"'
        settings.append(("ExecStartPost", "-" + shell(tool, restart, environment, *units)))
    settings.append(("ExecStartPost", shell(tool, 'echo "KUBENSMNT=$0" >"$1"', pin, environment)))
    if record:
        settings += [("ExecStartPost", keep_record(name, tool)), ("ExecStartPost", f"-{GUARD}")]
    settings.append(("ExecStop", f"-{tool['nsenter']} --mount={pin} {shell(tool, END_HOLDERS + UNMOUNT_NETWORK)}"))
    if units:
        message = (
            f"{name}.service failed, and its members may be stopped. Once it is mended: "
            f"systemctl start {' '.join([name + '.service', *(unit for unit in units if '@*' not in unit)])}"
        )
        templates = [unit for unit in units if "@*" in unit]
        if templates:
            message += f", and what ran of {' '.join(templates)}"
        settings.append(("ExecStopPost", shell(tool, '[ "$SERVICE_RESULT" = success ] || echo "$0"', message)))
    settings += [
        ("ExecStopPost", shell(tool, CLEAR, pin, directory, environment)),
        ("ExecStopPost", f"-{tool['rmdir']} --ignore-fail-on-non-empty {directory}"),
    ]
    if record:
        settings += drop_record(name, tool)
    unit = [
        ("Description", f"Shared mount namespace {escape.value(name)}"),
        ("Documentation", DOCUMENTATION),
        # So that it stops while there still is a network, for the network file systems mounted inside,
        ("After", "network.target remote-fs-pre.target"),
        # and after those who use them. Named here, the slice is loaded with systemd's defaults: that a shutdown stops
        # it is one of them, and stays, although kubelet makes it without.
        ("Before", PODS),
        # Members that restart often must not use up its starts.
        ("StartLimitIntervalSec", "0"),
    ]
    source = origin.rpartition(":")[0]
    if source.startswith("/") and source.isprintable() and " " not in source:
        unit.insert(2, ("SourcePath", escape.value(source)))
    return text(origin, (("Unit", unit), ("Service", settings)))


# The shell says what neither systemd nor util-linux has a condition for: "unless". One line becomes one word of a
# command; its parameters are $0, $1, ...

# A namespace is valid when it is shared inside and in none of the host's peer groups: unshare(1), killed half-way,
# leaves one that is pinned, and private or the host's peer.
CLEAR = """\
while umount --lazy "$0" || umount --lazy "$1"; do :; done 2>/dev/null; rmdir "$1/netns" 2>/dev/null;
rm -f "$2"; rm -f "$0" 2>/dev/null || rmdir "$0"
"""
KEEP_OR_CLEAR = f"""\
if [ ! -L "$0" ] && mountpoint -q "$0"; then
inside=$(nsenter --mount="$0" findmnt -nro OPT-FIELDS / 2>/dev/null); host=$(findmnt -nro OPT-FIELDS /);
case ${{inside%% *}} in "${{host%% *}}") ;; shared:*) exit 0 ;; esac; fi;
{CLEAR}"""

# nsfs files cannot be bound into a namespace that they may outlive; in an unbindable mount nobody tries.
MAKE_UNBINDABLE = 'mountpoint -q "$0" || mount --bind --make-unbindable "$0" "$0"'

# ip-netns(8) makes /run/netns a mount in the peer group of /run, so that every network namespace is mounted twice, and
# ip cannot delete any once there is a slave. Whatever lies there moves, one by one and without a moment in which it is
# not at its name, to a mount of its own peer group; what is beneath that is unmounted through the working directory.
OWN_PEER_GROUP = f"""\
set -e; mountpoint -q /;
while mountpoint -q /run/netns; do
[ "$(findmnt -fnro OPT-FIELDS /run)" = "$(findmnt -fnro OPT-FIELDS /run/netns)" ] ||
{{ mount --make-shared /run/netns; exit; }};
mount --make-private /run/netns; umount --lazy /run/netns; done;
cd /run/netns; mkdir -p "$0"; {MAKE_UNBINDABLE};
mkdir -p "$0/netns"; mount --bind --make-private /run/netns "$0/netns";
for n in *; do if mountpoint -q "$n"; then mount --bind "$n" "$0/netns/$n"; fi; done;
mount -n --move "$0/netns" /run/netns; rmdir "$0/netns";
for n in *; do umount --no-canonicalize --lazy "/proc/self/cwd/$n" 2>/dev/null || :; done;
mount --make-shared /run/netns
"""

MAKE_NAMESPACE = """\
mountpoint -q "$0" || { : >"$0" &&
exec unshare --mount="$0" --propagation slave mount --make-rshared /; }
"""

# At a shutdown systemd stops what it knows of, and containers in its control groups. Those in others, which a runtime
# made by itself, would have the file systems that they mounted or were given until long after the network. A process of
# theirs is in a mount namespace of its own, and was begun by one inside. When time is over, systemd sends SIGTERM.
END_HOLDERS = f"""\
begun_inside() {{ up=$1;
while up=$(sed -n "s/^PPid:.//p" "/proc/$up/status") && [ "${{up:-0}}" -gt 1 ]; do
[ ! "/proc/$up/ns/mnt" -ef /proc/self/ns/mnt ] || return 0; done; return 1; }};
holders() {{
for mounts in $(grep -lsE " - ({NETWORK_FILE_SYSTEMS.replace(",", "|")}) " /proc/[0-9]*/mountinfo); do
p=${{mounts#/proc/}}; p=${{p%/*}};
[ "/proc/$p/ns/mnt" -ef /proc/1/ns/mnt ] || [ "/proc/$p/ns/mnt" -ef /proc/self/ns/mnt ] ||
! begun_inside "$p" || echo "$p"; done 2>/dev/null; }};
if [ "$(systemctl is-system-running)" = stopping ]; then
late=; trap "late=1" TERM;
for p in $(holders); do echo "SIGTERM to $(cat "/proc/$p/comm") [$p]: it has a network file system"; kill "$p"; done;
until left=$(holders) && [ -z "$left" ]; do [ -z "$late" ] || kill -KILL $left; sleep 0.2; done; fi;
"""

# Never "/": where that is a network file system, umount(2) would make the host's read-only.
UNMOUNT_NETWORK = f"""\
findmnt -nlo TARGET -t {NETWORK_FILE_SYSTEMS} | tac |
while IFS= read -r mount; do [ "$mount" = / ] || umount "$mount"; done
"""


def shell(tool: Mapping[str, str], script: str, *parameters: str) -> str:
    """A command that runs a script: one word in which nothing is expanded but by the shell, and literal parameters."""
    one_line = script.strip().replace("\n", " ")
    quoted = one_line.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return " ".join([tool["sh"], "-c", f'"{quoted}"', *map(escape.word, parameters)])


# The record is a link, replaced by one rename(2), and what it was stays until the next time: a reload may come and read
# on, at any moment.
KEEP = """\
set -e; store=$1/.$2.d; new=1; [ ! "$1/$2" -ef "$store/1" ] || new=2;
mkdir -p "$store"; rm -rf "$store/$new"; cp -RT "$0" "$store/$new";
ln -sfT ".$2.d/$new" "$store/new"; mv -T "$store/new" "$1/$2"
"""


def keep_record(name: str, tool: Mapping[str, str]) -> str:
    """The command that keeps what the generator left, in the place of what was kept before."""
    return shell(tool, KEEP, f"{GENERATED}/{name}", LIVE, name)


def drop_record(name: str, tool: Mapping[str, str]) -> list[tuple[str, str]]:
    """The commands that remove what was kept, and the shell in front of the generator with the last of it."""
    return [
        ("ExecStopPost", f"{tool['rm']} -rf {LIVE}/{name} {LIVE}/.{name}.d"),
        ("ExecStopPost", f"-{tool['rmdir']} --ignore-fail-on-non-empty {LIVE}"),
        ("ExecStopPost", f"-{GUARD}"),
    ]


def record_service(name: str, maker: str, digest: str, tools: Mapping[str, str] | None = None) -> str:
    """Keeps what the namespace is made of, for a reload that cannot make it again.

    maker, the unit that makes the namespace, does so when it starts; every start of a member asks for this, which has
    to do something where a reload brought anything else since. name: of the record. digest: the name of an empty file
    that tells what is kept.
    """
    tool = tools or TOOLS
    unit = [
        ("Description", f"Record of {escape.value(maker)}"),
        ("Documentation", DOCUMENTATION),
        ("After", maker),
        # Only its maker says that it lives.
        ("ConditionPathExists", f"{LIVE}/{name}"),
        ("ConditionPathExists", f"!{LIVE}/{name}/{digest}"),
        ("StartLimitIntervalSec", "0"),
    ]
    return text("", (("Unit", unit), ("Service", [("Type", "oneshot"), ("ExecStart", keep_record(name, tool))])))


def dependencies(namespace: MountNamespace) -> list[tuple[str, str]]:
    """How a member hangs on its namespace."""
    name = namespace.name
    if namespace.when_missing == "host":
        bond = [("Wants", f"{name}.service"), ("PartOf", f"{name}.service")]
    else:
        bond = [("Requires", f"{name}.service")]
    bond.append(("After", f"{name}.service"))
    if namespace.recorded:
        bond += [("Wants", f"{name}-record.service"), ("After", f"{name}-record.service")]
    return bond


def environment(namespace: MountNamespace) -> list[tuple[str, str]]:
    """What an Env service is told. Where there may be no namespace, the file that is there only when there is one."""
    if namespace.when_missing == "host":
        return [("EnvironmentFile", f"-/run/{namespace.name}/env")]
    return [("Environment", f"KUBENSMNT={namespace.pin}")]


def namespace_conf(namespace: MountNamespace, members: Iterable[Member]) -> str:
    """The [MountNamespace] section that says what this namespace is, for the record."""
    listed = list(members)
    lines = ["[MountNamespace]", f"Name={namespace.name}"]
    for key, mode in (("Wrap", "wrap"), ("Env", "env")):
        lines += [f"{key}={member.unit}" for member in listed if member.mode == mode]
    lines.append("WrapCommands=" + " ".join(namespace.wrap_commands))
    lines.append(f"WhenMissing={namespace.when_missing}")
    lines.append("AllowSandboxLoss=" + ("yes" if namespace.allow_sandbox_loss else "no"))
    return "\n".join(lines) + "\n"
