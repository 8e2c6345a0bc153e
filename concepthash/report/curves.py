"""Training curves: the mean over seeds of each configuration, by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from concepthash.plan import Plan
from concepthash.report.cells import baseline_trials, typed
from concepthash.report.figures import ACCENT, PALE, WIDTH, laid_out, style
from concepthash.report.wording import metric_name, plural, scaled

COLUMNS = {"digest": pl.String, "metric": pl.String, "step": pl.Int64, "value": pl.Float64}
METRICS = {"train/total": "training loss", "val/map": metric_name("val/map")}


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
    usual = tuple(trial.digest for trial in baseline_trials(plan, {}))
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


def curves_figure(curves: Mapping[str, Sequence[Curve]]) -> Figure | None:
    """Each metric's curves by epoch, the baseline on top; None if there are none."""
    drawn = {metric: curves[metric] for metric in METRICS if curves.get(metric)}
    if not drawn:
        return None
    with style():
        figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
        panels = figure.subplots(1, len(drawn), squeeze=False, sharex=True)[0]
        for axes, (metric, lines) in zip(panels, drawn.items(), strict=True):
            _panel(axes, metric, lines)
        steps = {step for lines in drawn.values() for curve in lines for step in curve.steps}
        if len(steps) == 1:
            panels[0].set_xlim(min(steps) - 0.5, min(steps) + 0.5)
        return laid_out(figure)


def curves_caption(curves: Mapping[str, Sequence[Curve]]) -> str:
    most = max(curves.values(), key=len)
    lines = f"Means over seeds of {plural(len(most), 'configuration')}, by epoch"
    has_baseline = any(curve.is_baseline for curve in most)
    blue = "; blue: the baseline, with the range of its seeds" if has_baseline else ""
    return (
        f"{lines}{blue}. Each configuration’s training loss has its own weights, so their values"
        " cannot be compared with each other."
    )


def _panel(axes: Axes, metric: str, curves: Sequence[Curve]) -> None:
    axes.grid(axis="y")
    for curve in curves:
        mean, low, high = (
            [scaled(value, metric) for value in values]
            for values in (curve.mean, curve.low, curve.high)
        )
        # A line through one epoch would not show.
        marker = "o" if len(curve.steps) == 1 else None
        if not curve.is_baseline:
            axes.plot(curve.steps, mean, marker=marker, ms=3, color=PALE, linewidth=0.8, zorder=2)
            continue
        axes.fill_between(curve.steps, low, high, color=ACCENT, alpha=0.18, linewidth=0, zorder=3)
        if marker:
            axes.vlines(curve.steps, low, high, color=ACCENT, alpha=0.35, linewidth=3, zorder=3)
        axes.plot(curve.steps, mean, marker=marker, ms=4, color=ACCENT, linewidth=1.8, zorder=4)
        axes.annotate("baseline", (curve.steps[-1], mean[-1]), (4, 0), color=ACCENT,
                      textcoords="offset points", va="center", annotation_clip=False)  # fmt: skip
    axes.set_xlabel("epoch")
    axes.set_title(METRICS[metric], loc="left")
    axes.xaxis.set_major_locator(
        MaxNLocator(nbins=6, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])
    )
    axes.margins(x=0.02)
