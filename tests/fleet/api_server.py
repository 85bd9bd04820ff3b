"""A stand-in for Kubernetes' API server, on a machine: a DaemonSet's pod asks it whether that is there, no more."""

from __future__ import annotations

import subprocess
from pathlib import Path

from kubens_machine import service
from machine import Machine

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# Answers what is in /run/answer: a status, and a document.
_SERVER = """\
import http.server, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        assert self.path == "/apis/apps/v1/namespaces/kube-system/daemonsets/NAME", self.path
        assert self.headers["Authorization"] == "Bearer secret"
        status, _, text = open("/run/answer").read().partition(" ")
        self.send_response(int(status))
        self.end_headers()
        self.wfile.write(text.encode())
server = http.server.HTTPServer(("127.0.0.1", 6443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/api.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
ENVIRONMENT = ("KUBERNETES_SERVICE_HOST=127.0.0.1", "KUBERNETES_SERVICE_PORT=6443")
EXISTS = '200 {"metadata": {}}'
# As etcd has what waits for its parts to go.
GOING = '200 {"metadata": {"deletionTimestamp": "2026-11-25T12:00:00Z"}}'
GONE = "404 {}"


def write(node: Machine, directory: Path, daemonset: str) -> None:
    """Before the machine boots: api.service."""
    key, certificate = directory / "key", directory / "crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
         "-days", "3650", "-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    node.write("/root/api.pem", key.read_text() + certificate.read_text())
    node.write("/root/ca.crt", certificate.read_text())
    node.write("/root/api.py", _SERVER.replace("NAME", daemonset))
    service(node, "api.service", "ExecStart=/usr/bin/python3 /root/api.py")


def start(node: Machine) -> None:
    """And an account for the pod, where it has it."""
    node.write(f"{_ACCOUNT}/token", "secret\n")
    node.write(f"{_ACCOUNT}/ca.crt", node.read("/root/ca.crt"))
    answer(node, EXISTS)
    node.systemctl("start", "api")


def answer(node: Machine, what: str) -> None:
    node.write("/run/answer", what)
