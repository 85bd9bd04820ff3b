"""OCI images made of Debian's static busybox alone: no registry is asked."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any

APPLETS = ("cat", "echo", "httpd", "ip", "ls", "mount", "sh", "sleep", "touch", "umount", "wget")


def archive(busybox: bytes, names: dict[str, list[str]]) -> bytes:
    """A tar archive for `ctr images import`: an OCI image for each name, with the command that it runs by default."""
    layer = _layer(busybox)
    blobs: list[bytes] = []

    def keep(blob: bytes, media: str) -> dict[str, Any]:
        blobs.append(blob)
        kind = f"application/vnd.oci.image.{media}"
        return {"mediaType": kind, "digest": f"sha256:{_digest(blob)}", "size": len(blob)}

    layers = [keep(gzip.compress(layer, mtime=0), "layer.v1.tar+gzip")]
    manifests = []
    for name, command in names.items():
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": command, "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(layer)}"]},
        }
        manifest = {"schemaVersion": 2, "config": keep(_json(config), "config.v1+json"), "layers": layers}
        annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
        manifests.append({**keep(_json(manifest), "manifest.v1+json"), "annotations": annotations})
    files = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": manifests}),
    }
    files.update({f"blobs/sha256/{_digest(blob)}": blob for blob in blobs})
    return _tar([_file(name, content) for name, content in files.items()])


def _layer(busybox: bytes) -> bytes:
    entries = [_directory(name) for name in ("bin", "dev", "etc", "proc", "srv", "sys", "tmp", "volumes")]
    entries.append(_file("bin/busybox", busybox, 0o755))
    for applet in APPLETS:
        link = tarfile.TarInfo(f"bin/{applet}")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        entries.append((link, b""))
    return _tar(entries)


def _tar(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry, content in entries:
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _file(name: str, content: bytes, mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    return entry, content


def _directory(name: str) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    return entry, b""


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
