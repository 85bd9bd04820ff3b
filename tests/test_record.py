"""What living namespaces were made of, as it is kept, and what a reload makes of it that cannot do better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kubens.tree import Tree
from kubens_machine import configure, install, service, whereabouts
from machine import Machine
from trees import BASE, Content, build, generate, program

LIVE = "/run/kubens-generator"
UNITS = "/etc/systemd/system"

# Looks for both records all the time, and says how often they were not there.
LOOK = f"""
looks=0 lost=0
while [ ! -e /run/enough ]; do
    for name in kubens netns@blue; do
        looks=$((looks + 1))
        [ -e {LIVE}/$name/namespace.conf ] || lost=$((lost + 1))
    done
done
echo $looks $lost >/run/looks
"""
# Records anew: without the file that tells what is kept, the units have something to do.
RECORD = f"""
for attempt in $(seq 30); do
    rm {LIVE}/kubens/????????????????; systemctl start kubens-record
    rm {LIVE}/netns@blue/????????????????; systemctl start netns_record@blue
done
touch /run/enough
"""


def test_a_record_is_there_while_it_is_replaced(machine: Callable[..., Machine], lower: str) -> None:
    node = machine(lower)
    install(node)
    configure(node, "[MountNamespace]\nWrap=a\n[NetworkNamespace]\nName=blue\nTypes=lo\nServices=b\n")
    for name in ("a", "b"):
        service(node, f"{name}.service", "ExecStart=/bin/sleep 1000")
    service(node, "look.service", "ExecStart=/bin/sh /root/look")
    node.write("/root/look", LOOK)
    node.boot()
    node.systemctl("start", "a", "b", "look")
    kept = node.run("sh", "-c", f"ls {LIVE}/kubens {LIVE}/netns@blue").stdout
    node.run("sh", "-ec", RECORD)
    node.wait_until(lambda: node.show("look", "ActiveState")["ActiveState"] == "inactive")
    looks, lost = map(int, node.read("/run/looks").split())
    assert looks > 500 and lost == 0
    assert node.run("sh", "-c", f"ls {LIVE}/kubens {LIVE}/netns@blue").stdout == kept
    assert node.systemctl("is-failed", "kubens-record", "netns_record@blue", check=False).stdout == "inactive\n" * 2
    # It is used, and goes.
    node.run("rm", "-r", "/etc/kubens")
    node.daemon_reload()
    node.systemctl("restart", "a")
    assert whereabouts(node, "a") == ["inside"]
    node.systemctl("stop", "kubens", "netns-lo@blue")
    assert node.run("ls", "-A", "/run").stdout.split().count("kubens-generator") == 0


def test_what_lives_and_cannot_be_made_anew(tmp_path: Path) -> None:
    """Units that cannot be read, with an interpreter that can: what is kept is used, and nobody is blamed wrongly."""
    kept = f"{LIVE}/.red.d/1"
    files: dict[str, Content] = {
        **BASE,
        "/etc/kubens/a.conf": "[MountNamespace]\nName=red\nWrap=a\n",
        f"{UNITS}/a.service": "[Service]\nExecStart=/bin/sleep 1\n",
        "/usr/bin/sleep": program,
        f"{LIVE}/red": lambda path: path.symlink_to(".red.d/1"),
        f"{kept}/namespace.conf": "[MountNamespace]\nName=red\nWrap=a\n",
        f"{kept}/units/red.service": "[Service]\nExecStart=/bin/true\n",
        f"{kept}/dropins/zz-kubens.conf/a.service": "[Service]\n",
    }
    root = build(tmp_path / "root", files)
    done = generate(root, tmp_path / "good")
    assert (done.status, done.lines) == (0, [])
    (root / kept[1:] / "namespace.conf").unlink()
    (root / kept[1:] / "namespace.conf").mkdir()
    done = generate(root, tmp_path / "output")
    assert done.status == 1
    assert f"{LIVE}/red/namespace.conf: cannot be read" in done.stderr
    assert "did not run" not in done.stderr
    message = "the configuration was not carried out, for the errors logged before this; what lives stays as it was"
    assert message in done.lines[-1]
    assert message in (done.output / "kubens-problems.service").read_text()
    assert (done.output / "red.service").read_text() == "[Service]\nExecStart=/bin/true\n"
    assert (done.output / ".kubens/red/units/red.service").exists()
    assert (done.output / "a.service.d/zz-kubens.conf").read_text() == "[Service]\n"


def test_a_digest_tells_trees_apart_whichever_text_is_another() -> None:
    def digest(changed: str = "", text: str = "") -> str:
        tree = Tree("kubens")
        tree.record = "record" + "!" * (changed == "record")
        for number in range(200):
            tree.units[f"{number}.service" + "!" * (changed == f"name {number}")] = "!" * (changed == f"text {number}")
        tree.early["early.service"] = text + "!" * (changed == "early")
        tree.add_dropin("a.service", "x.conf" + "!" * (changed == "drop-in"), "!" * (changed == "drop-in text"))
        tree.add_dropin("b.service" + "!" * (changed == "drop-in of"), "y.conf", "")
        tree.seal()
        return tree.digest

    others = ("", "record", "early", "drop-in", "drop-in text", "drop-in of")
    changes = [*others, *(f"{what} {number}" for what in ("name", "text") for number in range(200))]
    assert len({digest(change) for change in changes}) == len(changes)
    assert digest() == digest()
    # What is exchanged, too, at whatever distance.
    texts = ["." * number + "2" + "." * (150 - number) for number in range(150)]
    assert len({digest(text=f"{text[:-1]}1") for text in texts}) == len(texts)
