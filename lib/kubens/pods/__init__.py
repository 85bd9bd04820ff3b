"""kubens.pods: what rkt's stage1 made of a pod's manifest, in Python.

A pod manifest of appc becomes systemd units, environment files and the arguments of systemd-nspawn. Every
function of the index of rkt's `stage1/init/common` at v1.0.0 is here under its name in snake case, with its
parameters in their order; bytes, order and places are the predecessor's, except for the choices below.

    pod = Pod("/var/lib/pod", uuid, parse_pod_manifest(text), {"web": parse_image_manifest(image_text)})
    write_default_target(pod)
    write_prepare_app_template(pod)
    pod_to_systemd(pod, False, "host", "")
    args = pod_to_nspawn_args(pod)

What is refused raises PodError, a ValueError; ManifestError has the JSONPath of the fault. What the disk
refuses raises OSError. `plan` and `mounts` are pure and give units, links, directories and arguments as data;
`stage1` looks at the tree and writes.

What the generator makes of manifests, units of the host itself, is not this: `hostread` reads them, with `appc` or
`kube`, into the plain data of `host`, of which `hostunits` makes units; kubens-pod(5).

Choices, where the predecessor had a defect or left the answer open:

==================================================  =======================================================
predecessor                                         here
==================================================  =======================================================
Writing
files are written in place without truncation       replaced at once, so rewriting is safe
links that exist are an error                       replaced, too
files written before a refused app remain           all apps are planned first; a refused one costs no file
links in the tree are followed by the writer        refused; nothing outside the tree can be written
an app may have any name                            `shutdown`, `systemd-*` and `reaper-x` beside `x` are
                                                    refused: they would replace units that others need
names of units may be too long                      more than 255 characters are refused
values are written as they come                     a line break, NUL, outer blank or closing backslash is
                                                    refused
Units
% in arguments, paths and names is expanded         doubled, so it means itself
NUL in a command does not load                      refused, as is half of a surrogate pair
noncharacters as \\u are no escapes for systemd      written as the bytes that they are
a first word like `-x` is read as a prefix          refused by quote_exec
escaped bytes below 0x10 have one digit             two, as systemd-escape has
`.` and `..` stay in names of units                 `.` goes, `..` is refused
env files have their defaults in any order          in the order PATH SHELL USER LOGNAME HOME
USER, LOGNAME and HOME are root's for everybody     kept: a manifest can set them
ids are any decimal integer                         0 to 4294967294; the next means «none» to the kernel
groups of root stay with an app that has none       kept: /appexec is not made here
Limits
limits vanish on hosts with cgroup v2               always written; systemd says what it cannot enforce
CPU below 10m becomes 0%, which is no limit         refused, and so is a memory limit of 0
MemoryLimit= is being retired by systemd            kept: the units are for a stage1 of that time
Volumes
generate_mounts changes the app and the map         it gives (mounts, volumes) and changes nothing
a mount of an unknown volume fails late or never    refused
two mounts at one path both happen                  refused, and so is one below another, as appc demands
`dir` and `/dir` are two paths                      one; generate_mounts gives absolute and cleaned paths
an implicit volume is shared by all apps that       the first app's has the mount point's name, that of
have a mount point of that name                     a later app is `APP-MOUNTPOINT`
read-only is looked up by the volume's name only    by is_mount_read_only; for units and arguments the
                                                    mount point at the mount's path comes first
`..` in a mount's path leaves the app's root        refused, in a volume's source too, and so is a path
                                                    that no file system or unit file can hold
links at a mount's path are not looked at           relative ones are followed inside the app's root;
                                                    absolute ones, and what leads out of it, are refused
mode keeps 0777 only, kvm ignores mode and owner    all of 7777, mode and owner for every flavor
an owner that a directory has is set again          left alone: one's own directories need no privilege
Arguments
a colon or backslash in a path splits --bind=       escaped with a backslash
--capability= gives to the container                kept: nspawn knows no capabilities of one app
a comma in a source splits --9p=                    refused: lkvm has no escape
9p tags can be too long                             more than 30 bytes are refused
Mount units of flavor kvm
only [Install] binds them to their app              links in APP.service.requires/ as well
the path in the remount command is not quoted       quoted where it must be
the remount covers the whole file system            remount,bind,ro
an app can start before the remount                 Type=oneshot and Before= the app, which requires it
Journal
libacl is loaded and may be missing                 the access list is given to the kernel directly
Manifests
keys are matched in any case, the last one wins     in any case, but only once
os and arch of labels are checked against a list    not checked: the list is of 2016, and nothing uses them
text, depth and lists have no bounds                4 Mi characters, 32 levels, 1024 elements
an event handler may have no command                refused
volumes may share a name                            refused
==================================================  =======================================================
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kubens.pods.index import *  # noqa: F403
else:

    def __getattr__(name: str) -> object:
        """Load the index when first asked for one of its names: the boot takes only the readers."""
        if name in ("appc", "kube"):
            raise AttributeError(name)  # a module, then, which the import goes on to look for
        import kubens.pods.index as index

        return getattr(index, name)
