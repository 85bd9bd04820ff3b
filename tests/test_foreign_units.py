"""Units that other generators make: what they make cannot be read, but some of what they read."""

from __future__ import annotations

from pathlib import Path

import pytest

from trees import BASE, Content, Run, build, generate, link

CONF = "/etc/kubens/a.conf"
SLEEP = "[Service]\nExecStart=/bin/sleep 1\n"


def run(tmp_path: Path, files: dict[str, Content]) -> Run:
    """Of a member a, and of a neighbour in another namespace."""
    declared = "[MountNamespace]\nWrap=a\n[MountNamespace]\nName=other\nWrap=b\n"
    everything = {**BASE, CONF: declared, "/etc/systemd/system/b.service": SLEEP, **files}
    done = generate(build(tmp_path / "root", everything), tmp_path / "output")
    assert (done.output / "b.service.d").exists()
    return done


@pytest.mark.parametrize("source", [
    "/etc/init.d/a", "/etc/init.d/a.sh", "/etc/containers/systemd/a.container", "/run/containers/systemd/a.kube",
    "/usr/share/containers/systemd/more/deep/a.container",
])  # fmt: skip
def test_where_the_source_is_known_it_is_refused(source: str, tmp_path: Path) -> None:
    done = run(tmp_path, {source: ""})
    assert done.lines[0] == (
        f"error: {CONF}:2: a.service: is made from {source} by another generator, "
        "whose output cannot be seen: write a unit file"
    )
    assert not (done.output / "a.service.d").exists()


@pytest.mark.parametrize(("file", "text"), [
    ("x.container", "[Container]\nServiceName=a\n"), ("a.d.container", ""), ("users/a.container", ""), ("a.conf", ""),
    ("loop", link(".")),
])  # fmt: skip
def test_only_what_becomes_a_service_of_that_name(file: str, text: Content, tmp_path: Path) -> None:
    done = run(tmp_path, {f"/etc/containers/systemd/{file}": text})
    assert (done.status, len(done.lines)) == ((1, 2) if text == "[Container]\nServiceName=a\n" else (0, 1))


@pytest.mark.parametrize(("file", "unit"), [
    ("db.volume", "db-volume"), ("db.network", "db-network"), ("db.image", "db-image"), ("db.build", "db-build"),
    ("db.pod", "db-pod"), ("db@.container", "db@x"),
])  # fmt: skip
def test_each_kind_of_podmans_files(file: str, unit: str, tmp_path: Path) -> None:
    files: dict[str, Content] = {
        f"/etc/containers/systemd/{file}": "", "/etc/kubens/z.conf": f"[MountNamespace]\nWrap=\nWrap={unit}\n"
    }  # fmt: skip
    assert f"{unit}.service: is made from /etc/containers/systemd/{file}" in run(tmp_path, files).lines[0]


def test_a_mask_is_stronger(tmp_path: Path) -> None:
    done = run(tmp_path, {"/etc/init.d/a": "", "/etc/systemd/system/a.service": link("/dev/null")})
    assert done.lines == [f"notice: {CONF}:2: a.service: masked, not wrapped: systemctl unmask a.service"]


@pytest.mark.parametrize(("place", "status"), [("/etc", 0), ("/run", 0), ("/usr/local/lib", 1), ("/usr/lib", 1)])
def test_which_of_two_units_of_one_name_comes_first(place: str, status: int, tmp_path: Path) -> None:
    """A generator's are in front of those that packages bring."""
    source = "/etc/containers/systemd/a.container"
    done = run(tmp_path, {f"{place}/systemd/system/a.service": SLEEP, source: ""})
    assert done.status == status
    if status:
        assert done.lines[0].startswith(f"error: {source}: a.service: what systemd would run cannot be told: ")
    assert (done.output / "a.service.d").exists() == (status == 0)


@pytest.mark.parametrize("prefix", [*"#&()*,;<=>?[]^`{}~|", "-^", "@?+"])
def test_a_prefix_of_a_later_systemd_is_refused(prefix: str, tmp_path: Path) -> None:
    """That all releases up to 262 refuse the unit does not mean that it will never run."""
    unit = f"[Service]\nExecStart={prefix}/bin/sleep 1\n"
    done = run(tmp_path, {"/etc/systemd/system/a.service": unit})
    assert (done.status, len(done.lines)) == (1, 2)
    assert done.lines[0].startswith("error: /etc/systemd/system/a.service:2: a.service: what systemd would run cannot")


@pytest.mark.parametrize("program", ["-+/bin/sleep", "$x/bin", "bin/sleep", "--/bin/sleep", "!+/bin/sleep"])
def test_what_is_no_prefix_is_none(program: str, tmp_path: Path) -> None:
    done = run(tmp_path, {"/etc/systemd/system/a.service": f"[Service]\nExecStart={program} 1\n"})
    assert done.status == 0
