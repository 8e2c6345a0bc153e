"""A study recorded on a server with a password, which must not be found anywhere afterwards."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from mlflow_stores import end, free_port, wait_until_up
from study_commands import STUDY, sets

PASSWORD = "hunter2-is-secret"


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--host", "127.0.0.1"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, text=True
        )
    try:
        wait_until_up(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


@pytest.fixture
def with_password(mlflow_server: str) -> Iterator[str]:
    """The URI of a proxy before the server, that lets through who knows the password."""
    expected = "Basic " + base64.b64encode(f"user:{PASSWORD}".encode()).decode()

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != expected:
                self.send_response(401)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            headers = {n: v for n, v in self.headers.items() if n not in ("Authorization", "Host")}
            url = f"{mlflow_server}{self.path}"
            answer = requests.request(self.command, url, data=body, headers=headers, timeout=60)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815  http.server's names

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://user:{PASSWORD}@127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_password_of_the_tracking_uri_is_found_nowhere(tmp_path, with_password):
    """Not in what the commands print, the report, the store, the artifacts or the checkpoints."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "small.yaml").write_text(STUDY)
    study = ["small.yaml", *sets("tables.0.rows=[{label: guided}]", "baseline.epochs=1")]
    outputs = []

    def call(code: int, *arguments: str, **environment: str) -> str:
        command = [sys.executable, "-m", "concepthash", *arguments]
        process = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        print(process.stdout)
        assert process.returncode == code
        outputs.append(process.stdout)
        return process.stdout

    assert "1 of 1 trials trained" in call(0, "run", *study, "--tracking-uri", with_password)
    call(0, "report", "small", MLFLOW_TRACKING_URI=with_password)
    assert "of http://user:***@127.0.0.1:" in call(2, "show", "x", "--tracking-uri", with_password)
    wrong = with_password.replace(PASSWORD, f"not-{PASSWORD}")
    assert "refuses us (401" in call(2, "plan", *study, "--tracking-uri", wrong)

    assert not any(PASSWORD in output for output in outputs)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"report.html", "mlflow.db", "codes.safetensors"} <= {path.name for path in files}
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []
