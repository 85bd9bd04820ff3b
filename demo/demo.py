"""`make demo`: what kubens does, shown on this computer's own OS in a throw-away machine.

The same three services run twice: with nothing configured, then declared in services.conf. All that is shown was
read from the running machine. Exit status 1 if it does not show what kubens promises.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import kubens_machine
import nodes
from machine import CHECKOUT, Machine, MachineError
from screen import WIDTH, Screen, beside

MOUNTS = 200
CHANGES = 300
WRAPPED = ("containerd", "kubelet")
ENV = ("monitor",)
SERVICES = (*WRAPPED, *ENV)
STANDIN = f"[Service]\nEnvironment=STANDIN_MOUNTS={MOUNTS}\n"
MONITOR = """\
[Unit]
Description=A program that enters by itself
After=containerd.service

[Service]
Type=notify
ExecStart=/bin/sh -c 'exec $${KUBENSMNT:+nsenter --mount=$$KUBENSMNT} /usr/bin/monitor'

[Install]
WantedBy=multi-user.target
"""
SERVICES_CONF = f"""\
[MountNamespace]
Wrap={" ".join(f"{service}.service" for service in WRAPPED)}
Env={" ".join(f"{service}.service" for service in ENV)}
"""
CHURN = """
for change in $(seq "$1"); do
    mount -t tmpfs -o size=4k container /var/lib/containerd/changing
    umount /var/lib/containerd/changing
done
"""


class Picture:
    """What the machine looked like at one time.

    namespaces: of PID 1, of a shell and of each service, by name: (process id, mount namespace). sizes: the mounts in
    each namespace. units: PID 1's .mount units. cpu: PID 1's milliseconds for CHANGES.
    """

    def __init__(self, node: Machine) -> None:
        shell = node.run("sh", "-c", 'echo "$$ $(readlink /proc/$$/ns/mnt)"').stdout.split()
        self.namespaces = {"systemd": (1, node.mount_namespace(1)), "a shell": (int(shell[0]), shell[1])}
        for service in SERVICES:
            pid = node.main_pid(f"{service}.service")
            self.namespaces[service] = (pid, node.mount_namespace(pid))
        self.cpu = cost_of_changes(node, self.namespaces["containerd"][0])
        # The shell's process is gone; those who share a namespace see the same.
        self.sizes = {members[0][2]: len(node.mounts(members[0][0])) for members in self.groups()}
        listed = node.systemctl("list-units", "--type=mount", "--all", "--no-legend", "--plain")
        self.units = len(listed.stdout.splitlines())

    @property
    def host(self) -> str:
        """PID 1's mount namespace."""
        return self.namespaces["systemd"][1]

    def groups(self) -> list[list[tuple[int, str, str]]]:
        """(process id, name, mount namespace) of those who share one, PID 1's first."""
        found: dict[str, list[tuple[int, str, str]]] = {}
        for name, (pid, namespace) in self.namespaces.items():
            found.setdefault(namespace, []).append((pid, name, namespace))
        return list(found.values())


def main() -> int:
    if os.geteuid():
        print("The demonstration boots a machine, which takes root.", file=sys.stderr)
        return 1
    screen = Screen()
    screen.rule("kubens")
    screen.line("Services that mount a lot, in a mount namespace that PID 1 does not see.")
    about = f"containerd, kubelet and monitor are stand-ins; containerd's mounts {MOUNTS} tmpfs."
    screen.line(screen.style(about, "dim"))
    screen.line()
    try:
        with Machine() as node:
            prepare(node)
            status = show(screen, node)
    except KeyboardInterrupt:
        return 130
    except MachineError as error:
        print(f"\nNo machine can be booted on this computer:\n{error}", file=sys.stderr)
        return 1
    screen.line(screen.style("The machine is gone; but for `make setup`, nothing here was changed.", "dim"))
    return status


def prepare(node: Machine) -> None:
    kubens_machine.install(node)
    nodes.install(node, *WRAPPED)
    node.install(CHECKOUT / "tests/nodes/daemon", "/usr/bin/monitor")
    node.write("/etc/systemd/system/monitor.service", MONITOR)
    node.link("/etc/systemd/system/multi-user.target.wants/monitor.service", "../monitor.service")
    node.write("/etc/systemd/system/containerd.service.d/mounts.conf", STANDIN)
    node.write("/var/lib/containerd/changing/.keep", "")


def show(screen: Screen, node: Machine) -> int:
    with step(screen, f"{operating_system(node)} boots as a throw-away machine"):
        node.boot()
    with step(screen, f"before: nothing declared; containerd changes {CHANGES} mounts"):
        before = Picture(node)
    with step(screen, "drained; services.conf written, daemon-reload, services started again"):
        declare(node)
    with step(screen, f"after: three services declared; containerd changes {CHANGES} mounts"):
        after = Picture(node)
    come_in, get_out = propagation(node)
    screen.line()
    draw_namespaces(screen, before, after, come_in, get_out)
    screen.rule("What PID 1 carries")
    draw_loads(screen, before, after)
    screen.rule("What did it")
    draw_configuration(screen, node)
    screen.rule("Next")
    draw_next(screen)
    inside = {namespace for name, (_, namespace) in after.namespaces.items() if name in SERVICES}
    if len(inside) != 1 or after.host in inside or not come_in or get_out:
        screen.line(screen.style("✗ This is not what kubens promises. Please report it, with the above.", "red"))
        return 1
    return 0


