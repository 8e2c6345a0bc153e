"""Real MLflow stores for tests: SQLite files, and servers on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import requests

from concepthash.errors import InputError
from concepthash.tracking.store import open_store

AT_ONCE_S = 15
"""What any of these may take: MLflow is imported for some."""


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store without runs. MLflow takes seconds to create one, so tests copy it."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    assert open_store(f"sqlite:///{path}").client.search_experiments()  # the default one
    return path


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> Path:
    """An empty SQLite store of the test's own, `mlflow.db` in its folder."""
    return Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(url: str, process: subprocess.Popen[str], seconds: float = 120) -> None:
    """Returns when an MLflow server answers that it is healthy."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            if requests.get(f"{url}/health", timeout=5).text == "OK":
                return
        except requests.RequestException:
            time.sleep(0.3)
    raise AssertionError(f"{url} did not answer within {seconds} s")


def end(process: subprocess.Popen[str]) -> None:
    """Kills the process and those that it started."""
    if process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
    process.wait(timeout=30)


def use(uri: str, writing: bool) -> None:
    store = open_store(uri)
    if writing:
        store.check_writable()
    else:
        store.check()
        store.experiments()


def refusal(uri: str, *, writing: bool = False) -> str:
    """The one line of what is wrong with a store."""
    started = time.monotonic()
    with pytest.raises(InputError) as caught:
        use(uri, writing)
    assert time.monotonic() - started < AT_ONCE_S
    (line,) = caught.value.lines
    assert line.startswith("--tracking-uri ")
    assert line.isprintable()
    return line
