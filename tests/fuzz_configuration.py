"""Hostile configuration and units: random changes to a tree, and what must hold of whatever the generator makes of it.

    python tests/fuzz_configuration.py [COUNT [SEED]]

Run within this process, so that a hundred thousand inputs take minutes. Every text that comes out is read here, and by
systemd: many in one run of systemd-analyze(1), each only once, since most inputs give the same as others. Some outputs
are shown to it as a whole, together with the units that they are for. An input that breaks a rule is left behind in a
directory that is named, to be looked at.
"""

from __future__ import annotations

import gc
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))

from kubens import boot, config, failures, inventory, log, render, sandbox
from kubens.finding import ERROR, Finding
from trees import BASE, FULL, POD, Content, build, link, verify

Sections = list[tuple[str, list[tuple[str, str]]]]

SEEDS: dict[str, str] = {
    **{path: content for path, content in FULL.items() if isinstance(content, str)},
    "/etc/kubens/40-more.conf": "[MountNamespace]\nName=more\nWrap=h e@1\nEnv=f\nAllowSandboxLoss=yes\n"
    "WrapCommands=ExecStartPre ExecStart ExecReload\n",
    "/etc/systemd/system/h.service": "[Service]\nType=oneshot\nExecStartPre=-+/bin/true ; !!/bin/false\n"
    'ExecStart=@/bin/sh name -c \'echo "$A" %%\' \\\n  more\nExecStart=:/bin/printf "%%s\\x41" b\\ c\n'
    "ProtectSystem=full\n",
    "/etc/systemd/system/e@.service": "[Service]\nExecStart=/opt/e %p %i --x=${A}\nWorkingDirectory=-/x\n"
    "PrivateTmp=no\n",
    "/etc/systemd/system/e@1.service.d/x.conf": "[Service]\nWorkingDirectory=/var/%i\nSyslogIdentifier=x%%y\n",
    "/etc/systemd/system/f.service": "[Unit]\nBefore=g.service\n[Service]\nExecStart=sleep 5\nExecSearchPath=/bin\n",
}

# What hurts: everything that has a meaning somewhere on the way.
TOKENS = (
    "\\", "\\\n", "\\ ", "\n", "\r\n", "\r", "\0", "\t", " ", ";", " ; ", "#", "%", "%%", "%i", "%n", "$", "$$", "${A}",
    '"', "'", "=", "[", "]", "[Service]\n", "[Unit]\n", "[MountNamespace]\n", "@", "-", "+", "!", "!!", ":", "|", "/",
    "..", "../../etc/passwd", "é", "\udcff", "\udcc3", "\u2028", "\x85", "\x1b[31m", "\x7f", "\ufeff", "\ufffe",
    "\\x0a", "\\n", "\\u000a", "\\012", "\\xff", "\\s", "x" * 300, "Name=", "Wrap=", "Env=", "WrapCommands=",
    "WhenMissing=host", "AllowSandboxLoss=yes", "[NetworkNamespace]\n", "Types=", "Services=", "WantedBy=",
    "lo", "veth", "a.service", "a", "e@2", "d.service ", "ExecStart=", "\nExecStart=",
    "\nExecStart=\n", "ExecStartPre=", "ExecReload=", "WorkingDirectory=", "SyslogIdentifier=", "Type=oneshot\n",
    "User=x\n", "/bin/sleep", "sleep", "PrivateTmp=yes\n", "BindPaths=/a:/b\n", "SystemCallFilter=~@mount\n",
    "CapabilityBoundingSet=~CAP_SYS_ADMIN\n", "Before=sysinit.target\n", "NetworkNamespacePath=/run/netns/x\n",
    "kubens", "red", "systemd", "zzz",
)  # fmt: skip
MANIFEST = next(iter(POD))
LINKS = ("/dev/null", "nowhere", ".", "a.service", "/etc/kubens/10-red.conf", "/", "../../../../../../etc/passwd")
UNITS = "/etc/systemd/system"
NAMES = (
    "/etc/kubens/zz.conf", "/etc/kubens/10-red.conf", "/usr/lib/kubens/10-red.conf", f"{UNITS}/absent.service",
    f"{UNITS}/red.service", f"{UNITS}/a.service.d/zz-kubens.conf", f"{UNITS}/a.service.d/zzz\n.conf",
    f"{UNITS}/a.service.d/zz%n é.conf", f"{UNITS}/t@9.service", f"{UNITS}/-.service.d/x.conf",
    f"{UNITS}/red.service.d/x.conf", "/run/kubens-generator/red/namespace.conf",
    "/run/kubens-generator/gone/namespace.conf", "/etc/init.d/absent",
    "/run/kubens-generator/netns@night/namespace.conf",
    "/run/kubens-generator/netns-late@x/sources", "/etc/conf.d/netns/more.conf", "/etc/netns/night/a b",
    "/etc/netns/night/hosts", f"{UNITS}/netns-own@.service", f"{UNITS}/d.socket.d/x.conf",
)  # fmt: skip

