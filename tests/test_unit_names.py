"""Which unit a name leads to: aliases, linked units, instances of aliased templates, $SYSTEMD_UNIT_PATH.

Where systemd's answer depends on its release, or on which name it is asked for first, the unit is refused. That the
answers are systemd's own is for tests/differential to say, which has such trees by chance; those that once were wrong
are tried on all releases here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from differential.trial import Trial
from differential.worlds import Link, Piece, World
from kubens import aliases, inventory
from kubens.files import Root
from kubens.lookup import Lookup
from kubens.units import Units
from kubens_machine import configure, install, whereabouts
from machine import Machine
from trees import Content, build, link

ETC, OPT = "/etc/systemd/system", "/opt/units"
SERVICE = "[Service]\nType=oneshot\nExecStart=/bin/echo %n\n"
MORE = "[Service]\nExecStartPre=/bin/echo more\n"
OLD: dict[str, Content] = {"/usr/lib/systemd/libsystemd-shared-247.so": ""}
MASK = link("/dev/null")


def units(tmp_path: Path, files: Mapping[str, Content], search_path: str = "") -> Units:
    return Units(Lookup(Root(str(build(tmp_path / "root", files))), search_path), inventory.KEYS)


def unreadable(found: Units, name: str) -> str:
    unit = found.load(name)
    return unit.unreadable[2] if unit and unit.unreadable else ""


@pytest.mark.parametrize("own", [SERVICE, MASK, link("/opt/units/other.service")], ids=["file", "mask", "link"])
def test_an_instance_that_an_alias_of_its_template_claims_as_well(own: Content, tmp_path: Path) -> None:
    """ta@x.service is t@x.service by name and t@.service by file: systemd has one of them, whichever comes first."""
    files: dict[str, Content] = {
        f"{ETC}/t@.service": SERVICE,
        f"{ETC}/ta@.service": link("t@.service"),
        f"{ETC}/t@x.service": own,
    }
    found = units(tmp_path, {**files, f"{OPT}/other.service": SERVICE})
    for listed in ("t@.service", "ta@.service"):
        assert aliases.instances_of(found.lookup, listed) == ["t@x.service", "ta@x.service"]
    assert "would be known as t@x.service as well" in unreadable(found, "ta@x.service")
    assert own is MASK or "ta@x.service would be known by this name, too" in unreadable(found, "t@x.service")
    assert not any(unreadable(found, name) for name in ("t@.service", "t@y.service", "ta@y.service"))


def test_an_instance_of_an_alias_with_a_file_of_its_own_is_nobody_elses(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        f"{ETC}/t@.service": SERVICE,
        f"{ETC}/ta@.service": link("t@.service"),
        f"{ETC}/ta@x.service": SERVICE,
    }
    found = units(tmp_path, files)
    assert aliases.instances_of(found.lookup, "t@.service") == ["t@x.service"]
    assert aliases.instances_of(found.lookup, "ta@.service") == ["t@x.service", "ta@x.service"]
    assert not any(unreadable(found, name) for name in ("t@x.service", "ta@x.service"))


@pytest.mark.parametrize("alias", ["b@x.service", "ta@x.service"])
@pytest.mark.parametrize("target", ["t@.service", "t@x.service"])
def test_an_alias_of_one_instance_gives_it_drop_ins(alias: str, target: str, tmp_path: Path) -> None:
    files: dict[str, Content] = {
        f"{ETC}/t@.service": SERVICE,
        f"{ETC}/{alias}": link(target),
        f"{ETC}/{alias}.d/a.conf": MORE,
    }
    found = units(tmp_path, files)
    assert aliases.instances_of(found.lookup, "t@.service") == ["t@x.service"]
    unit = found.load("t@x.service")
    assert unit is not None
    assert unit.dropins == [f"{ETC}/{alias}.d/a.conf"]


def test_an_alias_of_an_instance_of_an_alias(tmp_path: Path) -> None:
    files: dict[str, Content] = {f"{ETC}/t@.service": SERVICE, f"{ETC}/ta@.service": link("t@.service"),
             f"{ETC}/b@x.service": link("ta@x.service"), f"{ETC}/b@x.service.d/a.conf": MORE}  # fmt: skip
    found = units(tmp_path, files)
    assert aliases.instances_of(found.lookup, "t@.service") == ["t@x.service"]
    unit = found.load("t@x.service")
    assert unit is not None
    assert unit.dropins == [f"{ETC}/b@x.service.d/a.conf"]


@pytest.mark.parametrize("release", [{}, OLD], ids=["later", "247"])
def test_links_to_files_of_one_name_elsewhere(release: dict[str, Content], tmp_path: Path) -> None:
    """For 247 the file's name is a name of the unit."""
    files: dict[str, Content] = {f"{ETC}/a.service": SERVICE, f"{ETC}/b.service": link(f"{OPT}/a.service"),
             f"{ETC}/c.service": link(f"{OPT}/c.service"), f"{ETC}/c2.service": link("c.service")}  # fmt: skip
    found = units(tmp_path, {**files, **release, f"{OPT}/a.service": SERVICE, f"{OPT}/c.service": SERVICE})
    refused = {name: bool(unreadable(found, f"{name}.service")) for name in ("a", "b", "c", "c2")}
    assert refused == {"a": bool(release), "b": bool(release), "c": False, "c2": False}


