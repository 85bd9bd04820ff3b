"""Random texts of unit files and drop-ins: mostly what people write, with everything that systemd reads otherwise.

Bytes, not text, since unit files need not be valid UTF-8.
"""

from __future__ import annotations

from random import Random

EXEC_KEYS = (
    "ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost",
    "ExecReloadPost",
)  # fmt: skip

# What stands in front of a program; "|" is one since 258 and refused before.
_MARKS = ("-", "@", ":", "+", "!", "!!")

_PROGRAMS = (
    "/bin/echo", "/bin/echo", "/usr/bin/env", "/bin/true", "/opt/kubens/record", "echo", "true", "record",
    "/opt/kubens/a\\x20b", '"/opt/kubens/a b"', "/opt/'kubens/a b'", "/bin/%%cho", "/opt/%p", "/opt/${FOO}/x",
    "/opt//kubens/./record", "/opt/kubens/../kubens/record", "/opt/gr\u00fc\u00df", "/opt/;", "/opt/a;b", "/opt/a=b",
    "/opt/a#b", "/opt/$x", "/opt/$$x", "/opt/%n", "/opt/%%", "/opt/a\\;b",
)  # fmt: skip
_BAD_PROGRAMS = (
    "bin/echo", "./echo", ".", "..", "/", "/bin/", '""', "''", "%", "/opt/%", "/opt/%Q", "/opt/a\\tb", '"/opt', "$FOO",
    "\\", "/opt/\\q", "/opt/\\x2", "-", "no such", "|/bin/echo", "/bin/echo|", "\\;", ";", "%p", "~/x", "/opt/a\u0085b",
    "/opt/../bin/echo", "/opt/..", "/opt/\\'x", "/opt/a\\\\b", "/opt/\\x22", "*/bin/echo", "#/bin/echo",
    "-?/bin/echo", "@^/bin/echo", "~bin/echo", "=echo", "/opt/" + "x" * 255, "/opt/" + "x" * 256,
    "/opt/" + "\u00e9" * 128, "/opt" + "/deep" * 818 + "/x",
)  # fmt: skip

# Without "%J", which kills the PID 1 of 252 where a prefix ends in a dash.
_WORDS = (
    "a", "b c", "--long=option", "-x", "'single quoted'", '"double quoted"', "''", '""', "mid\"dle 'q\"uoted", "\\x41",
    "\\n", "\\t", "\\s", "\\\\", "\\101", "\\u00e9", "\\U0001F600", "\\'", '\\"', "'it'\\''s'", '"a \\" b"', "'\\x27'",
    "$FOO", "${FOO}", "$$", "$$FOO", "x$FOO", "${FOO}x", '"$FOO"', "'${FOO}'", "$", "${", "${}", "$FOO$BAR", "$1",
    "%n", "%i", "%p", "%I", "%N", "%j", "%%", "%%n", "100%%", "\\;", ";x", "x;", "';'", '";"', "\\\\;", "\\;;",
    "#x", "x#y", "=", "a=b", "gr\u00fc\u00df", "\u20ac\u00a0x", "\u2028", "a\\ b", "*", "?", "[a]", "~", "&&", "|",
    ">f", "(", "\\$FOO", "`x`", "!", "@", ":", "+", "-", "/", "exit=3", "%h", "%t", "%S", "\\a\\b\\f\\v\\r", "\\x7f",
    "\\177",
)  # fmt: skip
_BAD_WORDS = (
    "%", "%Q", "'open", '"open', "\\", "\\q", "\\x", "\\x4", "\\400", "\\u12", "\\x00", "\\000", "\\U00110000", "\\8",
    "'\\q'", "\\ud800", "%i%", "a\\", "\\;;;", "\\ ", "\ufdd0",
)  # fmt: skip

_HARMLESS = (
    "Description=x", "Environment=FOO=1", "Environment=\"FOO=a b\" BAR='c'", "Nice=5", "NoSuchKey=x", "# ExecStart=/x",
    "; ExecStart=/x", "", "   ", "\t", "Environment=BAR=%n", "LimitNOFILE=1000", "TimeoutStartSec=5",
    "SyslogIdentifier=me", "SyslogIdentifier=", "WorkingDirectory=/tmp", "WorkingDirectory=-/no/such",
    "WorkingDirectory=", "WorkingDirectory=/", "WorkingDirectory=/opt/a b", "WorkingDirectory=/opt/%n",
    "WorkingDirectory=/opt/a$b%%", "WorkingDirectory=/opt//a b/./", "WorkingDirectory=-tmp",
    "StandardOutput=null", "KillMode=process", "Restart=no", "RemainAfterExit=yes", "PrivateTmp=no", "User=root",
    "ExecSearchPath=/opt/kubens:/usr/bin", "ExecSearchPath=/opt", "ExecSearchPath=",
    "ExecSearchPath=/opt//x/.:/bin/:/a b",
    "User=", "ProtectSystem=off", "execstart=/x", "ExecStart", "Exec Start=/x", "=x", "ExecStartEx=/x",
)  # fmt: skip
_FATAL = (
    'WorkingDirectory="/tmp"', "WorkingDirectory=tmp", "WorkingDirectory=/tmp/../opt", "User=a b",
    "ExecStop=/opt/%p/%i", "WorkingDirectory=/opt/" + "x" * 256,
)  # fmt: skip
_SEARCH_PATHS = (
    "ExecSearchPath=/a:opt:/bin", "ExecSearchPath=::/usr/bin", "ExecSearchPath=/opt/%n", "ExecSearchPath=/a/../bin",
    'ExecSearchPath="/usr/bin"', "ExecSearchPath=/usr/bin:%Q:/bin", "ExecSearchPath=/usr/\\x62in", "ExecSearchPath=/%%",
)  # fmt: skip
_STRAY_BYTES = (b"\xff", b"\xc3", b"\0", b"\x1b", b"\xed\xa0\x80", b"\\", b"\xef\xbb\xbf", b"\x0b", b"\x0c")
_STRAY = ("stray", "[Unit]", "[Install]", "[X-Mine]", "[Service]", "Wants=nothing.service", "\u20ac", "=")
_BROKEN = ("[Service", '[Ser"vice]', "[]", "[Service] x", "[ Service ]", "[service]", "[Service ]")  # codespell:ignore


