"""From the frame of runs to the values of each cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from concepthash.evaluation.catalogue import TABLE_METRICS
from concepthash.plan import Cell, Plan, Trial, seeded
from concepthash.report.statistics import Summary, summarize

FINISHED, MISSING, NO_VALUE = "finished", "missing", "no value"
UNFINISHED = ("failed", "interrupted", "pruned", "running", MISSING, NO_VALUE)
"""Why a trial adds no value to its cell, in the order in which notes list it."""

COLUMNS: dict[str, type[pl.DataType]] = {
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
    **dict.fromkeys(TABLE_METRICS, pl.Float64),
    "test/map_low": pl.Float64,
    "test/map_high": pl.Float64,
}


@dataclass(frozen=True)
class CellResult:
    """One cell; the tuples run over its seeds."""

    row: str
    column: str
    seeds: tuple[int, ...]
    digests: tuple[str, ...]
    statuses: tuple[str, ...]
    values: tuple[float | None, ...]
    """In the metric's own unit (mAP in [0, 1]); None where the trial has no value."""
    intervals: tuple[tuple[float, float] | None, ...]
    """Each trial's bootstrap interval over queries and classes; test/map alone has one."""
    summary: Summary | None

    @property
    def planned(self) -> int:
        return len(self.seeds)

    @property
    def complete(self) -> bool:
        return all(status == FINISHED for status in self.statuses)

    @property
    def n(self) -> int:
        return self.summary.n if self.summary else 0

    @property
    def unfinished(self) -> dict[str, int]:
        return count_unfinished(self.statuses)

    def by_seed(self) -> dict[int, float]:
        pairs = zip(self.seeds, self.values, strict=True)
        return {seed: value for seed, value in pairs if value is not None}


def count_unfinished(statuses: Iterable[str]) -> dict[str, int]:
    """How often each status other than finished occurs, in a fixed order; unknown ones last."""
    counts = Counter(status for status in statuses if status != FINISHED)
    order = [*UNFINISHED, *sorted(set(counts) - set(UNFINISHED))]
    return {status: counts[status] for status in order if counts[status]}


def prepared(trials: pl.DataFrame) -> pl.DataFrame:
    """The frame with every column that the report reads, typed; absent ones are null."""
    return typed(trials, COLUMNS).with_columns(
        # NaN and infinity are no results.
        pl.when(pl.col(name).is_finite()).then(name).alias(name)
        for name in TABLE_METRICS
    )


def typed(frame: pl.DataFrame, columns: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    """The frame with these columns, cast; an empty frame may come without any."""
    return frame.with_columns(
        pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, kind).alias(name)
        for name, kind in columns.items()
    )


def outcomes(trials: pl.DataFrame, planned: Iterable[Trial], metric: str) -> pl.DataFrame:
    """A row a planned trial: digest, seed, status, value, low, high (null unless finished).

    `trials` as from `prepared`.
    """
    wanted = pl.DataFrame(
        [(trial.digest, trial.seed) for trial in planned],
        schema={"digest": pl.String, "seed": pl.Int64},
        orient="row",
    )
    columns = {"value": metric, "low": f"{metric}_low", "high": f"{metric}_high"}
    found = trials.select(
        "digest",
        "status",
        *(
            (pl.col(column) if column in trials.columns else pl.lit(None, pl.Float64)).alias(name)
            for name, column in columns.items()
        ),
    )
    done = pl.col("status") == FINISHED
    return (
        wanted.join(found, on="digest", how="left", maintain_order="left")
        .with_columns(pl.col("status").fill_null(MISSING))
        .with_columns(
            value=pl.when(done).then("value"),
            status=pl.when(done & pl.col("value").is_null())
            .then(pl.lit(NO_VALUE))
            .otherwise("status"),
        )
    )


def cell_result(cell: Cell, trials: pl.DataFrame) -> CellResult:
    """The values of a planned cell; `trials` as from `prepared`."""
    frame = outcomes(trials, cell.trials, cell.metric)
    values = frame["value"].to_list()
    ends = zip(frame["low"], frame["high"], strict=True)
    return CellResult(
        cell.row,
        cell.column,
        tuple(frame["seed"]),
        tuple(frame["digest"]),
        tuple(frame["status"]),
        tuple(values),
        tuple((low, high) if None not in (low, high) else None for low, high in ends),
        summarize([value for value in values if value is not None]),
    )


def baseline_trials(plan: Plan, changes: Mapping[str, object]) -> tuple[Trial, ...]:
    """The baseline with a column's changes; none where they make no valid trial by themselves."""
    try:
        return seeded(plan.study, changes, plan.baseline.contents)
    except ValueError:
        return ()
