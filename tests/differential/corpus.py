"""The services of Debian's packages, each wrapped alone: python3 -m differential.corpus [--packages N] [--cache DIR].

Downloads the largest packages that set up services, up to a size, boots a machine with all of their units, and lets
systemd compare: each service is wrapped identically or refused with a reason. Prints figures and mismatches.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from differential.trial import Trial
from differential.worlds import Link, Piece, World
from machine import machine

# What makes the machine itself is left as it is.
_LEFT_OUT = re.compile(r"systemd|udev|dbus|init|sysvinit")
_DOWNLOAD_MAX = 3_000_000
_UNITS = re.compile(r"\./(?:usr/)?lib/systemd/system/([^/]+\.service(?:\.d/[^/]+\.conf)?)")
_AT_ONCE = 25


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=int, default=250)
    parser.add_argument("--cache", type=Path, default=Path("/tmp/kubens-corpus"), help="where packages are kept")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    pieces: dict[str, Piece] = {}
    for package in _download(_packages()[: options.packages], options.cache):
        pieces.update(_units(package))
    members = {name: name.replace("@.", "@x.") for name in (path.rpartition("/")[2] for path in pieces)
               if name.endswith(".service")}  # fmt: skip
    with machine() as node:
        trial = Trial(node)
        result = trial.run(World(pieces, members))
        trial.close()
    for mismatch in result.mismatches:
        print(mismatch)
    print(f"{len(members)} services, {len(result.mismatches)} mismatches")
    for what, count in sorted(result.counts.items()):
        print(f"{count:6} {what}")
    return 1 if result.mismatches else 0


def _packages() -> list[str]:
    """The packages that set up services, the largest first."""
    text = subprocess.run(["apt-cache", "dumpavail"], check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, int] = {}
    for paragraph in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        depends = fields.get("Pre-Depends", "") + fields.get("Depends", "")
        if "init-system-helpers" in depends and int(fields["Size"]) <= _DOWNLOAD_MAX:
            found[fields["Package"]] = int(fields["Installed-Size"])
    return [name for name in sorted(found, key=lambda name: -found[name]) if not _LEFT_OUT.search(name)]


def _download(names: list[str], cache: Path) -> Iterator[Path]:
    missing = [name for name in names if not any(cache.glob(f"{name}_*.deb"))]
    for start in range(0, len(missing), _AT_ONCE):
        command = ["apt-get", "download", "--quiet", *missing[start : start + _AT_ONCE]]
        subprocess.run(command, cwd=cache, check=True, stdout=subprocess.DEVNULL)
    for name in names:
        yield from cache.glob(f"{name}_*.deb")


def _units(package: Path) -> Iterator[tuple[str, Piece]]:
    """The services in a package and their drop-ins, by path."""
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for entry in archive:
            match = _UNITS.fullmatch(entry.name)
            if match and entry.issym():
                yield f"/usr/lib/systemd/system/{match[1]}", Link(entry.linkname)
            elif match and entry.isfile():
                file = archive.extractfile(entry)
                assert file is not None
                yield f"/usr/lib/systemd/system/{match[1]}", file.read()


if __name__ == "__main__":
    raise SystemExit(main())
