"""YAML 1.2 for people: block style, and texts of several lines as they are. Of JSON's values, in the order given."""

from __future__ import annotations

import json
import re

from kubensctl.formats import Json

# What needs no quotes: it begins with a letter or a slash, and means nothing else in YAML 1.1 or 1.2.
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*(?: [A-Za-z0-9_./@+(),-]+)*\Z")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


def document(value: Json) -> str:
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Json) -> list[str]:
    """A collection that is not empty."""
    found = []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _entry(f"{_string(key)}:", inner, "  ")
    else:
        for inner in value:
            lines = _entry("", inner, "")
            found += [f"- {lines[0]}", *(f"  {line}" if line else "" for line in lines[1:])]
    return found


def _entry(head: str, value: Json, indent: str) -> list[str]:
    """What stands behind a key, or (without a head) behind a dash."""
    if isinstance(value, (dict, list)) and value:
        lines = _lines(value)
        return [head, *(indent + line if line else "" for line in lines)] if head else lines
    blank = " " if head else ""
    if isinstance(value, str) and _is_block(value):
        keep = "" if value.endswith("\n") and not value.endswith("\n\n") else "+" if value.endswith("\n") else "-"
        lines = value.removesuffix("\n").split("\n")
        return [f"{head}{blank}|{keep}", *(f"  {line}" if line else "" for line in lines)]
    text = _string(value) if isinstance(value, str) else json.dumps(value)
    return [f"{head}{blank}{text}"]


def _is_block(text: str) -> bool:
    """Whether a text can stand as it is; its first line says how far it is indented."""
    if "\n" not in text.rstrip("\n") or text[0] in " \n\t" or "\r" in text:
        return False
    return all(c in "\n\t" or c.isprintable() for c in text)


def _string(text: str) -> str:
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in quoted)


def _escaped(c: str) -> str:
    """As JSON does not have it: one escape for a character of any plane."""
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"
