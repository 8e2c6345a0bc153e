"""Reads an SQLite store of MLflow without MLflow, whose import takes four seconds.

Only what a search of runs returns is read, and nothing is written. What this module cannot read,
a store of another layout, is None: then MLflow is asked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from concepthash.tracking.runs import Experiment, Run, RunData, RunInfo

PATIENCE_S = 20
"""How long another process may keep the file locked. MLflow waits as long."""


def experiments(file: Path) -> list[Experiment] | None:
    """All experiments, deleted ones too."""
    with connected(file) as connection:
        try:
            rows = connection.execute(
                "SELECT experiment_id, name, lifecycle_stage FROM experiments"
            ).fetchall()
        except sqlite3.Error:
            return None
    return [Experiment(str(number), name, stage) for number, name, stage in rows]


def runs(file: Path, experiment_id: str, kind: str) -> list[Run] | None:
    """The active runs of an experiment with the tag `kind`, newest first."""
    chosen = (
        "SELECT r.run_uuid FROM runs r JOIN tags k ON k.run_uuid = r.run_uuid"
        " WHERE r.experiment_id = ? AND r.lifecycle_stage = 'active'"
        " AND k.key = 'kind' AND k.value = ?"
    )
    of = (int(experiment_id), kind)
    with connected(file) as connection:
        try:
            connection.execute("BEGIN")  # all tables in one state
            infos = connection.execute(
                "SELECT run_uuid, status, start_time, artifact_uri FROM runs"
                f" WHERE run_uuid IN ({chosen}) ORDER BY start_time DESC, run_uuid",
                of,
            ).fetchall()
            found = {
                info[0]: Run(RunInfo(experiment_id, *info), RunData({}, {}, {})) for info in infos
            }
            for run, key, value in _of(connection, "tags", "key, value", chosen, of):
                found[run].data.tags[key] = value
            for run, key, value in _of(connection, "params", "key, value", chosen, of):
                found[run].data.params[key] = value
            for run, key, value, is_nan in _of(
                connection, "latest_metrics", "key, value, is_nan", chosen, of
            ):
                found[run].data.metrics[key] = float("nan") if is_nan else value
        except sqlite3.Error:
            return None
    return list(found.values())


def _of(
    connection: sqlite3.Connection, table: str, columns: str, chosen: str, of: tuple[int, str]
) -> sqlite3.Cursor:
    query = f"SELECT run_uuid, {columns} FROM {table} WHERE run_uuid IN ({chosen})"
    return connection.execute(query, of)


def history(file: Path, experiment_id: str, metric: str) -> list[tuple[str, int, float]] | None:
    """A metric in the active runs of an experiment, but for NaN: run, step, value."""
    with connected(file) as connection:
        try:
            return connection.execute(
                "SELECT m.run_uuid, m.step, m.value"
                " FROM metrics m JOIN runs r ON r.run_uuid = m.run_uuid"
                " WHERE r.experiment_id = ? AND r.lifecycle_stage = 'active' AND m.key = ?"
                " AND NOT m.is_nan",
                (int(experiment_id), metric),
            ).fetchall()
        except sqlite3.Error:
            return None


@contextmanager
def connected(file: Path, *, write: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection that creates no file."""
    uri = f"{file.absolute().as_uri()}?mode={'rw' if write else 'ro'}"
    with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE_S)) as connection:
        yield connection