# All that a drop-in may say.
KEYS = (
    {"Requires", "Wants", "BindsTo", "After", "PartOf", "Environment", "EnvironmentFile", "SyslogIdentifier",
     "PrivateMounts", "SuccessExitStatus", "DefaultDependencies", "Before", "Conflicts", "JoinsNamespaceOf",
     "RefuseManualStart", "RefuseManualStop"}
    | set(config.EXEC_SETTINGS)
    | sandbox.KEYS
)  # fmt: skip


# All that the plan looks at.
SETTINGS = sorted(inventory.KEYS | {key for _, key, *_ in config.SETTINGS})


class Broken(AssertionError):
    """A rule that does not hold."""


def mutated(text: str, chance: random.Random, others: list[str]) -> str:
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        ends = [match.start() for match in re.finditer("\n", text)]
        # The ends of lines are where one thing becomes another.
        place = chance.choice(ends) if ends and chance.random() < 0.3 else chance.randint(0, len(text))
        end = min(len(text), place + chance.choice((0, 0, 1, 2, 8, 40)))
        piece = chance.choice(TOKENS)
        if chance.random() < 0.1:
            other = chance.choice(others)
            begin = chance.randint(0, len(other))
            piece = other[begin : begin + chance.randint(0, 60)]
        elif chance.random() < 0.05:
            piece = "".join(chr(chance.randrange(1, 0x250)) for _ in range(chance.randint(1, 8)))
        elif chance.random() < 0.05:
            piece = f"\n{chance.choice(SETTINGS)}={piece}\n"
        text = text[:place] + piece + text[end:]
    return text


def changed(chance: random.Random) -> dict[str, Content]:
    """Files that are not as in the whole tree."""
    others = list(SEEDS.values())
    files: dict[str, Content] = {
        path: mutated(SEEDS[path], chance, others) for path in chance.sample(sorted(SEEDS), chance.choice((1, 1, 2, 3)))
    }
    if chance.random() < 0.3:
        files[chance.choice(NAMES)] = mutated(chance.choice(others), chance, others)
    if chance.random() < 0.1:
        files[MANIFEST] = mutated(str(POD[MANIFEST]), chance, others)
    if chance.random() < 0.1:
        files[chance.choice([*SEEDS, *NAMES])] = link(chance.choice(LINKS))
    if chance.random() < 0.05:
        files[chance.choice(sorted(BASE))] = Path.touch
    return files


@contextmanager
def recorded() -> Iterator[tuple[dict[str, Sections], list[Finding]]]:
    """What each text was made of, by the text, and the findings that are reported."""
    meant: dict[str, Sections] = {}
    said: list[Finding] = []
    bodies: dict[str, Sections] = {"": []}
    make, make_body, say = render.text, render.body, log.report

    def body(sections: Iterable[tuple[str, list[tuple[str, str]]]]) -> str:
        kept = [(name, list(settings)) for name, settings in sections if settings]
        made = make_body(kept)
        bodies[made] = kept
        return made

    def text(origin: str, sections: Iterable[tuple[str, list[tuple[str, str]]]], first: str = "") -> str:
        kept = [(name, list(settings)) for name, settings in sections if settings]
        made = make(origin, kept, first)
        meant[made] = bodies[first] + kept
        return made

    def report(findings: list[Finding], notices: bool = True) -> None:
        said.extend(findings)

    render.text = failures.text = text  # type: ignore[attr-defined]
    render.body = body
    log.report = report
    try:
        yield meant, said
    finally:
        render.text = failures.text = make  # type: ignore[attr-defined]
        render.body = make_body
        log.report = say


def read(text: str) -> Sections:
    """What systemd understands, by other rules than the library's: nothing but headers and settings, one a line."""
    found: Sections = []
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        if (len(line) - len(line.rstrip("\\"))) % 2 or "\r" in line or "\0" in line:
            raise Broken(f"goes on in the next line: {line!r}")
        header = re.fullmatch(r"\[(Unit|Service|Socket)\]", line)
        if header:
            found.append((header[1], []))
            continue
        setting = re.fullmatch(r"([A-Z][A-Za-z0-9]+)=(.*)", line, re.DOTALL)
        if not setting or not found:
            raise Broken(f"no setting: {line!r}")
        found[-1][1].append((setting[1], setting[2].strip(" \t")))
    return found


# Texts that were found good, by whether they are a drop-in's, and what they were made of.
_good: dict[tuple[str, bool], Sections] = {}


