"""What happens to the functions of types: one machine, in which each test has types and a namespace of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netns import Machine, node_with, remains, settle, states, units_of

pytestmark = pytest.mark.needs("root", "namespaces", "nspawn")
DIRECTORY = "/etc/conf.d/netns"
STEPS = "configure_{0}_{1}_{2}() {{ echo {1} {2} \"$1\" $V >>/run/steps; {3}; }}\n"
ALL = (("up", "outside"), ("up", "inside"), ("down", "inside"), ("down", "outside"))


@pytest.fixture(scope="module")
def booted() -> Iterator[Machine]:
    with Machine() as machine:
        node_with(machine)
        machine.boot()
        yield machine


@pytest.fixture
def node(booted: Machine) -> Iterator[Machine]:
    """The machine, with no types; afterwards without a trace of what was tried."""
    booted.run("sh", "-c", f"rm -rf {DIRECTORY} /run/steps")
    booted.daemon_reload()
    yield booted
    for unit in booted.systemctl("list-units", "--plain", "--no-legend", "--all", "netns-*").stdout.splitlines():
        booted.systemctl("stop", unit.split()[0], check=False)
    settle(booted)
    assert remains(booted) == []
    booted.systemctl("reset-failed")


def functions(kind: str, *, without: str = "", **more: str) -> str:
    """All functions of a type, each noting that it ran. more: commands for some, as up_outside="false"."""
    return "".join(
        STEPS.format(kind, way, side, more.get(f"{way}_{side}", ":")) for way, side in ALL if f"{way}_{side}" != without
    )


def write(node: Machine, **files: str) -> None:
    """Files of types, given as `own_sh` or `own__blue_conf`, and the reload that is all they need."""
    for name, text in files.items():
        stem, _, suffix = name.replace("__", "-").rpartition("_")
        node.write(f"{DIRECTORY}/{stem}.{suffix}", text)
    node.daemon_reload()


def steps(node: Machine) -> list[str]:
    """What ran since the last look."""
    settle(node)
    return node.run("sh", "-c", "cat /run/steps; rm -f /run/steps").stdout.splitlines()


def fails(node: Machine, unit: str, *units: str) -> str:
    """Start a unit in vain; the journal of that, and of further units."""
    node.run("journalctl", "--sync")
    cursor = node.run("journalctl", "--show-cursor", "--lines=0").stdout.rpartition("cursor: ")[2].strip()
    assert node.systemctl("start", unit, check=False).returncode
    settle(node)
    selection = [f"--unit={name}" for name in (unit, *units)]
    return node.journal(None, f"--after-cursor={cursor}", "--output=cat", *selection)


def test_the_first_generation(node: Machine) -> None:
    """TYPE.conf with functions, TYPE-NAME.conf with what differs."""
    write(node, own_conf=functions("own") + "V=all\n", own__blue_conf="V=blue\n")
    for name, variable in (("blue", "blue"), ("red", "all")):
        node.systemctl("start", f"netns-own@{name}")
        assert steps(node) == [f"up outside {name} {variable}", f"up inside {name} {variable}"]
        node.systemctl("stop", f"netns-own@{name}")
        assert steps(node) == [f"down inside {name} {variable}", f"down outside {name} {variable}"]


def test_the_later_generation(node: Machine) -> None:
    write(node, own_sh=functions("own"), default_conf="V=default\nW=$V\n", own__blue_conf="V+=,$W\n")
    node.systemctl("start", "netns-own@blue")
    assert steps(node) == ["up outside blue default,default", "up inside blue default,default"]
    log = node.journal("netns-own@blue", "--output=cat")
    files = f"{DIRECTORY}/own.sh {DIRECTORY}/default.conf {DIRECTORY}/own-blue.conf"
    assert f"configure_own_up_inside of {DIRECTORY}/own.sh:2, having read {files}\n" in log
    # Neither TYPE.conf nor TYPE-NAME.conf: that needs a word.
    assert f"type own has no variables: write {DIRECTORY}/own-red.conf" in fails(
        node, "netns-own@red", "netns_outside-own@red"
    )
    write(node, own_sh="NO_CONFIG_REQUIRED=1\n" + functions("own"))
    node.systemctl("start", "netns-own@red")
    assert steps(node) == ["up outside red default", "up inside red default"]


def test_a_type_comes_and_goes_with_a_reload(node: Machine) -> None:
    assert node.show("netns-own@blue", "LoadState") == {"LoadState": "not-found"}
    write(node, own_conf=functions("own"))
    node.systemctl("start", "netns-own@blue")
    assert steps(node) == ["up outside blue", "up inside blue"]
    # What lives can be stopped, with the functions as they were, and is gone then.
    node.run("rm", "-r", DIRECTORY)
    node.daemon_reload()
    node.systemctl("stop", "netns-own@blue")
    assert steps(node) == ["down inside blue", "down outside blue"]
    assert states(node, *units_of("blue", "own")) == ["inactive"] * 3
    node.daemon_reload()
    assert node.show("netns-own@blue", "LoadState") == {"LoadState": "not-found"}


def test_a_type_that_lives_survives_a_broken_interpreter(node: Machine) -> None:
    write(node, own_conf=functions("own"))
    node.systemctl("start", "netns-own@blue")
    node.run("sh", "-c", f"rm -r {DIRECTORY}; cd /usr/lib/kubens; mv kubens away; rm -r __pycache__")
    node.daemon_reload()
    node.systemctl("restart", "netns-own@blue", check=False)
    node.systemctl("stop", "netns-own@blue")
    assert "down outside blue" in steps(node)
    node.run("mv", "/usr/lib/kubens/away", "/usr/lib/kubens/kubens")
    node.systemctl("reset-failed")


def test_a_drop_in_and_a_link_of_before(node: Machine) -> None:
    """What people have of systemd-netns: `systemctl edit`, and .wants/ links of units that are no longer there."""
    write(node, own_conf=functions("own"))
    edited = "[Service]\nExecStartPost=/bin/touch /run/edited\n"
    node.write("/etc/systemd/system/netns-own@.service.d/override.conf", edited)
    node.write("/etc/systemd/system/some.target", "[Unit]\nDescription=Some\n")
    node.link("/etc/systemd/system/some.target.wants/netns-own@blue.service", "/usr/lib/systemd/system/gone@.service")
    node.daemon_reload()
    node.systemctl("start", "some.target")
    assert states(node, "netns-own@blue") == ["active"]
    node.run("rm", "/run/edited")
    node.systemctl("stop", "some.target", "netns-own@blue")


def test_enable_works_for_shipped_types(node: Machine) -> None:
    node.systemctl("enable", "netns-lo@blue")
    assert node.run("ls", "/etc/systemd/system/multi-user.target.wants").stdout == "netns-lo@blue.service\n"
    node.systemctl("disable", "netns-lo@blue")
    write(node, own_conf=functions("own"))
    assert "generated" in node.systemctl("enable", "netns-own@blue", check=False).stderr


def test_a_missing_function_is_fine(node: Machine) -> None:
    for number, (way, side) in enumerate(ALL):
        write(node, own_conf=functions("own", without=f"{way}_{side}"))
        node.systemctl("restart", "netns-own@blue")
        node.systemctl("stop", "netns-own@blue")
        assert steps(node) == [f"{way} {side} blue" for way, side in (*ALL[:number], *ALL[number + 1 :])]
    assert states(node, "netns-own@blue") == ["inactive"]


def test_no_function_at_all_is_a_mistake(node: Machine) -> None:
    write(node, own_conf="configure_won_up_inside() { :; }\n")
    log = fails(node, "netns-own@blue", "netns_outside-own@blue")
    assert f"type own defines none of configure_own_{{up,down}}_{{outside,inside}}: {DIRECTORY}/own.conf" in log


COMMANDS = ("false", "true | false", "inner() { false; true; }; inner", "(false; true)", "local a; a=$(false)")


@pytest.mark.parametrize("place", ["up_outside", "up_inside"])
def test_a_failed_command_ends_what_comes_up(place: str, node: Machine) -> None:
    """In the middle, at a pipe's end, in a function that is called: nothing runs after it, and what has is undone."""
    kinds = [f"own{number}" for number in range(len(COMMANDS))]
    for kind, command in zip(kinds, COMMANDS):
        node.write(f"{DIRECTORY}/{kind}.conf", functions(kind, **{place: f"{command}; echo never >>/run/steps"}))
    write(node, good_conf=functions("good"))
    for kind in kinds:
        units = (f"netns-{kind}@{kind}", f"netns_outside-{kind}@{kind}")
        log = fails(node, *units)
        inside = ["up inside", "down inside"] if place == "up_inside" else []
        assert steps(node) == [f"{step} {kind}" for step in ("up outside", *inside, "down outside")]
        line = 2 if inside else 1
        assert f"{DIRECTORY}/{kind}.conf:{line}: status 1 of: " in log
        assert f"type {kind}, {place.replace('_', ' ')}: failed with status 1" in log
        assert states(node, f"netns_name@{kind}", *units) == (
            ["inactive", "failed", "inactive"] if inside else ["inactive", "inactive", "failed"]
        )
    node.systemctl("start", "netns-good@blue")
    assert steps(node) == ["up outside blue", "up inside blue"]


