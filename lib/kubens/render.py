"""The text of every unit and drop-in that comes out, as pure functions; public for those who embed them.

A text is lists of settings; each value has been through kubens.escape, or is the raw text of the same setting in the
unit it came from. The units of a namespace need util-linux and coreutils, and the system manager's /run.
"""

from __future__ import annotations

from kubens import escape
from kubens.config import LIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kubens.config import MountNamespace

# Where the generator leaves what a namespace is made of, for NAME-record.service to keep.
GENERATED = "/run/systemd/generator/.kubens"
DOCUMENTATION = "man:kubens-generator(8) man:kubens.conf(5)"
NETWORK_FILE_SYSTEMS = "nfs,nfs4,cifs,smb3,ceph,glusterfs,fuse.glusterfs,fuse.sshfs,fuse.s3fs,9p"


def text(origin: str, sections: Iterable[tuple[str, list[tuple[str, str]]]]) -> str:
    """A unit file: a header that says what made it, then the sections that have settings."""
    parts = [f"# Made by kubens-generator(8){_from(origin)}. Do not edit: the next reload makes it anew.\n"]
    for name, settings in sections:
        if settings:
            parts.append(f"\n[{name}]\n")
            parts += [f"{key}={value}\n" for key, value in settings]
    return "".join(parts)


def _from(origin: str) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in origin)
    return f" from {printable}" if printable else ""


class Tools:
    """Paths of the programs that units run, by name; /usr/bin/NAME unless `known` has another."""

    def __init__(self, known: Mapping[str, str] | None = None) -> None:
        self._known = known or {}

    def __getitem__(self, name: str) -> str:
        return self._known.get(name) or f"/usr/bin/{name}"


def mount_namespace_service(
    name: str = "kubens", members: Iterable[str] = (), origin: str = "", tools: Tools | None = None
) -> str:
    """NAME.service: makes, pins and destroys the mount namespace NAME.

    members: the units that a failed restart leaves stopped. origin: FILE:LINE for the header and SourcePath=.
    """
    tool = tools or Tools()
    directory, pin = f"/run/{name}", f"/run/{name}/mnt"
    environment = f"{directory}/env"
    shell = tool["sh"] + " -c "
    # A shell says what neither systemd nor util-linux has a condition for: "unless it is there already".
    # In the peer group of /run, where ip(8) puts it, every network namespace would be mounted twice. What is in use
    # stays: taking it out of the group would leave the second mounts behind.
    netns = (
        "mountpoint -q /run/netns || mount --bind /run/netns /run/netns; "
        'if [ "$(findmnt -nro OPT-FIELDS /run)" = "$(findmnt -nro OPT-FIELDS /run/netns)" ] && '
        '[ -z "$(ls -A /run/netns)" ]; then mount --make-private /run/netns; fi; mount --make-shared /run/netns'
    )
    clear = (
        f"while umount --lazy {pin} || umount --lazy {directory}; do :; done 2>/dev/null; rm -rf {pin} {environment}"
    )
    # Killed between its two steps, unshare leaves a namespace that is pinned and not yet shared inside.
    keep_valid = (
        f'case "$(nsenter --mount={pin} findmnt -nro PROPAGATION / 2>/dev/null)" in *shared*) exit 0;; esac; {clear}'
    )
    unbindable = f"mountpoint -q {directory} || mount --bind --make-unbindable {directory} {directory}"
    unshare = (
        f"mountpoint -q {pin} && exit; : >{pin} && "
        f"exec unshare --mount={pin} --propagation slave mount --make-rshared /"
    )
    settings = [
        ("Type", "oneshot"),
        ("RemainAfterExit", "yes"),
        # Not RuntimeDirectory=: systemd would remove what is below a mount as well.
        ("ExecStartPre", f"{tool['mkdir']} -p {directory} /run/netns"),
        ("ExecStartPre", f"{tool['flock']} /run/netns {shell}{_script(netns)}"),
        ("ExecStartPre", shell + _script(keep_valid)),
        ("ExecStartPre", shell + _script(unbindable)),
        ("ExecStart", shell + _script(unshare)),
        ("ExecStartPost", shell + _script(f"echo KUBENSMNT={pin} >{environment}")),
        ("ExecStop", f"-{tool['nsenter']} --mount={pin} {tool['umount']} --all --types {NETWORK_FILE_SYSTEMS}"),
    ]
    stopped = " ".join(members)
    if stopped:
        message = (
            f"{name}.service failed, so its members stay stopped. Once it is mended: "
            f"systemctl start {name}.service {stopped}"
        )
        settings.append(("ExecStopPost", shell + _script(f'[ "$SERVICE_RESULT" = success ] || echo {_quote(message)}')))
    settings += [
        ("ExecStopPost", shell + _script(clear)),
        ("ExecStopPost", f"-{tool['rmdir']} {directory}"),
        ("ExecStopPost", f"{tool['rm']} -rf {LIVE}/{name}"),
        ("ExecStopPost", f"-{tool['rmdir']} --ignore-fail-on-non-empty {LIVE}"),
    ]
    unit = [
        ("Description", f"Shared mount namespace {escape.value(name)}"),
        ("Documentation", DOCUMENTATION),
        # So that it stops while there still is a network, for the network file systems mounted inside.
        ("After", "network.target remote-fs-pre.target"),
        ("Requires", f"{name}-record.service"),
        ("After", f"{name}-record.service"),
    ]
    source = origin.rpartition(":")[0]
    if source.startswith("/") and source.isprintable() and " " not in source:
        unit.insert(2, ("SourcePath", escape.value(source)))
    return text(origin, (("Unit", unit), ("Service", settings)))


