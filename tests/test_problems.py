"""What a node does, and says, when something configured cannot be had."""

from __future__ import annotations

import re
from collections.abc import Callable

from kubens_machine import configure, install, service, whereabouts
from machine import Machine

Maker = Callable[..., Machine]
WANTS = "/etc/systemd/system/multi-user.target.wants"


def _node(node: Machine, configuration: str, services: dict[str, str]) -> Machine:
    """kubens installed and configured, and services that the boot starts."""
    install(node)
    configure(node, configuration)
    for name, text in services.items():
        service(node, f"{name}.service", text)
        node.link(f"{WANTS}/{name}.service", f"../{name}.service")
    return node


SLEEP = "ExecStart=/bin/sleep 1000"
SANDBOXES = [
    "CapabilityBoundingSet=~CAP_SYS_ADMIN",
    "LogNamespace=x",
    "MountFlags=private",
    "PrivateDevices=yes",
    "PrivateTmp=yes",
    "PrivateUsers=yes",
    "ProtectHome=yes",
    "ProtectKernelLogs=yes",
    "ProtectSystem=full",
    "RestrictNamespaces=yes",
    "RootDirectory=/srv",
    "SystemCallFilter=~setns",
    "User=daemon",
]


def test_one_refusal_keeps_all_outside_and_is_to_be_seen(machine: Maker, lower: str) -> None:
    refused = {f"refused{number}": f"{SLEEP}\n{sandbox}" for number, sandbox in enumerate(SANDBOXES)}
    members = {"a": SLEEP, "b": SLEEP, **refused}
    node = _node(machine(lower, kmsg=True), f"[MountNamespace]\nWrap={' '.join(members)}\n", members)
    node.boot()
    assert whereabouts(node, "a", "b") == ["host", "host"]
    findings = [
        f"/etc/systemd/system/refused{number}.service:3: refused{number}.service: {sandbox} "
        for number, sandbox in enumerate(SANDBOXES)
    ]
    findings.append("/etc/kubens/services.conf:1: namespace kubens: none of its services is wrapped")
    assert node.systemctl("is-system-running", check=False).stdout == "degraded\n"
    assert "kubens-problems.service" in node.systemctl("--failed").stdout
    status = node.systemctl("status", "kubens-problems", check=False).stdout
    assert [finding for finding in findings if finding not in status] == []
    errors = [line for line in node.kmsg().splitlines() if re.match(r"<3>kubens-generator\[\d+\]: /", line)]
    assert [finding for finding in findings if not any(finding in line for line in errors)] == []
    journal = node.journal("kubens-problems", "--priority=err")
    assert [finding for finding in findings if finding not in journal] == []

    node.run("sh", "-c", "sed -i 3d /etc/systemd/system/refused*.service")
    node.daemon_reload()
    node.systemctl("reset-failed")
    node.systemctl("restart", *members)
    assert whereabouts(node, *members) == ["inside"] * len(members)
    assert node.systemctl("is-system-running").stdout == "running\n"
    assert node.show("kubens-problems", "ActiveState") == {"ActiveState": "inactive"}


def test_what_is_not_there_is_no_problem(machine: Maker) -> None:
    node = machine(kmsg=True)
    _node(node, "[MountNamespace]\nWrap=a missing masked other@\nEnv=gone\n", {"a": SLEEP})
    node.link("/etc/systemd/system/masked.service", "/dev/null")
    node.boot()
    assert whereabouts(node, "a") == ["inside"]
    assert node.systemctl("is-system-running").stdout == "running\n"
    assert "kubens-generator" not in node.kmsg()


def test_a_bad_file_costs_itself_only(machine: Maker) -> None:
    node = _node(machine(kmsg=True), "[MountNamespace]\nWrap=a\nColour=blue\n", {"a": SLEEP, "b": SLEEP})
    configure(node, "\0\1\2", "binary.conf")
    configure(node, "[MountNamespace]\nName=blue\nWrap=b\n", "blue.conf")
    node.link("/etc/kubens/dangling.conf", "nowhere")
    node.boot()
    assert whereabouts(node, "a") == ["inside"]
    assert whereabouts(node, "b", name="blue") == ["inside"]
    status = node.systemctl("status", "kubens-problems", check=False).stdout
    for name in ("binary.conf", "dangling.conf"):
        assert f"/etc/kubens/{name}: " in status
    assert re.search(r"<4>kubens-generator\[\d+\]: /etc/kubens/services.conf:3: unknown setting Colour=", node.kmsg())


