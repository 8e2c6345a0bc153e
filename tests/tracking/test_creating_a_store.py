"""The SQLite store is created once, whole, however many processes begin with it at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from concepthash.tracking.store import open_store

CREATE = """
import sys
from concepthash.tracking.store import open_store
import mlflow

print("ready", flush=True)
for line in sys.stdin:
    print(open_store(line.strip()).create_experiment(sys.argv[1]), flush=True)
"""
ROUNDS = 3


@pytest.fixture
def two():
    """Two processes that have loaded MLflow, and create the stores that they are told to."""
    command = [sys.executable, "-c", CREATE]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [
        subprocess.Popen([*command, name], text=True, **pipes) for name in ("birds", "cards")
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_two_studies_may_begin_at_once_in_a_fresh_folder(two, tmp_path):
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        for process in two:
            process.stdin.write(f"sqlite:///{folder}/mlflow.db\n")
            process.stdin.flush()
        ids = [process.stdout.readline() for process in two]
        assert sorted(ids) == ["1\n", "2\n"], [p.communicate()[1] for p in two if p.poll()]
        assert [path.name for path in folder.iterdir()] == ["mlflow.db"]
        names = {
            experiment.name
            for experiment in open_store(f"sqlite:///{folder}/mlflow.db").experiments()
        }
        assert names == {"Default", "birds", "cards"}


def test_a_process_killed_while_it_creates_the_store_leaves_no_half_of_one(two, tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/mlflow.db")
    first, second = two
    first.stdin.write(f"{store.uri}\n")
    first.stdin.flush()
    half = tmp_path / ".mlflow.db.new"
    while not half.exists():
        assert first.poll() is None
        time.sleep(0.001)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not store.exists
    store.check_writable()

    second.stdin.write(f"{store.uri}\n")
    second.stdin.flush()
    assert second.stdout.readline() == "1\n"
    assert {path.name for path in Path(tmp_path).iterdir()} == {"mlflow.db"}
