"""Whether a machine still is what its static units were compiled for: a unit that looks at boot, and its words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from kubens import inventory, names, render
from kubens.files import Root
from kubens.inventory import Inventory
from kubens.units import Unit
from kubensctl.failure import Failure

NAME = "kubens-compiled.service"
# The beginning of all that is compiled, by which it is known when the machine is read again.
MARK = "# Made by kubensctl(1), compile"


class Sources:
    """The files that units were made from, with their digests. known: those that come along, by path."""

    def __init__(self, root: Root, taken: Inventory) -> None:
        self._root = root
        self._absent = taken.absent
        self._units = {unit.name: unit for unit in taken.units.values() if unit is not None}
        self._digests: dict[str, str] = {}

    def come_along(self, texts: Mapping[str, str]) -> None:
        """Take these files for what will be at their paths. Those that generation made lie elsewhere then."""
        self._digests.update((path, digest(text)) for path, text in texts.items())

    def lines(self, name: str) -> list[str]:
        """As sha256sum(1) writes them."""
        unit = self._units.get(name)
        if unit is None:
            return []
        return [f"{self._digest(path)}  {path}" for path in _files(unit) if not _is_made(path)]

    def words(self) -> list[str]:
        """Each unit, followed by the files it was made from; those that are not there, by nothing."""
        words: list[str] = []
        for name, unit in sorted({**dict.fromkeys(self._absent), **self._units}.items()):
            words.append(names.with_instance(name, "kubens") if names.kind(name) == names.TEMPLATE else name)
            if unit is not None:
                words += [self.word(_place(path)) for path in _files(unit)]
        return words

    def word(self, path: str) -> str:
        return f"{self._digest(path)}:{path}"

    def _digest(self, path: str) -> str:
        if path not in self._digests:
            try:
                self._digests[path] = digest(self._root.read(path) or "")
            except OSError as error:
                raise Failure(f"{path}: {error}") from None
        return self._digests[path]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _files(unit: Unit) -> list[str]:
    """The unit's own file, and of its drop-ins those that say something that counts; it goes first."""
    counting = {setting.file for settings in (*unit.service.values(), *unit.unit.values()) for setting in settings}
    return [unit.path, *(path for path in unit.dropins if path in counting)]


def _is_made(path: str) -> bool:
    return path.startswith("/run/systemd/generator/")


def _place(path: str) -> str:
    """Where a unit of a pod's will be."""
    return path.replace("/run/systemd/generator/", "/etc/systemd/system/") if _is_made(path) else path


# $0 finds the settings that count, $1 is MARK, then come words: DIRECTORY=NAMES and /etc/NAME=PLACE of files that are
# bound over /etc; DIGEST:PATH; and each unit with the DIGEST:PATH of its files. Which a unit has, systemd says.
_SCRIPT = """\
status=0; unit=; first=; known=;
say() { printf "%s\\n" "$*"; status=1; };
finish() {
[ -n "$unit" ] || return 0;
case $first$(systemctl show --property=LoadState --value "$unit") in not-found|masked) return 0 ;; esac;
path=$(readlink -f "$(systemctl show --property=FragmentPath --value "$unit")");
[ "$path" = "$first" ] || say "$unit: ${path:-nothing} is its file, and was ${first:-nowhere}";
for path in $(systemctl show --property=DropInPaths --value "$unit"); do
path=$(readlink -f "$path");
case "$known" in *" $path "*) continue ;; esac;
case $(head -n 1 "$path") in "$mark"*) continue ;; esac;
if tr "\\r\\0" "\\n\\n" <"$path" | grep -Eq "$0"; then say "$path: is new"; fi; done; };
mark=$1; shift;
for word; do case $word in
/etc/netns/*=*) found=$(LC_ALL=C ls -A "${word%%=*}" 2>/dev/null | tr "\\n" " ");
[ "${found% }" = "${word#*=}" ] || say "${word%%=*}: has other files" ;;
/*=*) [ "$(readlink -m "${word%%=*}")" = "${word#*=}" ] || say "${word%%=*}: does not lead to ${word#*=}" ;;
*:/*) path=$(readlink -f "${word#*:}"); first=${first:-$path}; known="$known $path ";
digest=$(sha256sum "${path:-${word#*:}}" 2>/dev/null);
[ "${digest%% *}" = "${word%%:*}" ] || say "${word#*:}: has changed" ;;
*) finish; unit=$word; first=; known= ;; esac; done; finish;
[ $status = 0 ] || echo "So the services may not run as their units say. Next, where they were made: kubensctl compile";
exit $status
"""


def service(words: Iterable[str], tools: Mapping[str, str]) -> str:
    """The text of the unit."""
    pattern = f"^[[:blank:]]*({'|'.join(sorted(inventory.KEYS))})[[:blank:]]*="
    unit = [
        ("Description", "Whether the units that kubens was compiled for are those of this system"),
        ("Documentation", "man:kubensctl(1)"),
    ]
    settings = [
        ("Type", "oneshot"),
        ("RemainAfterExit", "yes"),
        ("SyslogIdentifier", "kubens-compiled"),
        ("ExecStart", render.shell(tools, _SCRIPT, pattern, MARK, *words)),
    ]
    return render.text("", (("Unit", unit), ("Service", settings)))
