"""Units that fail on purpose, and say why: loaded when there is something to say."""

from __future__ import annotations

from kubens import escape
from kubens.log import LINES_MAX
from kubens.render import DOCUMENTATION, TOOLS, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


# A command cannot have arguments of any length, nor a unit lines.
_LINE_MAX = 1000


def blocked(reason: str, tools: Mapping[str, str]) -> list[tuple[str, str]]:
    """[Service] settings with which a unit fails at its start, saying why, before it runs anything of its own."""
    return [
        ("ExecCondition", ""),
        ("ExecStartPre", ""),
        ("ExecStartPre", f"+{tools['printf']} {_line(reason)}"),
        ("ExecStartPre", f"+{tools['false']}"),
        ("SuccessExitStatus", ""),
    ]


def problems_service(findings: Iterable[str], tools: Mapping[str, str] | None = None) -> str:
    """kubens-problems.service: fails at boot, with one line for each finding."""
    tool = tools or TOOLS
    lines = list(findings)
    count = f"{len(lines)} problems" if len(lines) != 1 else "1 problem"
    unit = [
        ("Description", f"kubens found {count} in its configuration"),
        ("Documentation", DOCUMENTATION),
    ]
    service = [("Type", "oneshot"), ("SyslogIdentifier", "kubens-generator"), ("SyslogLevel", "err")]
    # Each is a process at boot.
    shown = lines[:LINES_MAX]
    if len(lines) > LINES_MAX:
        shown.append(f"and {len(lines) - LINES_MAX} more: kubensctl check shows all")
    shown.append("Mend it, then: kubensctl check; systemctl daemon-reload")
    service += [("ExecStart", f"{tool['printf']} {_line(line)}") for line in shown]
    service.append(("ExecStart", tool["false"]))
    return text("", (("Unit", unit), ("Service", service)))


def _line(message: str) -> str:
    """printf(1)'s arguments for one line, which is cut where it is too long."""
    if len(message) > _LINE_MAX:
        message = f"{message[:_LINE_MAX]}..."
    return f'"%%s\\\\n" {escape.word(message)}'
