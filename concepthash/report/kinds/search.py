"""Searches: the best trials of those sampled, chosen on the validation split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from concepthash.plan import Plan, TablePlan
from concepthash.report.cells import FINISHED, baseline_trials, count_unfinished, outcomes
from concepthash.report.kinds.base import TableReport
from concepthash.report.statistics import Summary, summarize
from concepthash.report.wording import (
    counted,
    in_terminal,
    metric_name,
    number,
    plural,
    protocols_in_caption,
    sentences,
)
from concepthash.spec import SearchTable

SELECT_BY = "val/map"


@dataclass(frozen=True)
class SearchRow:
    rank: int
    digest: str
    values: tuple[str, ...]
    """Of the searched fields, in order."""
    metrics: tuple[float | None, ...]


@dataclass(frozen=True)
class SearchResult:
    """A search with its numbers."""

    table: SearchTable
    fields: tuple[str, ...]
    metrics: tuple[str, ...]
    best: tuple[SearchRow, ...]
    counts: dict[str, int]
    """Sampled trials by status; finished first."""
    baseline: tuple[Summary | None, ...]
    """The baseline's metrics, if its trials are part of the study."""
    baseline_values: tuple[str, ...]
    frame: pl.DataFrame
    """All sampled trials, ranked ones first."""

    @property
    def has_baseline(self) -> bool:
        return any(self.baseline)


def report(plan: Plan, planned: TablePlan, trials: pl.DataFrame) -> TableReport:
    result = search_result(plan, planned, trials)
    caption = _caption(plan, result)
    return TableReport(
        result.table,
        result,
        frame=result.frame,
        caption=caption,
        tex_caption=caption,
        head=(_sampled(result), *map(metric_name, result.metrics), "trial"),
        lines=tuple(_lines(result)),
        best=result.best[0].digest if result.best else None,
        places=tuple((digest, "sampled") for digest in result.frame["digest"]),
        sampled=result.frame.height,
        to_sample=result.table.search.trials,
    )


def _lines(result: SearchResult) -> Iterator[tuple[str, ...]]:
    """In a terminal: the best trials and the baseline."""
    for row in result.best:
        changed = zip(result.fields, row.values, strict=True)
        values = zip(row.metrics, result.metrics, strict=True)
        label = ", ".join(f"{field} = {value}" for field, value in changed if value != "–")
        best = " *" if row.rank == 1 else ""
        numbers = (number(value, metric) for value, metric in values)
        yield label, *numbers, f"{row.digest}{best}"
    if result.has_baseline:
        means = zip(result.baseline, result.metrics, strict=True)
        yield "baseline", *(in_terminal(s, metric, {}) if s else "–" for s, metric in means), ""


def _sampled(result: SearchResult) -> str:
    """`6 of 6 trials: 4 finished, 2 pruned`."""
    words = f"{result.frame.height} of {plural(result.table.search.trials, 'trial')}"
    return f"{words}: {counted(result.counts)}" if result.frame.height else words


def search_result(plan: Plan, planned: TablePlan, trials: pl.DataFrame) -> SearchResult:
    """Ranks the finished trials that the search sampled; `trials` as from `cells.prepared`.

    Pruned trials stopped at another epoch than the finished ones, so they are counted, not ranked.
    """
    table = planned.table
    assert isinstance(table, SearchTable)
    fields = tuple(table.search.space)
    metrics = tuple(dict.fromkeys((SELECT_BY, "test/map", table.metric)))
    mine = trials.filter(pl.col("table") == table.name)
    ranked = pl.when(pl.col("status") == FINISHED).then(SELECT_BY)
    frame = mine.select(
        pl.lit(table.name).alias("table"),
        ranked.rank("min", descending=True).cast(pl.Int64).alias("rank"),
        "digest",
        "run_id",
        "status",
        "seed",
        *(_field(mine, name).alias(name) for name in fields),
        *metrics,
    ).sort("rank", "digest", nulls_last=True)
    shown = frame.filter(pl.col("rank").is_not_null()).head(table.search.show)
    best = tuple(
        SearchRow(
            row["rank"],
            row["digest"],
            tuple(_short(row[name]) for name in fields),
            tuple(row[name] for name in metrics),
        )
        for row in shown.iter_rows(named=True)
    )
    statuses = mine["status"].to_list()
    counts = {FINISHED: statuses.count(FINISHED), **count_unfinished(statuses)}
    parameters = plan.baseline.parameters()
    usual = [t for t in baseline_trials(plan, {}) if t.digest in plan.trials]
    baseline = tuple(
        summarize(outcomes(trials, usual, metric)["value"].drop_nulls().to_list())
        for metric in metrics
    )
    values = tuple(_short(_own(parameters, name, _parts(mine, name))) for name in fields)
    return SearchResult(table, fields, metrics, best, counts, baseline, values, frame)


def _parts(frame: pl.DataFrame, name: str) -> list[str]:
    """Of a field that is a mapping (language): the parts that differ, or else what chooses it."""
    parts = [column for column in frame.columns if column.startswith(f"params/{name}.")]
    varied = [part for part in parts if frame[part].drop_nulls().n_unique() > 1]
    return varied or [part for part in parts if part.endswith((".source", ".name"))] or parts[:1]


def _field(frame: pl.DataFrame, name: str) -> pl.Expr:
    """The field's own parameter, or else its parts."""
    shown = [pl.col(column) for column in [f"params/{name}"] if column in frame.columns]
    if parts := _parts(frame, name):
        joined = pl.concat_str(parts, separator=", ", ignore_nulls=True)
        shown.append(pl.when(joined != "").then(joined))
    return pl.coalesce(shown).cast(pl.String) if shown else pl.lit(None, dtype=pl.String)


def _own(parameters: Mapping[str, object], name: str, parts: Sequence[str]) -> str | None:
    """The same of one trial's parameters."""
    if name in parameters:
        return str(parameters[name])
    found = [parameters.get(part.removeprefix("params/")) for part in parts]
    return ", ".join(str(value) for value in found if value is not None) or None


def _short(value: str | None) -> str:
    """A float to four digits; any other text as it is."""
    if value is None:
        return "–"
    try:
        number = float(value)
    except ValueError:
        return value
    return value if value.lstrip("-").isdigit() else f"{number:.4g}"


def _caption(plan: Plan, result: SearchResult) -> str:
    search = result.table.search
    best = f"the best {len(result.best)}" if len(result.best) > 1 else "the best trial"
    protocol = protocols_in_caption([plan.baseline.spec], "test/map")
    return sentences(
        [
            f"{result.frame.height} of {plural(search.trials, 'planned trial')} sampled (TPE,"
            f" sampler seed {search.seed}): {counted(result.counts)}",
            f"Shown: {best}, ranked by {metric_name(SELECT_BY)}; the choice is made on the"
            " validation split alone, without the test numbers beside it",
            f"Data set {plan.study.dataset.title}; {protocol}",
            "Pruned trials were stopped early and are not ranked"
            if result.counts.get("pruned")
            else "",
        ]
    )
