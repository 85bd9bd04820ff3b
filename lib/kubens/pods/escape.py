"""Escaping: the only way from a manifest's text into a unit, a unit's name or a command line.

Characters are checked here too, so that what is built by hand is held to the same rules as what is parsed.
"""

from __future__ import annotations

from kubens import syntax
from kubens.pods.errors import PodError

UNIT_NAME_MAX = 255
"""Longest unit name, systemd.unit(5)."""

LINE_MAX = 1024 * 1024 - 1
"""Longest line of a unit file in bytes; systemd refuses the whole file otherwise."""

_AC_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
_PLAIN_IN_UNIT_NAME = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_.")
_PLAIN_ARGUMENT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/:_.-+,@=")
_EXEC_PREFIXES = "@-:+!|"
# By code points, for str.translate().
_QUOTED = {
    0x07: "\\a",
    0x08: "\\b",
    0x09: "\\t",
    0x0A: "\\n",
    0x0B: "\\v",
    0x0C: "\\f",
    0x0D: "\\r",
    0x22: '\\"',
    0x25: "%%",
    0x27: "\\'",
    0x5C: "\\\\",
}


def is_ac_name(name: str) -> bool:
    """Whether name is an appc ACName: lower-case letters, digits and inner dashes (`a--b` is one)."""
    return bool(name) and _AC_NAME.issuperset(name) and name[0] != "-" and name[-1] != "-"


def has_control(text: str) -> bool:
    """Whether text has a C0 control character or DEL."""
    return not text.isprintable() and any(char < " " or char == "\x7f" for char in text)


def is_utf8(text: str) -> bool:
    """Whether text can be written at all: JSON's escapes can spell lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_noncharacter(char: str) -> bool:
    """Whether Unicode has set it apart as no character at all; systemd takes such for no Unicode."""
    return ord(char) & 0xFFFE == 0xFFFE or "\ufdd0" <= char <= "\ufdef"


def join(*parts: str) -> str:
    """Join as Go's filepath.Join does: purely lexical, cleaned, and no part resets the ones before it."""
    text = "/".join(part for part in parts if part)
    kept: list[str] = []
    for part in text.split("/"):
        if part == "..":
            if kept and kept[-1] != "..":
                kept.pop()
            elif not text.startswith("/"):
                kept.append(part)
        elif part not in ("", "."):
            kept.append(part)
    return ("/" if text.startswith("/") else "") + "/".join(kept) or "."


def base(path: str) -> str:
    """The last component as Go's filepath.Base gives it: `b` for `/a/b/`, `/` for `/`."""
    return path.rstrip("/").rpartition("/")[2] or path[:1]


def target(path: str) -> str:
    """A mount path as it is seen from the app's root: absolute and cleaned.

    PodError for a path that would leave the root or that a unit file cannot hold.
    """
    if not path:
        raise PodError("the path is empty")
    if ".." in path.split("/"):
        raise PodError(f"{path!r} has a component `..`; write the path without it")
    if has_control(path) or not is_utf8(path) or any(map(is_noncharacter, path)):
        raise PodError(f"{path!r} has a control character or is no text for systemd; rename the file")
    if syntax.is_too_long(path):
        raise PodError(f"{path[:40]!r}… is longer than a path can be")
    if path.endswith(("\\", " ")):
        raise PodError(f"{path!r} ends with a backslash or a blank, which no unit can hold; rename the file")
    return join("/", path)


def specifiers(text: str) -> str:
    """Make systemd read every % as itself, systemd.unit(5), SPECIFIERS."""
    return text.replace("%", "%%")


def path_escape(path: str) -> str:
    """What `systemd-escape --path` makes of path, systemd.unit(5), STRING ESCAPING."""
    if ".." in path.split("/"):
        raise PodError(f"{path!r} has a component `..` and cannot name a unit")
    plain = join("/", path)[1:]
    if not plain:
        return "-"
    if _PLAIN_IN_UNIT_NAME.issuperset(plain.replace("/", "").encode()) and plain[0] != ".":
        return plain.replace("/", "-")
    escaped = "".join(
        "-" if byte == 0x2F else chr(byte) if byte in _PLAIN_IN_UNIT_NAME else f"\\x{byte:02x}"
        for byte in plain.encode()
    )
    return "\\x2e" + escaped[1:] if escaped[0] == "." else escaped


def bind_field(path: str) -> str:
    """One of the fields of systemd-nspawn's --bind=, which are separated by colons, systemd-nspawn(1)."""
    return path.replace("\\", "\\\\").replace(":", "\\:")


def quote_exec(arguments: list[str]) -> str:
    """A command as the value of ExecStart= and its like, systemd.service(5).

    Every argument is quoted. `$` is doubled in all but the first, where systemd expands no variables. Bytes
    that are not UTF-8 are to be there as os.fsdecode gives them. PodError for what a command line cannot say:
    NUL, and a program that is empty or begins with one of systemd's prefixes.
    """
    if not arguments:
        raise PodError("the command is empty")
    if not arguments[0] or arguments[0][0] in _EXEC_PREFIXES:
        raise PodError(f"{arguments[0]!r} is no program: systemd would read its first character as a prefix")
    return " ".join(_quote(argument, expanded=index > 0) for index, argument in enumerate(arguments))


def word(argument: str) -> str:
    """An argument after the first, quoted only where systemd would not read it as itself."""
    return argument if _PLAIN_ARGUMENT.issuperset(argument) else _quote(argument, expanded=True)


def environment(name: str, value: str) -> str:
    """A variable as the value of Environment=, systemd.exec(5); what is_noncharacter() systemd drops."""
    return _quote(f"{name}={value}", expanded=False)


def setting_word(text: str) -> str:
    """A word in a list of paths, such as ReadWritePaths=: quoted where it must be, % doubled."""
    text = specifiers(text)
    if _PLAIN_ARGUMENT.issuperset(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quote(argument: str, expanded: bool) -> str:
    if "\0" in argument:
        raise PodError(f"{argument!r} has a NUL, which no command line can hold")
    if expanded:
        argument = argument.replace("$", "$$")
    if argument.isprintable():
        return '"' + argument.translate(_QUOTED) + '"'
    return '"' + "".join(_QUOTED.get(ord(char)) or _spell(char) for char in argument) + '"'


def _spell(char: str) -> str:
    if char.isprintable():
        return char
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) & 0xFF:02x}"
    if not is_utf8(char):
        raise PodError(f"{char!r} is half of a surrogate pair, which is no character")
    if is_noncharacter(char):
        # Neither written out nor as \u; as bytes they pass (247 to 262).
        return "".join(f"\\x{byte:02x}" for byte in char.encode())
    if char < " " or char == "\x7f":
        return f"\\x{ord(char):02x}"
    return f"\\u{ord(char):04x}" if char <= "\uffff" else f"\\U{ord(char):08x}"
