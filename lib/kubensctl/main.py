"""kubensctl(1): the command line."""

from __future__ import annotations

import os
import signal
import sys

import kubens
from kubensctl import check, compile, edit, explain, migrate, netns, plan, pod, selinux, status, terminal
from kubensctl.failure import Failure
from kubensctl.verbs import Parser, Verbs

# In the order of --help. A module that has verbs declares them in `declare(verbs)`.
MODULES = (status, check, plan, explain, edit, netns, pod, selinux, compile, migrate)

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

Have a service run in a network namespace, and back on the host:
  kubensctl join --now blue transmission
  kubensctl leave --now blue transmission

Look around where a service is:
  kubensctl netns exec transmission.service

Check the manifest of a pod before it is put into /etc/kubens/pods:
  kubensctl pod check ./shop.json

Over from kubensmnt, OpenShift's additions or systemd-netns:
  kubensctl migrate --dry-run

Keep services in the domains that SELinux has for them:
  kubensctl selinux --output kubens.cil

For machines that cannot run the generator:
  kubensctl compile --root tree --format ignition

Options of a verb: kubensctl VERB --help. All of it: man kubensctl."""


def main() -> int:
    """Run as the command line says; the exit status."""
    # Unit files are bytes; what is in them comes out as it went in.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    arguments = parser().parse_args()
    try:
        status: int = arguments.run(arguments)
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


def parser() -> Parser:
    made = Parser(prog="kubensctl", description=DESCRIPTION, epilog=EXAMPLES)
    made.add_argument("--version", action="version", version=f"kubensctl {kubens.__version__}")
    verbs = Verbs(made)
    for module in MODULES:
        module.declare(verbs)
    return made
