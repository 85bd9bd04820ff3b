"""kubensctl(1): the command line."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys

import kubens
from kubensctl import terminal
from kubensctl.failure import Failure

DESCRIPTION = "See, check and change which services run in the shared namespaces of kubens."

EXAMPLES = """\
Is it working?
  kubensctl status

What would the next reload do, and is anything wrong with it?
  kubensctl check
  kubensctl plan --diff

Why is the kubelet started like this, or not like this?
  kubensctl explain kubelet

Have containerd and the kubelet run in the namespace, at once:
  kubensctl wrap --now containerd kubelet

CRI-O enters by itself when it is told of the namespace:
  kubensctl env --now crio

What would that do?
  kubensctl wrap --now --dry-run docker

Back to how it was:
  kubensctl release --now containerd kubelet

Options of a verb: kubensctl VERB --help. All of it: man kubensctl."""

VERB_EXAMPLES = {
    "status": """\
  kubensctl status                      all namespaces
  kubensctl status kubens --json        one of them, for a program

Exit status: 0 all is as configured, 3 something is not, 1 systemd could not be asked.""",
    "check": """\
  kubensctl check                       this machine
  kubensctl check --root /mnt           the system that is mounted there
  kubensctl check ./new.conf            a file before it is put into /etc/kubens

Exit status: 0 no errors, 1 errors.""",
    "plan": """\
  kubensctl plan --diff                 what would the next reload change?
  kubensctl plan --output /tmp/units    as files, to look at""",
    "explain": """\
  kubensctl explain kubelet""",
    "wrap": """\
  kubensctl wrap --now k3s
  kubensctl wrap --namespace blue buildkit""",
    "env": """\
  kubensctl env --now crio""",
    "release": """\
  kubensctl release --now k3s""",
}


def main() -> int:
    """Run as the command line says; the exit status."""
    # Unit files are bytes; what is in them comes out as it went in.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    arguments = parser().parse_args()
    try:
        status: int = importlib.import_module(f"kubensctl.{arguments.module}").run(arguments)
        sys.stdout.flush()
    except (Failure, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # Whoever read has seen enough. Python would write once more while it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + signal.SIGPIPE
        return fail(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return status


def fail(reason: object) -> int:
    if isinstance(reason, OSError) and reason.filename and reason.strerror:
        reason = f"{reason.filename}: {reason.strerror}"
    terminal.standard_error().line(f"kubensctl: {terminal.printable(str(reason))}")
    return 1


def parser() -> argparse.ArgumentParser:
    made = _Parser(
        prog="kubensctl",
        description=DESCRIPTION,
        epilog=EXAMPLES,
    )
    made.add_argument("--version", action="version", version=f"kubensctl {kubens.__version__}")
    verbs = made.add_subparsers(title="verbs", metavar="VERB", required=True)

    verb = _verb(verbs, "status", "show each namespace, and whether its services really run in it")
    verb.add_argument("name", metavar="NAME", nargs="?", help="this namespace only")
    _json(verb)

    verb = _verb(verbs, "check", "say what is wrong with the configuration and the units it names")
    verb.add_argument("files", metavar="FILE", nargs="*", help="read these instead of what is configured")
    _root(verb)
    _json(verb)

    verb = _verb(verbs, "plan", "show what the generator writes")
    _root(verb)
    how = verb.add_mutually_exclusive_group()
    how.add_argument("--diff", action="store_true", help="show how it differs from what is live")
    how.add_argument("--output", metavar="DIR", help="write it below DIR")

    verb = _verb(verbs, "explain", "say where each part of a unit's commands comes from, and what is put in front")
    verb.add_argument("unit", metavar="UNIT", help="the unit; .service is understood")
    _root(verb)

    for name, summary in EDITS.items():
        verb = _verb(verbs, name, summary, module="edit")
        verb.add_argument("units", metavar="UNIT", nargs="+", help="a service; .service is understood")
        verb.add_argument("--namespace", metavar="NAME", help=NAMESPACE_HELP[name])
        verb.add_argument("--now", action="store_true", help="restart what has to be restarted, in the right order")
        verb.add_argument("--dry-run", action="store_true", help="show what would be done, and do nothing")
        verb.add_argument("--root", metavar="DIR", default="", help="edit the machine below DIR, which does not run")
    return made


EDITS = {
    "wrap": "have services started in the namespace, by putting nsenter in front of their commands",
    "env": "have services told of the namespace by $KUBENSMNT, to enter it by themselves",
    "release": "take services out of their namespace",
}
NAMESPACE_HELP = {
    "wrap": "the namespace, kubens by default",
    "env": "the namespace, kubens by default",
    "release": "the namespace, the one that they are in by default",
}


class _Parser(argparse.ArgumentParser):
    """Keeps the line breaks of examples, and no abbreviations: scripts would come to depend on them."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)  # type: ignore[arg-type]


def _verb(verbs: argparse._SubParsersAction[_Parser], name: str, summary: str, module: str = "") -> _Parser:
    description = summary[0].upper() + summary[1:] + "."
    epilog = f"examples:\n{VERB_EXAMPLES[name]}"
    verb = verbs.add_parser(name, help=summary, description=description, epilog=epilog)
    verb.set_defaults(module=module or name, verb=name)
    return verb


def _root(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--root", metavar="DIR", default="", help="look at the machine below DIR")


def _json(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--json", action="store_true", help="write JSON, for programs")