def operating_system(node: Machine) -> str:
    for line in node.read("/etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip("\"'")
    return "This computer's own OS"


@contextmanager
def step(screen: Screen, title: str) -> Iterator[None]:
    """Say what is being done, and then how long it took."""
    start = time.monotonic()
    screen.write(screen.style(f"· {title} …", "dim") + "\r" if screen.is_live else "")
    yield
    taken = f"{time.monotonic() - start:4.1f} s"
    screen.line(f"{screen.style('✓', 'green')} {title:{WIDTH - 10}}{screen.style(taken, 'dim')}  ")


def declare(node: Machine) -> None:
    """What an administrator does. What the stand-ins leave mounted on the host, a real node's drain would unmount."""
    kubens_machine.configure(node, SERVICES_CONF)
    node.systemctl("stop", *SERVICES)
    node.run("sh", "-c", "umount /var/lib/containerd/mounts/*")
    node.daemon_reload()
    node.systemctl("start", *SERVICES)


def cost_of_changes(node: Machine, pid: int) -> float:
    """PID 1's CPU time in milliseconds while the process's mount namespace changes CHANGES times."""
    settle(node)
    start = cpu_time(node)
    node.run("nsenter", f"--target={pid}", "--mount", "sh", "-euc", CHURN, "sh", str(CHANGES // 2), timeout=60)
    settle(node)
    return cpu_time(node) - start


def settle(node: Machine) -> None:
    """Wait until PID 1 rests. It looks at changed mounts at most five times, then again a second later."""
    time.sleep(1.1)
    last = -1.0
    while (now := cpu_time(node)) != last:
        last = now
        time.sleep(0.1)


def cpu_time(node: Machine) -> float:
    """PID 1's CPU time in milliseconds; finer than the clock ticks of /proc/1/stat."""
    return int(node.read("/proc/1/schedstat").split()[0]) / 1e6


def propagation(node: Machine) -> tuple[bool, bool]:
    """Whether a mount made on the host arrives inside, and whether one made inside arrives on the host."""
    inside = node.main_pid("kubelet.service")
    node.run("mkdir", "-p", "/mnt/host", "/mnt/inside")
    node.run("mount", "-t", "tmpfs", "host", "/mnt/host")
    node.run("kubensenter", "-q", "--", "mount", "-t", "tmpfs", "inside", "/mnt/inside")
    return "/mnt/host" in node.mounts(inside), "/mnt/inside" in node.mounts(1)


def draw_namespaces(screen: Screen, before: Picture, after: Picture, come_in: bool, get_out: bool) -> None:
    width = (WIDTH - 4) // 2
    left = draw_picture(screen, "before", before, width)
    right = draw_picture(screen, "after", after, width)
    arrow = [f"new mounts {'come in' if come_in else 'do NOT come in'}", "some get OUT" if get_out else "none gets out"]
    if len(after.groups()) == 2:
        below = len(after.groups()[0]) + 4
        right[below:below] = [screen.style(f"    {sign} {text}", "green") for sign, text in zip("│▼", arrow)]
    for line in beside(left, right, width, 4):
        screen.line(line.rstrip())


def draw_picture(screen: Screen, title: str, picture: Picture, width: int) -> list[str]:
    """One box for each mount namespace, with the processes in it."""
    lines = [screen.style(title.upper().center(width).rstrip(), "bold")]
    for members in picture.groups():
        namespace = members[0][2]
        outside = namespace == picture.host
        inner = [screen.style(f"{namespace}, {picture.sizes[namespace]} mounts", "dim")]
        for pid, name, _ in members:
            style = "cyan" if name not in SERVICES else "yellow" if outside else "green"
            inner.append(f"{pid:5}  {screen.style(name, style)}")
        lines += screen.box("the host" if outside else "kubens", inner, width, "dim" if outside else "green")
    return lines


def draw_loads(screen: Screen, before: Picture, after: Picture) -> None:
    draw_load(screen, "mounts it sees", before.sizes[before.host], after.sizes[after.host])
    draw_load(screen, ".mount units it keeps", before.units, after.units)
    draw_load(screen, f"CPU for {CHANGES} changes", before.cpu, after.cpu, " ms")


def draw_load(screen: Screen, title: str, before: float, after: float, unit: str = "") -> None:
    width = 38
    for heading, label, value, style in ((title, "before", before, "yellow"), ("", "after", after, "green")):
        # Below ten, a tenth is worth saying.
        number = f"{value:.1f}" if 0 < value < 10 and unit else f"{value:.0f}"
        bar = screen.bar(value, max(before, after), width, style)
        shown = (bar + " " if bar else "") + screen.style(number + unit, "bold")
        screen.line(f"{heading:22} {screen.style(f'{label:>6}', 'dim')}  {shown}")


def draw_configuration(screen: Screen, node: Machine) -> None:
    screen.line("/etc/kubens/services.conf")
    for line in node.read("/etc/kubens/services.conf").splitlines():
        screen.line("    " + screen.style(line, "cyan"))
    screen.line("and on the drained node")
    for line in ("systemctl daemon-reload", f"systemctl restart {' '.join(SERVICES)}"):
        screen.line("    " + screen.style(line, "cyan"))


def draw_next(screen: Screen) -> None:
    for command, effect in (
        ("make check", "pass all tests"),
        ("make install", "install on this computer; README.md tells the rest"),
    ):
        screen.line(f"    {screen.style(f'{command:14}', 'cyan')}{effect}")
    screen.line()


if __name__ == "__main__":
    sys.exit(main())
