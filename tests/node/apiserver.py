#!/usr/bin/python3
"""Stands in for Kubernetes' API server: stores what it is given and tells what it has, as a kubelet needs it.

No versions are compared, nothing is validated, everybody is let in. Usage: apiserver.py PORT OBJECTS.json, these
being a list of {"path": ITEM, "object": …} that there are from the beginning.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]

store: dict[str, Object] = {}
changed = threading.Condition()
# What is put there: (resourceVersion, ADDED or …, path of the collection, object).
events: list[tuple[int, str, str, Object]] = []
# Lists of objects, by which of their keys patches find an object (Kubernetes' strategic merge).
KINDS = {
    "nodes": "Node", "pods": "Pod", "services": "Service", "configmaps": "ConfigMap", "secrets": "Secret",
    "csidrivers": "CSIDriver", "runtimeclasses": "RuntimeClass",
}  # fmt: skip
NOT_FOUND = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}
MERGE_KEYS = ("type", "uid", "name", "containerPort", "ip")


def put(path: str, given: Object) -> Object:
    """Store an object, told to all who watch; path is that of the item."""
    with changed:
        version = len(events) + 1
        metadata = given.setdefault("metadata", {})
        metadata.setdefault("uid", f"uid-{version}")
        metadata.setdefault("creationTimestamp", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        metadata["resourceVersion"] = str(version)
        events.append((version, "MODIFIED" if path in store else "ADDED", path, json.loads(json.dumps(given))))
        store[path] = given
        changed.notify_all()
        return given


def delete(path: str) -> Object:
    with changed:
        gone = store.pop(path, {})
        events.append((len(events) + 1, "DELETED", path, gone))
        changed.notify_all()
        return gone


def merged(old: Any, patch: Any) -> Any:
    if isinstance(old, dict) and isinstance(patch, dict):
        result = dict(old)
        for key, value in patch.items():
            if key.startswith("$"):
                continue
            if value is None:
                result.pop(key, None)
            else:
                result[key] = merged(old.get(key), value)
        return result
    if isinstance(old, list) and isinstance(patch, list) and all(isinstance(one, dict) for one in [*old, *patch]):
        key = next((key for key in MERGE_KEYS if all(key in one for one in [*old, *patch])), None)
        if key:
            both = {one[key]: one for one in old}
            both.update({one[key]: merged(both.get(one[key], {}), one) for one in patch})
            return list(both.values())
    return patch


def is_in(path: str, collection: str) -> bool:
    """Whether an item is of a collection: of one namespace, or of all (/api/v1/pods)."""
    if path.rpartition("/")[0] == collection:
        return True
    parts = path.rpartition("/")[0].split("/")
    without = [part for number, part in enumerate(parts) if part != "namespaces" and parts[number - 1] != "namespaces"]
    return "/".join(without) == collection


def selected(given: Object, selector: str) -> bool:
    """fieldSelector=metadata.name=a,spec.nodeName=b"""
    for condition in filter(None, selector.split(",")):
        field, operator, wanted = condition.partition("!=" if "!=" in condition else "=")
        value: Any = given
        for key in field.split("."):
            value = value.get(key, "") if isinstance(value, dict) else ""
        if (value == wanted) == (operator == "!="):
            return False
    return True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        selector = query.get("fieldSelector", "")
        if url.path in store:
            self.answer(store[url.path])
        elif query.get("watch") in ("true", "1"):
            self.watch(url.path, selector, int(query.get("resourceVersion") or 0))
        elif is_item(url.path):
            self.answer(NOT_FOUND, 404)
        else:
            with changed:
                items = [one for path, one in store.items() if is_in(path, url.path) and selected(one, selector)]
                metadata = {"resourceVersion": str(len(events))}
            kind = KINDS.get(url.path.rpartition("/")[2], "")
            parts = url.path.strip("/").split("/")
            version = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
            self.answer({"apiVersion": version, "kind": f"{kind}List", "metadata": metadata, "items": items})

    def do_POST(self) -> None:
        given = self.body()
        path = urlsplit(self.path).path
        name = given.get("metadata", {}).get("name") or f"generated-{len(events)}"
        given.setdefault("metadata", {})["name"] = name
        self.answer(put(f"{path}/{name}", given), 201)

    def do_PUT(self) -> None:
        self.answer(put(self.item(), self.body()))

    def do_PATCH(self) -> None:
        path = self.item()
        self.answer(put(path, merged(store.get(path, {}), self.body())))

    def do_DELETE(self) -> None:
        self.body()
        self.answer(delete(self.item()))

    def item(self) -> str:
        return urlsplit(self.path).path.removesuffix("/status")

    def body(self) -> Object:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given: Object = json.loads(content) if content else {}
        return given

    def answer(self, content: Object, code: int = 200) -> None:
        text = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def watch(self, collection: str, selector: str, version: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            with changed:
                while len(events) == version:
                    changed.wait()
                news, version = events[version:], len(events)
            for _, kind, path, given in news:
                if is_in(path, collection) and selected(given, selector):
                    line = json.dumps({"type": kind, "object": given}).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            self.wfile.flush()

    def log_message(self, format: str, *arguments: Any) -> None:
        print(format % arguments, file=sys.stderr, flush=True)


def is_item(path: str) -> bool:
    """/api/v1/nodes/NAME, /api/v1/namespaces/NS/pods/NAME, /apis/GROUP/VERSION/…"""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        rest = rest[2:]
    return len(rest) == 2


def main() -> None:
    with open(sys.argv[2], encoding="utf-8") as objects:
        for given in json.load(objects):
            put(given["path"], given["object"])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
