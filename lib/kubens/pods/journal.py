"""The access list of a pod's journal.

The list is handed to the kernel in its own format, acl(5) as linux/posix_acl_xattr.h lays it out, so that no
library has to be found first.
"""

from __future__ import annotations

import os
import struct

from kubens.pods.errors import PodError
from kubens.pods.layout import stage1_rootfs_path
from kubens.pods.ondisk import Directory, Plan
from kubens.pods.pod import Pod
from kubens.pods.tree import write

GROUP_FILE = "/etc/group"
RKT_GROUP = "rkt"

JOURNAL_DIR = "/var/log/journal"

_XATTR = "system.posix_acl_default"
_VERSION = 2
_USER_OBJ, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x04, 0x08, 0x10, 0x20
_READ_EXECUTE = 5
_NO_ID = 2**32 - 1


def set_journal_permissions(pod: Pod) -> None:
    """Let group rkt read what will be in the pod's journal: a default access list on its directory.

    PodError where there is no group rkt; OSError where the file system has no access lists.
    """
    gid = _group_id(RKT_GROUP)
    rootfs = stage1_rootfs_path(pod.root)
    plan = Plan()
    plan.directories.append(Directory(JOURNAL_DIR, 0o755))
    write(rootfs, plan)
    path = rootfs + JOURNAL_DIR
    os.setxattr(path, _XATTR, default_acl(os.stat(path).st_mode, gid))


def default_acl(mode: int, gid: int) -> bytes:
    """The list that grants r-x to group gid, and to user, group and others what mode does."""
    entries = (
        (_USER_OBJ, mode >> 6 & 7, _NO_ID),
        (_GROUP_OBJ, mode >> 3 & 7, _NO_ID),
        (_GROUP, _READ_EXECUTE, gid),
        (_MASK, _READ_EXECUTE, _NO_ID),
        (_OTHER, mode & 7, _NO_ID),
    )
    return struct.pack("<I", _VERSION) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def _group_id(name: str) -> int:
    with open(GROUP_FILE, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.rstrip("\n").split(":")
            if len(fields) == 4 and fields[0] == name and fields[2].isdigit():
                return int(fields[2])
    raise PodError(f'group "{name}" not found')