def record_service(name: str, tools: Tools | None = None) -> str:
    """NAME-record.service: keeps what the namespace is made of, for a reload that cannot make it again.

    It runs before NAME.service and before every start of a member, so that members added later are kept too.
    """
    tool = tools or Tools()
    unit = [
        ("Description", f"Record of the mount namespace {escape.value(name)}"),
        ("Documentation", DOCUMENTATION),
    ]
    service = [
        ("Type", "oneshot"),
        ("RuntimeDirectory", LIVE[len("/run/") :]),
        ("RuntimeDirectoryPreserve", "yes"),
        ("ExecStart", f"{tool['cp']} -RT {GENERATED}/{name} {LIVE}/{name}"),
    ]
    return text("", (("Unit", unit), ("Service", service)))


def _script(script: str) -> str:
    """A shell script as one word of a command line in which nothing is expanded but by the shell."""
    quoted = script.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escape.check(quoted)}"'


def _quote(argument: str) -> str:
    return "'" + argument.replace("'", "'\\''") + "'"


def dependencies(namespace: MountNamespace) -> list[tuple[str, str]]:
    """How a member hangs on its namespace."""
    name = namespace.name
    if namespace.when_missing == "host":
        bond = [("Wants", f"{name}.service"), ("PartOf", f"{name}.service")]
    else:
        bond = [("Requires", f"{name}.service")]
    return bond + [
        ("After", f"{name}.service"),
        ("Wants", f"{name}-record.service"),
        ("After", f"{name}-record.service"),
    ]


def environment(namespace: MountNamespace) -> list[tuple[str, str]]:
    """What an Env service is told. Where there may be no namespace, the file that is there only when there is one."""
    if namespace.when_missing == "host":
        return [("EnvironmentFile", f"-/run/{namespace.name}/env")]
    return [("Environment", f"KUBENSMNT={namespace.pin}")]


def blocked(reason: str, tools: Tools) -> list[tuple[str, str]]:
    """[Service] settings with which a unit fails at its start, saying why, before it runs anything of its own."""
    return [
        ("ExecCondition", ""),
        ("ExecStartPre", ""),
        ("ExecStartPre", f"+{tools['printf']} {_line(reason)}"),
        ("ExecStartPre", f"+{tools['false']}"),
        ("SuccessExitStatus", ""),
    ]


def problems_service(findings: Iterable[str], tools: Tools | None = None) -> str:
    """kubens-problems.service: fails at boot, with one line for each finding."""
    tool = tools or Tools()
    lines = list(findings)
    count = f"{len(lines)} problems" if len(lines) != 1 else "1 problem"
    unit = [
        ("Description", f"kubens found {count} in its configuration"),
        ("Documentation", DOCUMENTATION),
    ]
    service = [("Type", "oneshot"), ("SyslogIdentifier", "kubens-generator"), ("SyslogLevel", "err")]
    service += [("ExecStart", f"{tool['printf']} {_line(line)}") for line in lines]
    service += [
        ("ExecStart", f"{tool['printf']} {_line('Mend it, then: kubensctl check; systemctl daemon-reload')}"),
        ("ExecStart", tool["false"]),
    ]
    return text("", (("Unit", unit), ("Service", service)))


def _line(message: str) -> str:
    """printf(1)'s arguments for one line."""
    return f'"%%s\\\\n" {escape.word(message)}'


def namespace_conf(namespace: MountNamespace) -> str:
    """The [MountNamespace] section that says what this namespace is, for the record."""
    lines = ["[MountNamespace]", f"Name={namespace.name}"]
    for key, mode in (("Wrap", "wrap"), ("Env", "env")):
        lines += [f"{key}={member.unit}" for member in namespace.members.values() if member.mode == mode]
    lines.append("WrapCommands=" + " ".join(namespace.wrap_commands))
    lines.append(f"WhenMissing={namespace.when_missing}")
    lines.append("AllowSandboxLoss=" + ("yes" if namespace.allow_sandbox_loss else "no"))
    return "\n".join(lines) + "\n"