@pytest.mark.parametrize("release", [{}, OLD], ids=["later", "247"])
def test_exec_search_path_is_none_where_systemd_does_not_know_it(release: dict[str, Content], tmp_path: Path) -> None:
    found = units(tmp_path, {f"{ETC}/a.service": SERVICE + "ExecSearchPath=/opt\n", **release})
    unit = found.load("a.service")
    assert unit is not None
    assert unit.last("ExecSearchPath") == ("" if release else "/opt")


@pytest.mark.parametrize(("search_path", "found"), [
    ("", "/etc"), ("/opt/a:", "/opt/a"), ("opt/a::", "/opt/a"), ("/opt/a/:/opt/b", "/opt/a"), ("/opt/b", ""),
    ("/opt/b:", "/etc"),
])  # fmt: skip
def test_the_search_path_of_the_environment(search_path: str, found: str, tmp_path: Path) -> None:
    place = {"/etc": f"{ETC}/a.service", "/opt/a": "/opt/a/a.service", "": ""}[found]
    files: dict[str, Content] = {f"{ETC}/a.service": SERVICE, "/opt/a/a.service": SERVICE}
    assert units(tmp_path, files, search_path).lookup.find("a.service") == place


@pytest.mark.parametrize("search_path", ["/opt//a", "/opt/./a:", "/opt/../a", "/opt/b:/opt/a/."])
def test_a_search_path_that_releases_take_differently(search_path: str, tmp_path: Path) -> None:
    assert units(tmp_path, {}, search_path).lookup.unreadable
    assert not units(tmp_path / "good", {}, "/opt/a:").lookup.unreadable


# Trees that were wrong once, each as files and links with the names to ask for.
SHAPES: dict[str, Piece] = {
    f"{ETC}/own@.service": SERVICE.encode(), f"{ETC}/own-a@.service": Link("own@.service"),
    f"{ETC}/own@x.service": SERVICE.encode(),
    f"{ETC}/mask@.service": SERVICE.encode(), f"{ETC}/mask-a@.service": Link("mask@.service"),
    f"{ETC}/mask@x.service": Link("/dev/null"),
    f"{ETC}/free@.service": SERVICE.encode(), f"{ETC}/free-a@.service": Link("free@.service"),
    f"{ETC}/free-a@x.service": SERVICE.encode(), f"{ETC}/free-a@y.service.d/a.conf": MORE.encode(),
    f"{ETC}/chain@.service": SERVICE.encode(), f"{ETC}/chain-a@.service": Link("chain@.service"),
    f"{ETC}/chain-b@x.service": Link("chain-a@x.service"), f"{ETC}/chain-b@x.service.d/a.conf": MORE.encode(),
    f"{OPT}/linked.service": SERVICE.encode(), f"{ETC}/linked-a.service": Link(f"{OPT}/linked.service"),
    f"{ETC}/linked.service": SERVICE.encode(), f"{ETC}/linked-a.service.d/a.conf": MORE.encode(),
}  # fmt: skip
ASKED = (
    {"own@.service": "own@x.service", "mask@.service": "mask@x.service", "free@.service": "free@x.service",
     "chain@.service": "chain@x.service", "linked.service": "linked.service"},
    {"own-a@.service": "own-a@x.service", "mask-a@.service": "mask-a@x.service", "free-a@.service": "free-a@x.service",
     "chain-a@.service": "chain-b@x.service", "linked-a.service": "linked-a.service"},
    {"own@.service": "own-a@x.service", "free@.service": "free-a@y.service", "free-a@.service": "free@y.service"},
)  # fmt: skip


def test_systemd_agrees(machine: Callable[..., Machine], lower: str) -> None:
    node = machine(lower)
    node.boot()
    trial = Trial(node)
    for members in ASKED:
        assert trial.run(World(SHAPES, members)).mismatches == []
    trial.close()


def test_the_generator_is_told_the_search_path(machine: Callable[..., Machine], lower: str) -> None:
    node = machine(lower, arguments=[f"--setenv=SYSTEMD_UNIT_PATH={OPT}:"])
    install(node)
    configure(node, "[MountNamespace]\nWrap=a b\n")
    for path in (f"{OPT}/a.service", f"{ETC}/a.service", f"{ETC}/b.service"):
        node.write(path, f"[Service]\nExecStart=/bin/sleep {1000 + len(path)}\n")
    node.boot()
    node.systemctl("start", "a", "b")
    assert whereabouts(node, "a", "b") == ["inside", "inside"]
    command = node.read(f"/proc/{node.main_pid('a')}/cmdline").split("\0")
    assert command[1] == str(1000 + len(f"{OPT}/a.service"))