def test_what_may_fail(node: Machine) -> None:
    harmless = "false || true; if false; then :; fi; ! true; false && true; while false; do :; done"
    write(node, own_conf=functions("own", up_outside=harmless, up_inside=harmless, down_outside=harmless))
    node.systemctl("start", "netns-own@blue")
    node.systemctl("stop", "netns-own@blue")
    assert states(node, *units_of("blue", "own")) == ["inactive"] * 3


def test_what_goes_down_goes_on(node: Machine) -> None:
    write(node, own_conf=functions("own", down_inside="false; echo more >>/run/steps", down_outside="exit 3"))
    node.systemctl("start", "netns-own@blue")
    node.systemctl("stop", "netns-own@blue")
    assert steps(node)[2:] == ["down inside blue", "more", "down outside blue"]
    assert states(node, *units_of("blue", "own")) == ["inactive", "failed", "failed"]
    assert f"{DIRECTORY}/own.conf:3: status 1 of: false" in node.journal("netns-own@blue")
    assert "type own, down outside: failed with status 3" in node.journal("netns_outside-own@blue")


def test_an_unset_variable_is_one_clear_line(node: Machine) -> None:
    own = functions("own", up_outside=": ${MINE:?}")
    write(node, veth__blue_conf="VETH_IFADDR_OUTSIDE=10.0.0.1/24\n", own_conf=own)
    log = fails(node, "netns-veth@blue", "netns_outside-veth@blue")
    files = f"{DIRECTORY}/veth-blue.conf, veth.conf or default.conf"
    assert f"VETH_IFADDR_INSIDE is not set: set it in {files}\n" in log
    log = fails(node, "netns-own@blue", "netns_outside-own@blue")
    assert f"{DIRECTORY}/own.conf: line 1: MINE: parameter null or not set\n" in log


