"""Where in a manifest a finding points: the line, in the generator's words, and the very word in kubensctl's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctl import kubensctl, tree
from kubens.pods import place
from kubens.pods.host import HostPod

MANIFEST = """\
{
  "apiVersion": "v1", "kind": "Pod",
  "metadata": {"name": "shop", "labels": {"a.b/c": "x", "d": "y"}},
  "spec": {
    "containers": [
      {"name": "web", "image": "i", "command": ["/bin/web", "{\\"}]\\u007d"], "tty": true},
      {
        "name": "worker", "image": "i", "command": ["/bin/worker"],
        "resources": {"limits": {"cpu":
          "much"}}
      }
    ]
  }
}
"""


@pytest.mark.parametrize(
    ("path", "line", "shown"),
    [
        ("$", 1, "{"),
        ("$.kind", 2, '"Pod"'),
        ('$.metadata.labels["a.b/c"]', 3, '"x"'),
        ("$.spec.containers[0].tty", 6, "true"),
        ("$.spec.containers[0].command[1]", 6, '"{\\"}]\\u007d"'),
        ("$.spec.containers[1]", 7, "{"),
        ("$.spec.containers[1].resources.limits.cpu", 10, '"much"'),
        ("$.spec.containers[1].resources", 9, '"resources"'),
        # What is not there is missed in what is.
        ("$.spec.containers[1].env[0].name", 7, "{"),
        ("$.spec.volumes", 4, '"spec"'),
        ("$.SPEC.Containers[0].TTY", 6, "true"),
    ],
)
def test_the_value_at_a_path(path: str, line: int, shown: str) -> None:
    found = place.find(MANIFEST, path)
    assert found is not None
    offset, length = found
    assert (MANIFEST.count("\n", 0, offset) + 1, MANIFEST[offset : offset + length]) == (line, shown)


def test_what_stands_there_twice_is_meant_the_second_time() -> None:
    assert place.find('{"a": 1, "a": 22}', "$.a") == (14, 2)


@pytest.mark.parametrize("text", ["", "{", '{"a"', '{"a": [1,', "[" * 100_000, '{"a": \x00}'])
def test_what_is_no_json_has_no_places(text: str) -> None:
    assert place.find(text, "$.a[3].b") is None


def test_many_findings_in_a_large_text_cost_little() -> None:
    text = '{"a": "' + "x" * 400_000 + '", "b": 1}'
    pod = HostPod("x", "/x", text)
    for _ in range(1000):
        pod.warn("$.b", "is odd")
    assert 1 <= sum(finding.line == 1 for finding in pod.findings) <= 5


def test_the_line_and_the_word(tmp_path: Path) -> None:
    root = tree(tmp_path, {"/etc/kubens/pods/shop.json": MANIFEST})
    lines = kubensctl("check", "--root", str(root)).stdout.splitlines()
    at = lines.index("/etc/kubens/pods/shop.json:10:11: error")
    assert lines[at + 2][lines[at + 1].index('"much"') :] == "^~~~~~"
    broken = MANIFEST.replace('"kind": "Pod",', '"kind" "Pod",')
    (root / "etc/kubens/pods/shop.json").write_text(broken)
    lines = kubensctl("check", "--root", str(root)).stdout.splitlines()
    assert lines[0] == "/etc/kubens/pods/shop.json:2:30: error"
    assert lines[2][lines[1].index('"Pod"') :] == "^"
