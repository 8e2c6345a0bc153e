"""Reads the runs of a study into polars frames."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from concepthash.errors import InputError
from concepthash.spec import StudySpec
from concepthash.tracking import study_file
from concepthash.tracking.earlier import driver_is_alive, status_of, study_run
from concepthash.tracking.store import Store

_CURVES = ("train/total", "val/map")


class Frames(NamedTuple):
    trials: pl.DataFrame
    """A row a trial: digest, run_id, status, failure, seed, table, duration_s, device, started,
    each metric by its name, each parameter as `params/NAME`."""
    history: pl.DataFrame
    """digest, metric, step, value: the training curves."""
    provenance: dict[str, str]
    """What the report says of where its numbers come from."""


def read_study(store: Store, study: str) -> Frames:
    """Every trial of a study, by its newest run. Raises InputError if the store has none.

    A run without a digest is none of ours and left out.
    """
    experiment = store.experiment(study)
    parent = study_run(store, experiment.experiment_id) if experiment else None
    if experiment is None or parent is None:
        raise InputError(
            f"{store.uri}: has no study {study}{_known(store)}; run it first:"
            f" concepthash-study run FILE"
        )
    runs = store.runs(experiment.experiment_id, "tags.kind = 'trial'")
    newest = {run.data.tags["digest"]: run for run in reversed(runs) if "digest" in run.data.tags}
    alive = driver_is_alive(parent)
    rows = [_row(run, driver_alive=alive) for run in newest.values()]
    trials = pl.DataFrame(rows, schema=_schema(rows)).sort("started", "digest")
    return Frames(trials, _history(store, newest.values()), _provenance(store, parent))


def read_spec(store: Store, study: str | None) -> StudySpec:
    """The study as it was last run; without a name, the study that ran last of all.

    Raises InputError if there is none, or if another version recorded it in another layout.
    """
    parents = [
        (float(run.data.tags.get("last_started", 0)), name, run)
        for name, experiment_id in _experiments(store)
        if study in (None, name)
        for run in store.runs(experiment_id, "tags.kind = 'study'")
    ]
    if not parents:
        what = f"no study {study}{_known(store)}" if study else "no study yet"
        raise InputError(f"{store.uri}: has {what}; run one first: concepthash-study run FILE")
    _, name, newest = max(parents, key=lambda parent: parent[0])
    where = f"{store.uri}: study {name}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = store.client.download_artifacts(newest.info.run_id, study_file.FILE, folder)
        except (MlflowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{where}: its {study_file.FILE} cannot be read ({reason}); name the study's file:"
                " concepthash-study report FILE"
            ) from error
        return study_file.parse(Path(path).read_text(), where)


def _experiments(store: Store) -> list[tuple[str, str]]:
    if not store.exists:
        return []
    found = store.client.search_experiments()
    return [(experiment.name, experiment.experiment_id) for experiment in found]


def _known(store: Store) -> str:
    names = [name for name, _ in _experiments(store) if name != "Default"]
    return f" (it has {', '.join(sorted(names))})" if names else ""


def _row(run: Run, *, driver_alive: bool) -> dict[str, Any]:
    tags, info = run.data.tags, run.info
    return {
        "digest": tags["digest"],
        "run_id": str(info.run_id),
        "status": status_of(run, driver_alive=driver_alive),
        "failure": tags.get("failure"),
        "seed": int(tags["seed"]) if "seed" in tags else None,
        "table": tags.get("table"),
        "duration_s": run.data.metrics.get("time/total_s"),
        "device": tags.get("device", ""),
        "started": datetime.fromtimestamp(info.start_time / 1000, UTC),
        **run.data.metrics,
        **{f"params/{name}": value for name, value in run.data.params.items()},
    }


def _schema(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The fixed columns, and whatever metrics and parameters there are."""
    fixed: dict[str, Any] = {
        "digest": pl.String,
        "run_id": pl.String,
        "status": pl.String,
        "failure": pl.String,
        "seed": pl.Int64,
        "table": pl.String,
        "duration_s": pl.Float64,
        "device": pl.String,
        "started": pl.Datetime("ms", "UTC"),
    }
    names = dict.fromkeys(name for row in rows for name in row if name not in fixed)
    return fixed | {n: pl.String if n.startswith("params/") else pl.Float64 for n in names}


def _history(store: Store, runs: Iterable[Run]) -> pl.DataFrame:
    points = [
        (run.data.tags["digest"], metric, point.step, point.value)
        for run in runs
        for metric in _CURVES
        if metric in run.data.metrics
        for point in store.client.get_metric_history(run.info.run_id, metric)
    ]
    schema = {"digest": pl.String, "metric": pl.String, "step": pl.Int64, "value": pl.Float64}
    return (
        pl.DataFrame(points, schema=schema, orient="row").unique().sort("digest", "metric", "step")
    )


def _provenance(store: Store, parent: Run) -> dict[str, str]:
    tags = parent.data.tags
    commit = tags.get("mlflow.source.git.commit", "unknown")
    dirty = " (with uncommitted changes)" if tags.get("git.dirty") == "true" else ""
    started = "at an unknown time"
    if "last_started" in tags:
        started = f"{datetime.fromtimestamp(float(tags['last_started']), UTC):%Y-%m-%d %H:%M} UTC"
    packages = {k.removeprefix("version."): v for k, v in tags.items() if k.startswith("version.")}
    return {
        "Last run": f"{started} on {tags.get('owner.host', '?')}",
        "Git commit": commit + dirty,
        "Versions": ", ".join(f"{name} {number}" for name, number in sorted(packages.items())),
        "Store": store.uri if store.file is None else store.file.name,
        "MLflow": f"experiment {parent.info.experiment_id}, run {parent.info.run_id}",
    }