def test_a_file_with_a_mistake(node: Machine) -> None:
    for text, reason in (
        ("configure_own_up_inside() { if; }\n", f"{DIRECTORY}/own.conf is no bash script"),
        ("configure_own_up_inside() { :; }\nexit 0\n", f"{DIRECTORY}/own.conf exits where it is read"),
    ):
        write(node, own_conf=text, other_conf=functions("other"))
        assert reason in fails(node, "netns-own@blue", "netns_outside-own@blue")
    node.systemctl("start", "netns-other@red")
    assert steps(node) == ["up outside red", "up inside red"]


def test_a_file_of_the_administrator_replaces_a_shipped_type(node: Machine) -> None:
    """As TYPE.sh, and as the first generation's TYPE.conf; one function in TYPE-NAME.conf replaces one."""
    some = functions("veth", without="down_outside")
    for files in ({"veth_sh": some, "veth_conf": ""}, {"veth_conf": some}):
        write(node, **files)
        node.systemctl("start", "netns-veth@blue")
        node.systemctl("stop", "netns-veth@blue")
        assert steps(node) == ["up outside blue", "up inside blue", "down inside blue"]
        assert "type veth has no configure_veth_down_outside" in node.journal("netns_outside-veth@blue")
        node.run("rm", "-r", DIRECTORY)
    addresses = "VETH_IFADDR_OUTSIDE=10.0.0.1/24\nVETH_IFADDR_INSIDE=10.0.0.2/24\n"
    write(node, veth__blue_conf=addresses + 'configure_veth_up_inside() { echo "mine $1" >>/run/steps; }\n')
    node.systemctl("start", "netns-veth@blue")
    assert steps(node) == ["mine blue"]
    assert remains(node)[-1] == "ve-blue0"


