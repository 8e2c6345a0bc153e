"""`concepthash-study run` with services that it does not start: an MLflow server, a Ray cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mlflow_stores import end, free_port, wait_until_up
from ray.cluster_utils import Cluster
from study_commands import Workplace, sets, wait_for_line, workers_of

from concepthash.tracking.store import Store

IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
"""By default MLflow tries for minutes."""


class MlflowServer:
    """A real server on an SQLite file; it can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, text=True
            )
        wait_until_up(self.url, self.process)

    def kill(self) -> None:
        if self.process is not None:
            end(self.process)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path)
    server.start()
    yield server
    server.kill()


def test_a_study_ends_in_one_line_when_its_server_does_and_goes_on_when_it_is_back(
    workplace: Workplace, server: MlflowServer
):
    arguments = ["run", workplace.file, "--tracking-uri", server.url]
    arguments += sets("baseline.epochs=40", "resources.cpu=0.5")
    run = workplace.start(*arguments, **IMPATIENT)
    trial = wait_for_line(run, "epoch 1/40").split("] ")[1].split(": epoch")[0]
    server.kill()
    output, _ = run.communicate(timeout=120)
    print(output)
    assert run.returncode == 2
    assert "Traceback" not in output
    assert output.splitlines()[-1] == (
        f"--tracking-uri {server.url}: failed while the study ran (it does not answer); when it"
        " answers again, the same command goes on from here"
    )

    server.start()
    code, output = workplace.call(*arguments)
    assert code == 0
    assert "2 of 2 trials trained" in output
    store = Store(server.url)
    experiment = store.experiment("small")
    assert experiment is not None
    runs = store.runs(experiment.experiment_id, "trial")
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert set(Counter(run.data.tags["digest"] for run in runs).values()) == {1}
    # It went on from its checkpoint in the default storage folder.
    assert (workplace.folder / "storage" / "small").is_dir()
    assert f"{trial}: epoch 1/40" not in output
    assert f"{trial}: done" in output


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A Ray head of our own, with its files in a short path: sockets have no room for another."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "temp_dir": f"{folder}/ray"},
    )
    yield cluster
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def test_a_study_trains_on_a_running_ray_cluster_and_leaves_it_running(
    workplace: Workplace, cluster: Cluster
):
    before = {process.pid for process in psutil.Process().children()}
    run = workplace.start(
        *("run", workplace.file, "--address", cluster.address),
        *sets("tables.0.rows=[{label: guided}]", "baseline.epochs=40"),
    )
    wait_for_line(run, "epoch 1/40")
    assert workers_of(psutil.Process(run.pid)) == []
    assert workers_of(psutil.Process(os.getpid())) != []
    output, _ = run.communicate(timeout=200)
    print(output)
    assert run.returncode == 0
    assert "1 of 1 trials trained" in output
    assert {process.pid for process in psutil.Process().children()} == before
