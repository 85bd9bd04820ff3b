"""Installs kubens on the node whose root is at /host, keeps it there, and removes it when the DaemonSet is deleted.

What the image has in /payload goes to the same paths there, the ConfigMap's services.conf beside what the node has
of its own. No service is ever restarted: what is declared takes effect when it starts next.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

HOST, PAYLOAD = "/host", "/payload"
CONFIGURATION = "/config/services.conf"
# Beside what the node's administrator has, which stays.
TARGET = "/etc/kubens/60-daemonset.conf"
GENERATOR = "/usr/local/lib/systemd/system-generators/kubens-generator"
PACKAGED = "/usr/lib/systemd/system-generators/kubens-generator"
# What was installed, so that it can be removed, by a later version as well.
LIST = "/var/lib/kubens/daemonset"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
READY = "/tmp/ready"
# Within the pod's grace period.
ATTEMPTS, PAUSE = 5, 2


def main() -> None:
    # Before anything else: a signal that comes early waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    if os.path.exists(HOST + PACKAGED):
        sys.exit(f"kubens: {PACKAGED} is there: the node has a package of kubens, which does all of this")
    if not os.path.exists(HOST + "/usr/bin/python3"):
        sys.exit("kubens: the node has no /usr/bin/python3: use kubensctl compile")
    install()
    with open(READY, "w", encoding="ascii"):
        pass
    say("installed; a service is inside as soon as it starts next")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    if is_deleted():
        remove()
        say("removed; what lives stays as it is until the next boot")


def say(text: str) -> None:
    print(f"kubens: {text}", flush=True)


def install() -> None:
    files = {}
    for directory, _, names in os.walk(PAYLOAD):
        for name in names:
            path = os.path.join(directory, name)
            files[path.removeprefix(PAYLOAD)] = path
    files[TARGET] = CONFIGURATION
    before = listed()
    write_list({*before, *files})
    # The generator comes last: a reload that found half of the rest would run it.
    for path, source in sorted(files.items(), key=lambda item: item[0] == GENERATOR):
        put(source, path)
    for path in before - set(files):
        delete(path)
    write_list(set(files))
    on_host("/usr/local/lib/kubens/compile-start")
    on_host("/usr/local/lib/kubens/live", "release")
    on_host("systemctl", "daemon-reload")


def remove() -> None:
    on_host("/usr/local/lib/kubens/live", "keep")
    # The generator goes first, for the same reason.
    for path in sorted(listed(), key=lambda path: path != GENERATOR):
        delete(path)
    shutil.rmtree(HOST + "/usr/local/lib/kubens", ignore_errors=True)
    delete(LIST)
    on_host("systemctl", "daemon-reload")


def listed() -> set[str]:
    try:
        with open(HOST + LIST, encoding="utf-8") as file:
            return set(file.read().splitlines())
    except FileNotFoundError:
        return set()


def write_list(paths: set[str]) -> None:
    os.makedirs(os.path.dirname(HOST + LIST), exist_ok=True)
    with open(HOST + LIST + ".new", "w", encoding="utf-8") as file:
        file.writelines(f"{path}\n" for path in sorted(paths))
    os.replace(HOST + LIST + ".new", HOST + LIST)


def put(source: str, path: str) -> None:
    os.makedirs(os.path.dirname(HOST + path), exist_ok=True)
    # A ConfigMap's files are links.
    shutil.copy(source, f"{HOST}{path}.new")
    os.replace(f"{HOST}{path}.new", HOST + path)


def delete(path: str) -> None:
    if os.path.lexists(HOST + path):
        os.unlink(HOST + path)


def on_host(*command: str) -> None:
    done = subprocess.run(["nsenter", "--target=1", "--mount", "--", *command])
    if done.returncode:
        say(f"{' '.join(command)} failed with status {done.returncode}")


def is_deleted() -> bool:
    """Whether it is for good, and not for an update, a drain or the node's own end: the API server knows.

    `kubectl delete -k` takes the right to ask away before the DaemonSet. Who cannot be reached says nothing.
    """
    namespace, name = os.environ["POD_NAMESPACE"], os.environ["DAEMONSET"]
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}"
    for _ in range(ATTEMPTS):
        try:
            with open(f"{ACCOUNT}/token", encoding="ascii") as token:
                headers = {"Authorization": f"Bearer {token.read().strip()}"}
            context = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
            request = urllib.request.Request(url, headers=headers)
            with urllib.request.urlopen(request, timeout=PAUSE, context=context) as answer:
                return "deletionTimestamp" in json.load(answer)["metadata"]
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):
                return True
        except (OSError, ValueError):
            pass
        time.sleep(PAUSE)
    say("the API server does not answer, so everything stays")
    return False


if __name__ == "__main__":
    main()