def test_a_function_that_hangs_is_ended_and_undone(node: Machine) -> None:
    hang = "touch /run/hangs; sleep 1000"
    write(node, own_conf=functions("own", up_inside=hang), other_conf=functions("other", down_inside="sleep 1000"))
    for kind, setting in (("own", "TimeoutStartSec=2"), ("other", "TimeoutStopSec=1")):
        node.write(f"/etc/systemd/system/netns-{kind}@.service.d/time.conf", f"[Service]\n{setting}\n")
    node.daemon_reload()
    fails(node, "netns-own@blue")
    assert steps(node) == ["up outside blue", "up inside blue", "down inside blue", "down outside blue"]
    assert node.show("netns-own@blue", "Result") == {"Result": "timeout"}
    node.systemctl("start", "netns-other@blue")
    node.systemctl("stop", "netns-other@blue")
    assert steps(node)[2:] == ["down inside blue", "down outside blue"]
    assert node.show("netns-other@blue", "Result") == {"Result": "timeout"}


def test_a_kill_at_any_step_leaves_nothing(node: Machine) -> None:
    kill = "pkill -KILL -f 'kubens-netns up'; sleep 1000"
    for place in ("up_outside", "up_inside"):
        device = "ip link add left0 type dummy 2>/dev/null || ip link add left0 type veth peer name left1; "
        undo = "ip link delete left0"
        more = {place: device + kill, place.replace("up", "down"): undo}
        write(node, own_conf=functions("own", **more))
        fails(node, "netns-own@blue")
        assert states(node, *units_of("blue", "own"))[0] == "inactive"
        assert remains(node) == []
    # The creator itself, right after the namespace is there.
    node.write("/usr/local/sbin/ip", '#!/bin/sh\n/usr/sbin/ip "$@"; [ "$2" = add ] && kill -KILL $PPID; true\n', 0o755)
    write(node, own_conf=functions("own"))
    fails(node, "netns-own@blue")
    assert node.show("netns_name@blue", "Result") == {"Result": "signal"}
    assert remains(node) == []
    node.run("rm", "/usr/local/sbin/ip")
    node.systemctl("start", "netns-own@blue")


def test_processes_and_notes_last_until_the_stop(node: Machine) -> None:
    write(
        node,
        own_conf=functions(
            "own", up_outside='sleep 4711 & echo $! >"$NETNS_STATE/pid"', down_inside='kill $(<"$NETNS_STATE/pid")'
        ),
    )
    node.systemctl("start", "netns-own@blue")
    settle(node)
    # Copies of files that may hold keys.
    assert node.run("stat", "-c", "%a", "/run/kubens-generator/.kept-own@blue").stdout == "700\n"
    assert node.run("pgrep", "-cf", "sleep 4711").stdout == "1\n"
    node.systemctl("stop", "netns-own@blue")
    assert states(node, *units_of("blue", "own")) == ["inactive"] * 3
    assert node.run("pgrep", "-cf", "sleep 4711", check=False).stdout == "0\n"


def test_variables_of_every_kind(node: Machine) -> None:
    """What a file declares is there in the functions, and in nobody else's."""
    text = "declare -A MAP=([a]=b)\nfile=mine status=mine shipped=mine\nset -eu\nIFS=,\ncd /\n"
    check = '[[ ${MAP[a]} = b && $file$status$shipped = mineminemine ]]; x=a,b; set -- $x; [[ $# = 2 ]]'
    checks = {f"{way}_{side}": check for way, side in ALL}
    write(node, own_conf=text + functions("own", **checks))
    node.systemctl("start", "netns-own@blue")
    node.systemctl("stop", "netns-own@blue")
    assert states(node, *units_of("blue", "own")) == ["inactive"] * 3


@pytest.mark.parametrize("name", ["a-b", "a_b", "abcdefghijklmnop", "x.y"])
def test_names_that_cannot_be(name: str, node: Machine) -> None:
    log = fails(node, f"netns-lo@{name}", f"netns_name@{name}")
    assert "a network namespace cannot be called" in log
    node.systemctl("start", "netns-lo@abcdefghijklmno")


def test_device_names_that_are_too_long(node: Machine) -> None:
    addresses = "VETH_IFADDR_OUTSIDE=10.0.0.1/24\nVETH_IFADDR_INSIDE=10.0.0.2/24\n"
    write(node, veth_conf=addresses)
    log = fails(node, "netns-veth@abcdefghijkl", "netns_outside-veth@abcdefghijkl")
    assert "a device cannot be called ve-abcdefghijkl0 (at most 15 bytes): set VETH_IFNAME_OUTSIDE in" in log
    node.systemctl("start", "netns-veth@abcdefghijk")
    assert remains(node)[-1] == "ve-abcdefghijk0"