def check_text(name: str, text: str, meant: dict[str, Sections]) -> None:
    if text not in meant:
        raise Broken(f"{name} was not made by render.text()")
    key = (text, is_dropin(name))
    if _good.get(key) == meant[text]:
        return
    stripped = [(section, [(key, value.strip(" \t")) for key, value in settings]) for section, settings in meant[text]]
    if read(text) != stripped:
        raise Broken(f"{name} does not say what was meant: {stripped}")
    strange = [key for _, settings in stripped for key, _ in settings if key not in KEYS]
    if strange and is_dropin(name):
        raise Broken(f"{name} sets {strange}")
    _good[key] = meant[text]


def is_dropin(path: str) -> bool:
    return path.endswith(".conf") or "/dropins/" in path


def check_pod_text(name: str, text: str) -> None:
    """What pods are made of is rendered elsewhere: here each line has to be one."""
    for line in text.split("\n"):
        if line and not re.fullmatch(r"#.*|\[[A-Z][A-Za-z]*\]|[A-Z][A-Za-z0-9]*=[^\r\0]*[^\r\0\\]?", line):
            raise Broken(f"{name} has a line that is none: {line!r}")


def check_output(output: str, meant: dict[str, Sections]) -> dict[str, str]:
    """Read everything; the path of each text, which may have several."""
    seen: dict[str, str] = {}
    inodes: set[int] = set()
    waiting = [output]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    check_link(entry.path, output)
                elif entry.is_dir():
                    waiting.append(entry.path)
                elif entry.inode() not in inodes and entry.name != "namespace.conf" and entry.stat().st_size:
                    inodes.add(entry.inode())
                    with open(entry.path, encoding="utf-8", newline="") as file:
                        text = file.read()
                    if text.partition("\n")[0].startswith(f"# Made by kubens-generator(8) from {MANIFEST}"):
                        check_pod_text(entry.path, text)
                    elif text not in seen:
                        check_text(entry.path, text, meant)
                    seen.setdefault(text, entry.path)
    return seen


def check_link(path: str, output: str) -> None:
    """Nothing needs to be followed: a link on the way would be one of those that are checked."""
    target = os.readlink(path)
    if target.startswith("/") or not os.path.normpath(f"{path}/../{target}").startswith(f"{output}/"):
        raise Broken(f"{path} leads out of the output: {target}")


