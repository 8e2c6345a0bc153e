"""Reads the runs of a study into polars frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import polars as pl

from concepthash.errors import InputError
from concepthash.plan import Plan
from concepthash.tracking import study_file
from concepthash.tracking.earlier import driver_is_alive, segments_of, status_of, study_run
from concepthash.tracking.runs import Run
from concepthash.tracking.source import Source, source_of
from concepthash.tracking.store import Store
from concepthash.tracking.versions import COMMIT, DIRTY, NO_COMMIT

_CURVES = ("train/total", "val/map")


class Frames(NamedTuple):
    trials: pl.DataFrame
    """A row a trial: digest, run_id, status, failure, seed, table, duration_s, device, precision,
    processor, commit, started, each metric by its name, each parameter as `params/NAME`."""
    history: pl.DataFrame
    """digest, metric, step, value: the training curves."""
    provenance: dict[str, str]
    """What the report says of where its numbers come from."""
    source: Source | None
    """By which arguments it was run; None of a study that an older version ran."""


def read_study(store: Store, study: str) -> Frames:
    """Every trial of a study, by its newest run. Raises InputError if the store has none.

    A run without a digest is none of ours and left out.
    """
    experiment = store.experiment(study)
    parent = study_run(store, experiment.experiment_id) if experiment else None
    if experiment is None or parent is None:
        raise InputError(f"{store}: has no study {study}{_known(store)}; {_first(store)}")
    runs = store.runs(experiment.experiment_id, "trial")
    newest = {run.data.tags["digest"]: run for run in reversed(runs) if "digest" in run.data.tags}
    alive = driver_is_alive(parent)
    rows = [_row(run, driver_alive=alive) for run in newest.values()]
    trials = pl.DataFrame(rows, schema=_schema(rows)).sort("started", "digest")
    provenance = _provenance(store, parent, trials)
    source = source_of(parent.data.tags)
    return Frames(trials, _history(store, [*newest.values()]), provenance, source)


def read_plan(store: Store, study: str | None) -> Plan:
    """The study as it was last run; without a name, the study that ran last of all.

    Raises InputError if there is none, or if another version recorded it in another layout.
    """
    parents = [
        (float(run.data.tags.get("last_started", 0)), name, run)
        for name, experiment_id in _experiments(store)
        if study in (None, name)
        for run in store.runs(experiment_id, "study")
    ]
    if not parents:
        what = f"no study {study}{_known(store)}" if study else "no study yet"
        raise InputError(f"{store}: has {what}; {_first(store)}")
    _, name, newest = max(parents, key=lambda parent: parent[0])
    where = f"{store}: study {name}"
    try:
        text = store.text(newest, study_file.FILE)
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{where}: its {study_file.FILE} cannot be read ({reason}); name the study's file:"
            " concepthash-study report FILE"
        ) from error
    return study_file.parse(text, where)


def _experiments(store: Store) -> list[tuple[str, str]]:
    return [(experiment.name, experiment.experiment_id) for experiment in store.experiments()]


def _first(store: Store) -> str:
    """What to do before there is anything to read."""
    run = "run one first: concepthash-study run FILE"
    if store.exists:
        return run
    return f"nothing was run here yet; {run}, or name the store of its runs with --tracking-uri"


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
        "precision": _of_segments(run, "precision"),
        "processor": _of_segments(run, "processor"),
        "commit": _of_segments(run, COMMIT),
        "started": datetime.fromtimestamp(info.start_time / 1000, UTC),
        **run.data.metrics,
        **{f"params/{name}": value for name, value in run.data.params.items()},
    }


def _of_segments(run: Run, name: str) -> str:
    """What a tag was while the trial was trained: `bf16`, or `fp32, then bf16`."""
    values = [str(segment[name]) for segment in segments_of(run) if name in segment]
    return ", then ".join(dict.fromkeys(values))


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
        "precision": pl.String,
        "processor": pl.String,
        "commit": pl.String,
        "started": pl.Datetime("ms", "UTC"),
    }
    names = dict.fromkeys(name for row in rows for name in row if name not in fixed)
    return fixed | {n: pl.String if n.startswith("params/") else pl.Float64 for n in names}


def _history(store: Store, runs: Sequence[Run]) -> pl.DataFrame:
    digests = {run.info.run_id: run.data.tags["digest"] for run in runs}
    points = [
        (digests[run], metric, step, value)
        for metric in _CURVES
        for run, step, value in store.history(runs, metric)
    ]
    schema = {"digest": pl.String, "metric": pl.String, "step": pl.Int64, "value": pl.Float64}
    return (
        pl.DataFrame(points, schema=schema, orient="row").unique().sort("digest", "metric", "step")
    )


def _provenance(store: Store, parent: Run, trials: pl.DataFrame) -> dict[str, str]:
    tags = parent.data.tags
    commit = tags.get(COMMIT, "unknown")
    if tags.get(DIRTY) == "true":
        commit += " (with uncommitted changes)"
    if why := tags.get(NO_COMMIT):
        commit = f"unknown ({why}, version {tags.get('version.concepthash-study', '?')})"
    trained = trials.filter(pl.col("commit") != "")["commit"].value_counts(sort=True).rows()
    if len(trained) > 1:
        commit += "; trials were trained at "
        commit += ", ".join(f"{which[:12]} ({count})" for which, count in trained)
    started = "at an unknown time"
    if "last_started" in tags:
        started = f"{datetime.fromtimestamp(float(tags['last_started']), UTC):%Y-%m-%d %H:%M} UTC"
    packages = {k.removeprefix("version."): v for k, v in tags.items() if k.startswith("version.")}
    return {
        "Last run": f"{started} on {tags.get('owner.host', '?')}",
        "Git commit": commit,
        "Versions": ", ".join(f"{name} {number}" for name, number in sorted(packages.items())),
        "Store": str(store) if store.file is None else store.file.name,
        "MLflow": f"experiment {parent.info.experiment_id}, run {parent.info.run_id}",
    }