def fragment(random: Random, wildness: float) -> bytes:
    """A unit file of a service, with a probability of `wildness` one that systemd may well refuse."""
    wild = random.random() < wildness
    lines = []
    if random.random() < 0.5:
        lines += ["[Unit]", "Description=%n"]
    if wild and random.random() < 0.2:
        lines.insert(0, random.choice(("ExecStart=/outside", "junk", "# comment", "\ufeff")))
    lines.append("[Service]")
    lines.append("Type=" + random.choice(("oneshot",) * 9 + (("simple", "exec", "no") if wild else ())))
    lines += _settings(random, random.randint(1, 6), wild)
    if random.random() < 0.85 or not wild:
        lines += _assignment(random, "ExecStart", wild)
    if random.random() < 0.3:
        lines += ["[Install]", "WantedBy=multi-user.target"]
    return _file(random, lines, wild)


def dropin(random: Random, wildness: float) -> bytes:
    """A drop-in for one."""
    wild = random.random() < wildness
    lines = ["[Service]"] if random.random() < 0.95 else []
    if random.random() < 0.5:
        lines.append(random.choice(EXEC_KEYS[1:4]) + "=")
    lines += _settings(random, random.randint(0, 3), wild)
    return _file(random, lines, wild)


def _settings(random: Random, count: int, wild: bool) -> list[str]:
    lines = []
    for _ in range(count):
        what = random.random()
        if what < 0.5:
            lines += _assignment(random, random.choice(EXEC_KEYS), wild)
        elif what < 0.9 or not wild:
            lines.append(random.choice(_HARMLESS))
        else:
            lines.append(random.choice(random.choice((_STRAY, _FATAL, _BROKEN, _SEARCH_PATHS))))
    return lines


def _assignment(random: Random, key: str, wild: bool) -> list[str]:
    """The physical lines of one Exec*= assignment."""
    if random.random() < (0.05 if wild else 0.02):
        return [random.choice((f"{key}=", f"{key} = ", f"{key}=\\", f"{key}=''", f"{key}=;"))]
    value = command_line(random, wild)
    equals = random.choice(("=", "=", "=", " = ", "=\t", " =", "\t=  "))
    indent = random.choice(("", "", "", "", "  ", "\t"))
    lines = _continued(random, f"{indent}{key}{equals}{value}")
    lines[-1] += random.choice(("", "", "", " ", "\t", "  \t"))
    return lines


def command_line(random: Random, wild: bool) -> str:
    """A value of Exec*=, of one command or several."""
    commands = [_command(random, wild) for _ in range(random.choice((1, 1, 1, 1, 2, 3)))]
    return random.choice((" ; ", " ; ", "  ;  ", "\t;\t", " ; ; ")).join(commands)


def _command(random: Random, wild: bool) -> str:
    marks = [mark for mark in _MARKS if random.random() < 0.12]
    random.shuffle(marks)
    if wild and random.random() < 0.2:
        marks.append(random.choice((*_MARKS, "|", "!!!", "*", "#")))
    bad = wild and random.random() < 0.2
    program = random.choice(_BAD_PROGRAMS if bad else _PROGRAMS)
    first = "".join(marks) + program
    if random.random() < 0.15 and '"' not in first:
        cut = random.randint(0, len(marks))
        first = f'{first[:cut]}"{first[cut:]}"'
    words = [first]
    for _ in range(random.choice((0, 1, 1, 2, 3, 5, 9)) + ("@" in marks)):
        words.append(random.choice(_BAD_WORDS if wild and random.random() < 0.06 else _WORDS))
    return random.choice((" ", " ", " ", "  ", "\t", " \t ")).join(words)


def _continued(random: Random, line: str) -> list[str]:
    """The line, sometimes cut in several with what may stand between them."""
    if random.random() < 0.8 or len(line) < 20:
        return [line]
    lines = []
    while len(line) > 12 and random.random() < 0.8:
        cut = random.randint(1, len(line) - 1)
        lines.append(line[:cut] + "\\")
        line = line[cut:]
        if random.random() < 0.4:
            lines.append(random.choice(("# comment", "; comment", "  # comment \\", "#", ";\\", "", "  ", "\t\\")))
    return [*lines, line]


def _file(random: Random, lines: list[str], wild: bool) -> bytes:
    newline = "\n"
    if random.random() < 0.1:
        newline = random.choice(("\r\n", "\r\n", "\n\r", "\r")) if wild else "\r\n"
    data = newline.join(lines).encode() + random.choice(("", newline, newline, newline, newline * 2)).encode()
    if wild and random.random() < 0.1:
        place = random.randint(0, len(data))
        data = data[:place] + random.choice(_STRAY_BYTES) + data[place:]
    return data