class Systemd:
    """What systemd makes of texts: each is asked about once, a thousand in one run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._asked: set[tuple[str, bool]] = set()
        # The unit that each text is put into, and what to say of where it came from.
        self._waiting: dict[str, str] = {}

    @property
    def count(self) -> int:
        return len(self._asked)

    def add(self, path: str, text: str, origin: str) -> None:
        """Have a text asked about, with the next thousand. Raises Broken."""
        key = (text, is_dropin(path))
        if key in self._asked:
            return
        self._asked.add(key)
        # A drop-in lies in UNIT.d/, or in .kubens/ under the name of its unit.
        unit = path.split("/")[-2 if path.endswith(".conf") else -1].removesuffix(".d")
        stem, _, suffix = unit.rpartition(".")
        name = f"{NUMBERED}{len(self._asked)}{'@' if '@' in stem else ''}.{suffix}"
        place = self._directory / name
        self._directory.mkdir(exist_ok=True)
        if is_dropin(path):
            place.write_text(EXTENDED[suffix])
            place = self._directory / f"{name}.d/{NUMBERED}.conf"
            place.parent.mkdir()
        place.write_bytes(text.encode("utf-8", "surrogateescape"))
        self._waiting[name] = f"{path} of {origin}"
        if len(self._waiting) >= 1000:
            self.answer()

    def answer(self) -> None:
        """Ask about those that wait. Raises Broken."""
        if not self._waiting:
            return
        command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *self._waiting]
        done = subprocess.run(
            command,
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{self._directory}:"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
        bad = [line for line in done.stdout.split("\n") if NUMBERED in line and not re.search(EXCUSED, line)]
        for line in bad:
            named = re.search(rf"{NUMBERED}\d+@?(?=\w*\.)", line)
            origins = [origin for name, origin in self._waiting.items() if named and name.startswith(f"{named[0]}.")]
            raise Broken(f"systemd says, of {origins or self._directory}: {line}")
        shutil.rmtree(self._directory)
        self._waiting.clear()


# What the units are called while systemd looks at them.
NUMBERED = "fuzzed-"
# What drop-ins are for, by the kind of unit.
EXTENDED = {"service": "[Service]\nType=oneshot\nExecStart=/bin/true\n", "socket": "[Socket]\nListenStream=7\n"}
# What systemd may say of a text without the unit that it is for: what is installed, what else is there, and what the
# unit itself says as well.
EXCUSED = (
    r": Command .* is not executable: |not loaded, socket cannot be started|Where= setting doesn't match|bad unit file"
    r"|Ignoring unknown escape sequences|has more than one ExecStart=|Specifier '%.' used in unit configuration"
    # Of a newer release, like the unit's own.
    rf"|Unknown key (name )?'({'|'.join(sandbox.KEYS)})' in section '?\[?Service"
)


# Paths that are written, made or removed while somebody watches.
_watched: list[str] | None = None
_EVENTS = {"os.mkdir": 0, "os.remove": 0, "os.rmdir": 0, "os.symlink": 1, "os.link": 1, "os.rename": 1, "os.chmod": 0,
           "os.chown": 0, "os.truncate": 0, "os.utime": 0}  # fmt: skip
_FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.", "subprocess.", "ctypes.", "shutil.")


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if _watched is None:
        return
    if event in _EVENTS:
        _watched.append(os.path.join(os.getcwd(), str(arguments[_EVENTS[event]])))
    elif event == "open":
        flags = arguments[2]
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            _watched.append(os.path.join(os.getcwd(), str(arguments[0])))
    elif event.startswith(_FORBIDDEN):
        _watched.append(event)


sys.addaudithook(_watch)


def generated(root: Path, output: Path) -> tuple[int, list[str]]:
    """Run the generator: its exit status, and what it wrote elsewhere than into the output."""
    global _watched
    written: list[str] = []
    here = os.getcwd()
    _watched = written
    try:
        status = boot.generate([str(output)], {b"KUBENS_ROOT": os.fsencode(root)})
    finally:
        _watched = None
        os.chdir(here)
    return status, [path for path in written if not path.startswith(f"{output}/") or "/../" in path]


def try_one(root: Path, output: Path, ask_systemd: bool) -> dict[str, str]:
    """Generate for one tree: the path of each text that comes out. Raises Broken, or whatever the generator raised."""
    output.mkdir()
    with recorded() as (meant, findings):
        status, elsewhere = generated(root, output)
    if elsewhere:
        raise Broken(f"touched {elsewhere}")
    errors = any(finding.severity == ERROR for finding in findings)
    if status == boot.CRASHED and any(finding.file.startswith(config.LIVE) for finding in findings):
        status = boot.DONE_WITH_ERRORS  # for the shell in front, which uses what was recorded
    if status != (boot.DONE_WITH_ERRORS if errors else boot.DONE):
        raise Broken(f"exit status {status} with findings {findings}")
    for finding in findings:
        if not str(finding).isprintable():
            raise Broken(f"not one line of text: {finding!r}")
    texts = check_output(str(output), meant)
    if ask_systemd:
        said = [line for line in verify(root, output).splitlines() if str(output) in line]
        if re.search(UNLOADABLE, "\n".join(said)):
            raise Broken("\n".join(said))
    return texts


# What systemd says of a line that is none. It may find fault with a value that it found fault with before us, too.
UNLOADABLE = r"Missing '='|Assignment outside|Invalid section header|not valid UTF-8|Unknown section|Failed to parse"


def fuzz(count: int, seed: int, directory: Path, every: int = 50) -> int:
    """Try that many trees; of so many, one is shown to systemd as a whole. Returns how many different texts came out.

    Raises Broken with the input's number.
    """
    whole: dict[str, Content] = {**FULL, **SEEDS}
    root, outputs = directory / "root", directory / "outputs"
    systemd = Systemd(directory / "units")
    build(root, whole)
    for number in range(count):
        if number % 200 == 0:
            # rm(1) is faster than rmtree(), and fastest with many.
            subprocess.run(["rm", "-rf", outputs], check=True)
            outputs.mkdir()
            gc.collect()
        changes = changed(random.Random(f"{seed} {number}"))
        for path in changes:
            (root / path[1:]).unlink(missing_ok=True)
        build(root, changes)
        origin = f"input {number} of seed {seed}"
        try:
            for text, path in try_one(root, outputs / str(number), number % every == 0).items():
                systemd.add(path, text, origin)
        except Exception as error:
            raise Broken(f"{origin}, in {directory}: {type(error).__name__}: {error}") from error
        for path in changes:
            (root / path[1:]).unlink(missing_ok=True)
        build(root, {path: whole[path] for path in changes if path in whole})
        if number % 10000 == 9999:
            print(f"{number + 1} inputs, {systemd.count} different texts", flush=True)
    systemd.answer()
    return systemd.count


def scratch() -> Path:
    """A directory of its own, in memory where there is such a place."""
    memory = "/dev/shm"
    return Path(tempfile.mkdtemp(prefix="kubens-fuzz-", dir=memory if os.access(memory, os.W_OK) else None))


def main(count: str = "100000", seed: str = "") -> None:
    gc.disable()  # as in a run of its own
    number = int(seed) if seed else random.randrange(2**32)
    directory = scratch()
    print(f"{count} inputs of seed {number} in {directory}", flush=True)
    print(fuzz(int(count), number, directory), "different texts came out, all of them as they were meant")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main(*sys.argv[1:])
