"""Servers and other stores than files that cannot be used: each is told in one line."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow_stores import refusal


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://u:hunter2@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


class Page(Files):
    """Answers every question with the same page, as many applications do."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html></html>")


class Locked(Files):
    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()


@pytest.mark.parametrize(
    ("handler", "says"),
    [(Files, "is no MLflow server"), (Page, "is no MLflow server"), (Locked, "refuses us (401")],
)
def test_a_server_that_is_no_mlflow_or_wants_another_password(handler, says):
    with serving(handler) as uri:
        line = refusal(uri)
    assert says in line
    assert "hunter2" not in line


def test_a_server_that_does_not_answer():
    assert "does not answer (connection refused" in refusal("http://u:hunter2@127.0.0.1:9")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line = refusal(f"http://u:hunter2@127.0.0.1:{silent.getsockname()[1]}")
    assert "does not answer (no answer within 5 s)" in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("foo://u:hunter2@x", "MLflow has no store for foo://"),
        ("postgresql://u:hunter2@127.0.0.1/x", "needs a Python package that is not installed"),
        ("mssql+nothing://u:hunter2@host/x", "cannot be used"),
        ("postgresql://u:hunter2@host:port/x", "cannot be used"),
        ("http://", "does not answer"),
        ("http://u:hunter2@[::1", "cannot be asked"),
        ("http://u:hunter2@host:70000", "cannot be asked"),
    ],
)
def test_a_store_of_another_kind_that_cannot_be_used(uri, says):
    line = refusal(uri)
    assert says in line
    assert "hunter2" not in line
