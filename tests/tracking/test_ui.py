"""MLflow's own interface as `concepthash-study ui` starts it, and that nothing of it is left."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import psutil
import pytest
from mlflow_stores import end, free_port, wait_until_up

from concepthash.errors import InputError
from concepthash.tracking.store import Store, open_store
from concepthash.tracking.ui import check_ui


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_ends_the_server_and_all_that_it_started(store, number, code):
    port = free_port()
    command = [sys.executable, "-m", "concepthash", "ui", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--tracking-uri", store.uri], cwd=store.folder, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until_up(f"http://127.0.0.1:{port}", process)
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        assert not any(store.uri in word for child in started for word in child.cmdline())
        listening = [
            connection.laddr.ip
            for child in started
            for connection in child.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) == {"127.0.0.1"}

        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == code
        assert "Traceback" not in errors
        assert [child for child in started if child.is_running()] == []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    finally:
        end(process)


def refusal(store: Store, port: int) -> str:
    with pytest.raises(InputError) as caught:
        check_ui(store, port)
    (line,) = caught.value.lines
    return line


@pytest.mark.parametrize("port", [-1, 0, 65536, 70000])
def test_a_port_that_there_is_not(store, port):
    assert refusal(store, port) == f"--port {port}: should be 1 to 65535"


def test_a_port_that_another_process_has(store):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refusal(store, port) == (
            f"--port {port}: cannot be used (Address already in use); name another one"
        )


def test_a_store_that_is_not_there_yet_or_has_an_interface_of_its_own(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/none.db")
    assert refusal(store, free_port()).endswith("does not exist yet; run a study first")
    assert list(tmp_path.iterdir()) == []
    server = open_store("http://u:hunter2@127.0.0.1:9")
    assert refusal(server, free_port()).startswith("http://u:***@127.0.0.1:9: is a server with")
