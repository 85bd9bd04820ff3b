"""Escaping, quantities, paths and names: the rules of text."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubens import pods
from kubens.pods.escape import base, bind_field, is_ac_name, join, path_escape, specifiers, target, word
from kubens.pods.quantity import MAX

from .conftest import need


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (["/a", "b"], "/a/b"),
        (["/a", "/b"], "/a/b"),
        ([".", "stage1/rootfs"], "stage1/rootfs"),
        (["", "a"], "a"),
        ([""], "."),
        (["/"], "/"),
        (["//a//", "./b/", ".."], "/a"),
        (["/", "../../a"], "/a"),
        (["a", "../../b"], "../b"),
    ],
)
def test_join_is_lexical_and_clean(parts: list[str], joined: str) -> None:
    assert join(*parts) == joined


@pytest.mark.parametrize(
    ("path", "name"), [("/a/b", "b"), ("b", "b"), ("/a/b//", "b"), ("/", "/"), ("//", "/"), ("", "")]
)
def test_base(path: str, name: str) -> None:
    assert base(path) == name


@pytest.mark.parametrize(
    ("path", "escaped"),
    [
        ("/opt/stage2/web-front/rootfs", "opt-stage2-web\\x2dfront-rootfs"),
        ("//a///b/", "a-b"),
        ("/", "-"),
        ("/.hidden/.x", "\\x2ehidden-.x"),
        ("/a/./b", "a-b"),
        ("/a\tb", "a\\x09b"),
        ("/é@%\\ ", "\\xc3\\xa9\\x40\\x25\\x5c\\x20"),
        ("/a:b_c.d", "a:b_c.d"),
    ],
)
def test_path_escape(path: str, escaped: str) -> None:
    assert path_escape(path) == escaped


characters = st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"])
paths = st.lists(st.text(characters, max_size=40), max_size=4)


@settings(max_examples=20, deadline=None)
@given(st.lists(paths, min_size=30, max_size=60))
def test_path_escape_is_what_systemd_escape_says(batch: list[list[str]]) -> None:
    need("systemd-escape")
    names = ["/a"] + ["/" + "/".join(parts) for parts in batch if ".." not in parts]
    shown = subprocess.run(["systemd-escape", "--path", "--", *names], stdout=subprocess.PIPE, check=True)
    assert shown.stdout.decode().split() == [path_escape(name) for name in names]


@pytest.mark.parametrize("path", ["/a/..", "..", "/../etc"])
def test_path_escape_refuses_what_leads_up(path: str) -> None:
    with pytest.raises(pods.PodError):
        path_escape(path)
    assert path_escape("/a..") == "a.."


@pytest.mark.parametrize(
    ("arguments", "quoted"),
    [
        (["/bin/a"], '"/bin/a"'),
        (["/a", "--title=It's $HOME"], '"/a" "--title=It\\\'s $$HOME"'),
        (["/a$b", "$", "$$"], '"/a$b" "$$" "$$$$"'),
        (["/a", 'b"c\\d'], '"/a" "b\\"c\\\\d"'),
        (["/a", "\a\b\f\n\r\t\v"], '"/a" "\\a\\b\\f\\n\\r\\t\\v"'),
        (["/a", "\x01\x7f"], '"/a" "\\x01\\x7f"'),
        (["/a", "é€\U0001f600"], '"/a" "é€\U0001f600"'),
        (["/a", "\u0080\u200b\U000e0001"], '"/a" "\\u0080\\u200b\\U000e0001"'),
        (["/a", "\udcff"], '"/a" "\\xff"'),
        (["/a", "\ufffe\U0010ffff"], '"/a" "\\xef\\xbf\\xbe\\xf4\\x8f\\xbf\\xbf"'),
        (["/a", ";", ""], '"/a" ";" ""'),
        (["/%h", "%h", "100%"], '"/%%h" "%%h" "100%%"'),
    ],
)
def test_quote_exec(arguments: list[str], quoted: str) -> None:
    assert pods.quote_exec(arguments) == quoted


@pytest.mark.parametrize(
    "arguments",
    [[], [""], ["-/bin/a"], ["@a"], ["+a"], ["!a"], [":a"], ["|a"], ["/a", "b\0"], ["/a", "\ud800"]],
)
def test_quote_exec_refuses_what_systemd_would_read_otherwise(arguments: list[str]) -> None:
    with pytest.raises(pods.PodError):
        pods.quote_exec(arguments)


@given(st.text())
def test_no_text_gets_out_of_its_quotes(text: str) -> None:
    try:
        quoted = pods.quote_exec(["/a", text])
    except pods.PodError:
        return
    assert "\n" not in quoted and "\r" not in quoted
    inner = quoted.removeprefix('"/a" "').removesuffix('"').replace("\\\\", "").replace('\\"', "")
    assert '"' not in inner and not inner.endswith("\\")
    assert "%" not in inner.replace("%%", "") and "$" not in inner.replace("$$", "")


def test_small_escapes() -> None:
    assert specifiers("50% %h") == "50%% %%h"
    assert bind_field("/a:b\\c") == "/a\\:b\\\\c"
    assert word("/a-b_c/é") == '"/a-b_c/é"'
    assert word("/a-b_c/e,d=1:2@x+y.z") == "/a-b_c/e,d=1:2@x+y.z"


@pytest.mark.parametrize(
    ("path", "clean"),
    [("/a", "/a"), ("a/b/", "/a/b"), ("//a/./b", "/a/b"), ("/", "/"), ("é" * 127, "/" + "é" * 127)],
)
def test_target(path: str, clean: str) -> None:
    assert target(path) == clean


@pytest.mark.parametrize(
    "path",
    ["", "..", "/a/../b", "/a\nb", "/a\rb", "/a\0b", "/a\x7f", "/a\\", "/a ", "/\ud800"] + ["é" * 128, "/a" * 2048],
)
def test_target_refuses(path: str) -> None:
    with pytest.raises(pods.PodError):
        target(path)


@pytest.mark.parametrize(
    ("name", "good"),
    [("a", True), ("0", True), ("a-b", True), ("a--b", True), ("", False), ("-a", False), ("a-", False)]
    + [(f"a{char}b", False) for char in "A_./@%\n é\0"],
)
def test_ac_names(name: str, good: bool) -> None:
    assert is_ac_name(name) is good


@pytest.mark.parametrize(
    ("text", "milli", "value"),
    [
        ("0", 0, 0),
        ("250m", 250, 1),
        ("1", 1000, 1),
        ("+1", 1000, 1),
        ("1.5", 1500, 2),
        ("1.", 1000, 1),
        (".5", 500, 1),
        ("0.0001", 1, 1),
        ("0.0011", 2, 1),
        ("1m", 1, 1),
        ("0.1m", 1, 1),
        ("2k", 2_000_000, 2000),
        ("3M", 3 * 10**9, 3 * 10**6),
        ("1G", 10**12, 10**9),
        ("1T", 10**15, 10**12),
        ("1P", 10**18, 10**15),
        ("1E", 10**21, 10**18),
        ("64Mi", 64 * 2**20 * 1000, 64 * 2**20),
        ("1Ki", 1024_000, 1024),
        ("1.5Gi", 1536 * 2**20 * 1000, 1536 * 2**20),
        ("1Ti", 2**40 * 1000, 2**40),
        ("1Pi", 2**50 * 1000, 2**50),
        ("1Ei", 2**60 * 1000, 2**60),
        ("2e3", 2_000_000, 2000),
        ("2E3", 2_000_000, 2000),
        ("2E", 2 * 10**21, 2 * 10**18),
        ("25e-1", 2500, 3),
        ("1e-9", 1, 1),
        ("1e-99999", 1, 1),
        ("1e+2", 100_000, 100),
        ("9223372036854775807", MAX * 1000, MAX),
        ("9223372036854775808", MAX * 1000, MAX),
        ("8Ei", MAX * 1000, MAX),
        ("1e400", MAX * 1000, MAX),
        ("1e" + "9" * 60, MAX * 1000, MAX),
        ("0e999", 0, 0),
        ("." + "0" * 58 + "1e59", 1000, 1),
        ("1" + "0" * 58 + "e-58", 1000, 1),
        ("123456789012345678.901", 123456789012345678901, 123456789012345679),
    ],
)
def test_quantities_are_exact(text: str, milli: int, value: int) -> None:
    quantity = pods.Quantity(text)
    assert (quantity.milli, quantity.value) == (milli, value)


@pytest.mark.parametrize(
    "text",
    ["", "m", ".", "-1", "1K", "1u", "1mi", "1 Mi", " 1", "1\n", "1e", "1e1.5", "1e+", "1.2.3", "0x10", "1_0"]
    + ["١", "NaN", "inf", "++1", "1Mim", "1e--2", "9" * 65],
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(pods.PodError):
        pods.Quantity(text)


def test_names_and_paths() -> None:
    units = "/pod/stage1/rootfs/usr/lib/systemd/system"
    assert pods.FLAVOR_FILE == "flavor"
    assert pods.UNITS_DIR == "/usr/lib/systemd/system"
    assert pods.service_unit_name("web-front") == "web-front.service"
    assert pods.socket_unit_name("web-front") == "web-front.socket"
    assert pods.service_unit_path("/pod", "a") == f"{units}/a.service"
    assert pods.socket_unit_path("/pod/", "a") == f"{units}/a.socket"
    assert pods.service_want_path("/pod", "a") == f"{units}/default.target.wants/a.service"
    assert pods.socket_want_path("/pod", "a") == f"{units}/sockets.target.wants/a.socket"
    assert pods.rel_env_file_path("a") == "/rkt/env/a"
    assert pods.env_file_path(".", "a") == "stage1/rootfs/rkt/env/a"
    name = "prepare-app@opt-stage2-web\\x2dfront-rootfs.service"
    assert pods.instantiated_prepare_app_unit_name("web-front") == name


@pytest.mark.parametrize(
    "function",
    [
        pods.service_unit_name,
        pods.socket_unit_name,
        pods.rel_env_file_path,
        pods.instantiated_prepare_app_unit_name,
        lambda name: pods.service_unit_path("/pod", name),
        lambda name: pods.socket_unit_path("/pod", name),
        lambda name: pods.service_want_path("/pod", name),
        lambda name: pods.socket_want_path("/pod", name),
        lambda name: pods.env_file_path("/pod", name),
    ],
)
@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a/b", "a\nb"])
def test_no_name_leads_a_path_elsewhere(function: object, name: str) -> None:
    assert callable(function)
    with pytest.raises(pods.PodError):
        function(name)