def test_a_command_that_enters_by_itself_is_not_wrapped_twice(machine: Maker) -> None:
    entering = "ExecStart=nsenter --mount=/run/kubens/mnt /bin/sleep 1000\nRestart=always"
    helped = "ExecStart=kubensenter /bin/sleep 1000"
    services = {"a": SLEEP, "b": entering, "c": helped}
    node = _node(machine(kmsg=True), "[MountNamespace]\nWrap=a c\nEnv=b\n", services)
    node.boot()
    assert whereabouts(node, "a", "b", "c") == ["inside"] * 3
    node.systemctl("stop", "kubens")
    configure(node, "[MountNamespace]\nWrap=a b c\n")
    node.daemon_reload()
    assert re.search(r"<3>kubens-generator\[\d+\]: /etc/systemd/system/b.service:2: b.service: ", node.kmsg())
    assert node.show("b", "DropInPaths") == {"DropInPaths": ""}


# When there is no namespace

OUTSIDE = "ExecStart=/bin/sleep 1000\nWorkingDirectory=/var/tmp"
ENV = "ExecStart=/bin/sh -c 'exec ${KUBENSMNT:+nsenter --mount=$KUBENSMNT} sleep 1000'"


FAILS = "ExecStartPre=/bin/sh -c 'if test -e /etc/fail; then echo no memory; exit 1; fi'"


def _fail(node: Machine) -> None:
    """From now on kubens.service fails, until `_mend()`."""
    service(node, "kubens.service.d/fail.conf", FAILS)
    node.write("/etc/fail", "")


def _mend(node: Machine) -> None:
    node.run("rm", "/etc/fail")


def test_without_a_namespace_there_is_no_service(machine: Maker, lower: str) -> None:
    node = machine(lower)
    _node(node, "[MountNamespace]\nWrap=a b\nEnv=c\n", {"a": OUTSIDE, "b": OUTSIDE, "c": ENV})
    _fail(node)
    node.boot()
    assert whereabouts(node, "kubens", "a", "b", "c") == ["failed", "inactive", "inactive", "inactive"]
    assert "no memory" in node.systemctl("status", "kubens", check=False).stdout
    assert node.systemctl("start", "b", check=False).returncode
    assert whereabouts(node, "a", "b", "c") == ["inactive"] * 3
    _mend(node)
    node.systemctl("start", "kubens", "a", "b", "c")
    assert whereabouts(node, "a", "b", "c") == ["inside"] * 3


def _hosted(node: Machine) -> Machine:
    """Booted without a namespace, which WhenMissing=host accepts."""
    members = {"a": OUTSIDE, "b": f"{OUTSIDE}\nRestart=always\nRestartSec=0", "c": ENV}
    _node(node, "[MountNamespace]\nWrap=a b\nEnv=c\nWhenMissing=host\n", members)
    _fail(node)
    node.boot()
    assert whereabouts(node, "kubens", "a", "b", "c") == ["failed", "host", "host", "host"]
    return node


def test_without_a_namespace_services_run_on_the_host(machine: Maker, lower: str) -> None:
    node = _hosted(machine(lower))
    assert "kubens.service" in node.systemctl("--failed").stdout
    pid = node.main_pid("a")
    assert node.read(f"/proc/{pid}/cmdline") == "/bin/sleep\0001000\0"
    assert node.run("readlink", f"/proc/{pid}/cwd").stdout == "/var/tmp\n"
    assert "KUBENSMNT" not in node.read(f"/proc/{node.main_pid('c')}/environ")
    _mend(node)
    node.systemctl("restart", "kubens")
    assert whereabouts(node, "a", "b", "c") == ["inside"] * 3
    node.systemctl("stop", "kubens")
    assert whereabouts(node, "a", "b", "c") == ["inactive"] * 3


def test_services_on_the_host_stay_together(machine: Maker) -> None:
    """What kept the namespace from being made was gone a moment later, as with a lack of memory."""
    node = _hosted(machine())
    _mend(node)
    pid = node.main_pid("b")
    node.run("kill", "-KILL", str(pid))
    node.wait_until(lambda: node.main_pid("b") not in (0, pid))
    assert whereabouts(node, "a", "b", "c") == ["inside"] * 3


def test_a_failed_restart_takes_all_members_down_and_names_the_way_back(machine: Maker, lower: str) -> None:
    node = _node(machine(lower), "[MountNamespace]\nWrap=a b\n", {"a": SLEEP, "b": SLEEP})
    node.boot()
    _fail(node)
    node.daemon_reload()
    assert node.systemctl("restart", "kubens", check=False).returncode
    assert whereabouts(node, "kubens", "a", "b") == ["failed", "inactive", "inactive"]
    command = "systemctl start kubens.service a.service b.service"
    assert command in node.systemctl("status", "kubens", check=False).stdout
    _mend(node)
    node.run(*command.split())
    assert whereabouts(node, "a", "b") == ["inside", "inside"]


