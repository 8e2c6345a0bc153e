"""The reader of SQLite stores sees what MLflow itself sees."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

from mlflow.entities import Metric, Param, RunTag, ViewType

from concepthash.tracking import database
from concepthash.tracking.store import Store


def filled(store: Store) -> str:
    """An experiment with runs of all sorts; returns its id."""
    client = store.client
    experiment = client.create_experiment("birds", artifact_location="file:///nowhere")
    other = client.create_experiment("others")
    for number, status in enumerate(["FINISHED", "FAILED", "RUNNING", "KILLED"]):
        run = client.create_run(experiment, tags={"kind": "trial", "digest": str(number)})
        values = [("a", 0.25, 1), ("a", 0.5, 2), ("b", float("nan"), 1), ("c", 1e-9, 3)]
        client.log_batch(
            run.info.run_id,
            metrics=[Metric(key, value, 1, step) for key, value, step in values],
            params=[Param("num_bits", "16"), Param("language", "{'source': 'off'}")],
            tags=[RunTag("digest", f"changed {number}"), RunTag("ümlaut", "é\n")],
        )
        client.set_terminated(run.info.run_id, status)
    client.create_run(experiment, tags={"kind": "study"})
    client.create_run(other, tags={"kind": "trial"})
    client.create_run(experiment)  # none of ours
    client.delete_run(client.create_run(experiment, tags={"kind": "trial"}).info.run_id)
    client.delete_experiment(client.create_experiment("deleted"))
    return experiment


def test_runs_experiments_and_values_are_those_that_mlflow_returns(store):
    experiment = filled(store)
    ours = store.runs(experiment, "trial")
    theirs = store.client.search_runs(
        [experiment], "tags.kind = 'trial'", ViewType.ACTIVE_ONLY, 100
    )
    assert len(ours) == 4
    for our, their in zip(ours, theirs, strict=True):
        assert vars(our.info) == {name: getattr(their.info, name) for name in vars(our.info)}
        assert our.data.tags == their.data.tags
        assert our.data.params == their.data.params
        assert repr(our.data.metrics) == repr(their.data.metrics)  # one of them is NaN
    names = [found.name for found in store.experiments()]
    assert sorted(names) == sorted(e.name for e in store.client.search_experiments())
    points = [
        (run.info.run_id, point.step, point.value)
        for run in theirs
        for point in store.client.get_metric_history(run.info.run_id, "a")
    ]
    assert sorted(store.history(ours, "a")) == sorted(points)
    assert len(points) == 8


def test_a_file_that_is_no_store_of_mlflow_is_left_to_mlflow(tmp_path):
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE runs (id INTEGER)")
    assert database.experiments(file) is None
    assert database.runs(file, "1", "trial") is None
    assert database.history(file, "1", "a") is None


READ = """
import sys
from concepthash.tracking.store import open_store
uri, experiment = sys.argv[1:]
store = open_store(uri)
store.check()
runs = store.runs(experiment, "trial")
print(len(runs), len(store.history(runs, "a")), store.experiment("birds").name)
print("mlflow" in sys.modules)
"""


def test_reading_a_store_imports_no_mlflow_and_writes_nothing(store):
    experiment = filled(store)
    before = store.file.read_bytes()
    command = [sys.executable, "-c", READ, store.uri, experiment]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["4", "8", "birds", "False"]
    assert store.file.read_bytes() == before
    assert sorted(path.name for path in store.file.parent.iterdir()) == ["mlflow.db"]
