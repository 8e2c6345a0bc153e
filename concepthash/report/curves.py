"""Training curves: the mean over seeds of each configuration, by epoch."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from concepthash.plan import Plan
from concepthash.report.tables import baseline_trials, typed

COLUMNS = {"digest": pl.String, "metric": pl.String, "step": pl.Int64, "value": pl.Float64}
METRICS = {"train/total": "training loss", "val/map": "validation mAP@all (%)"}


@dataclass(frozen=True)
class Curve:
    """One configuration; the lists run over epochs that all its seeds have reached."""

    label: str
    is_baseline: bool
    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


def training_curves(plan: Plan, history: pl.DataFrame, metric: str) -> list[Curve]:
    """A curve for each distinct cell of the plan that has left any history; baseline last."""
    usual = tuple(trial.digest for trial in baseline_trials(plan.study, {}))
    groups: dict[tuple[str, ...], str] = {}
    for table in plan.tables:
        for cell in table.cells:
            groups.setdefault(tuple(trial.digest for trial in cell.trials), cell.label)
    history = typed(history, COLUMNS)
    finite = history.filter((pl.col("metric") == metric) & pl.col("value").is_finite())
    found = [
        curve
        for digests, label in groups.items()
        if (curve := _curve(finite, digests, label, digests == usual)) is not None
    ]
    return sorted(found, key=lambda curve: curve.is_baseline)


def _curve(
    history: pl.DataFrame, digests: tuple[str, ...], label: str, is_baseline: bool
) -> Curve | None:
    mine = history.filter(pl.col("digest").is_in(digests))
    by_step = (
        mine.group_by("step")
        .agg(
            n=pl.col("digest").n_unique(),
            mean=pl.col("value").mean(),
            low=pl.col("value").min(),
            high=pl.col("value").max(),
        )
        # A trial that broke off would make the mean jump where it ends.
        .filter(pl.col("n") == mine["digest"].n_unique())
        .sort("step")
    )
    if by_step.is_empty():
        return None
    columns = (by_step[name].to_list() for name in ("step", "mean", "low", "high"))
    return Curve(label, is_baseline, *columns)