INSTANCES = {"a": SLEEP, "t@": "ExecStart=/bin/sleep 1000%i"}


def test_a_failed_restart_with_instances(machine: Maker) -> None:
    node = _node(machine(), "[MountNamespace]\nWrap=a t@\n", INSTANCES)
    node.boot()
    node.systemctl("start", "t@1")
    _fail(node)
    node.daemon_reload()
    node.systemctl("restart", "kubens", check=False)
    assert whereabouts(node, "kubens", "a", "t@1") == ["failed", "inactive", "inactive"]
    _mend(node)
    status = node.systemctl("status", "kubens", check=False).stdout
    command = re.findall(r": (systemctl start kubens[^,\n]*)", status)[-1]
    node.run("sh", "-c", command)
    assert whereabouts(node, "a") == ["inside"]


def test_instances_on_the_host_come_in_with_the_others(machine: Maker) -> None:
    node = _node(machine(), "[MountNamespace]\nWrap=a t@\nWhenMissing=host\n", INSTANCES)
    _fail(node)
    node.boot()
    node.systemctl("start", "t@1")
    assert whereabouts(node, "a", "t@1") == ["host", "host"]
    _mend(node)
    node.systemctl("start", "kubens")
    assert whereabouts(node, "a", "t@1") == ["inside", "inside"]


# AllowSandboxLoss=


def test_a_sandbox_is_lost_where_that_is_allowed(machine: Maker, lower: str) -> None:
    lost = [sandbox for sandbox in SANDBOXES if not sandbox.startswith(("User", "Root"))]
    members = {f"lost{number}": f"{SLEEP}\n{sandbox}" for number, sandbox in enumerate(lost)}
    settings = f"[MountNamespace]\nWrap={' '.join(members)}\nAllowSandboxLoss=yes\n"
    node = _node(machine(lower, kmsg=True), settings, members)
    node.boot()
    assert whereabouts(node, *members) == ["inside"] * len(members)
    for number, sandbox in enumerate(lost):
        assert f"lost{number}.service:3: lost{number}.service: {sandbox} is lost to AllowSandboxLoss=yes" in node.kmsg()
    assert node.kmsg().count("<4>kubens-generator") == len(lost)
    assert node.systemctl("is-system-running").stdout == "running\n"

    service(node, "lost0.service", f"{SLEEP}\nUser=daemon")
    node.systemctl("stop", "kubens")
    node.daemon_reload()
    node.systemctl("start", *members, check=False)
    assert "inside" not in whereabouts(node, *members)
    assert "lost0.service: User=daemon" in node.kmsg()


# The two differences


def test_the_two_differences(machine: Maker) -> None:
    logs = "ExecStart=/bin/sh -c 'echo started; exec sleep 1000'\nExecStartPost=/bin/echo posted"
    missing = "Type=exec\nExecStart=/usr/bin/nothing-of-this-name"
    services = {"a": logs, "b": missing, "c": f"{logs}\nSyslogIdentifier=own"}
    node = _node(machine(), "[MountNamespace]\nWrap=a b c\n", services)
    node.boot()
    names = node.journal("a", "--output=json-pretty", "--output-fields=SYSLOG_IDENTIFIER,MESSAGE")
    assert re.findall(r'"SYSLOG_IDENTIFIER" : "(.*)"', names).count("sh") == 2
    names = node.journal("c", "--output=json-pretty", "--output-fields=SYSLOG_IDENTIFIER")
    assert re.findall(r'"SYSLOG_IDENTIFIER" : "(.*)"', names).count("own") == 2
    assert node.show("b", "ActiveState", "ExecMainStatus") == {"ActiveState": "failed", "ExecMainStatus": "127"}


def test_without_its_tools_nothing_is_wrapped(machine: Maker) -> None:
    node = _node(machine(kmsg=True), "[MountNamespace]\nWrap=a b\nEnv=c\n", {"a": SLEEP, "b": SLEEP, "c": SLEEP})
    node.boot()
    for tool in ("nsenter", "unshare", "mount"):
        node.systemctl("stop", "kubens")
        node.run("mv", f"/usr/bin/{tool}", "/usr/bin/away")
        node.daemon_reload()
        node.systemctl("restart", "a", "b", "c")
        places = [node.mount_namespace(node.main_pid(unit)) for unit in "abc"]
        assert places == [node.mount_namespace()] * 3
        assert f"]: {tool} missing, nothing is generated" in node.kmsg()
        node.run("mv", "/usr/bin/away", f"/usr/bin/{tool}")
        node.daemon_reload()
        node.systemctl("restart", "a", "b", "c")
        assert whereabouts(node, "a", "b", "c") == ["inside", "inside", "host"]
