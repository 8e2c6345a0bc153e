"""The best trials of a search, chosen on the validation part."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from concepthash.report.tables import FINISHED, troubles
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
    table: SearchTable
    fields: tuple[str, ...]
    metrics: tuple[str, ...]
    best: tuple[SearchRow, ...]
    counts: dict[str, int]
    """Sampled trials by status; finished first."""
    frame: pl.DataFrame
    """All sampled trials, ranked ones first."""


def search_result(table: SearchTable, trials: pl.DataFrame) -> SearchResult:
    """Ranks the finished trials that `table` sampled; `trials` as from tables.prepared.

    Pruned trials stopped at another epoch than the finished ones, so they are counted, not ranked.
    """
    fields = tuple(table.search.space)
    metrics = tuple(dict.fromkeys((SELECT_BY, "test/map", table.metric)))
    mine = trials.filter(pl.col("table") == table.name)
    ranked = pl.when(pl.col("status") == FINISHED).then(SELECT_BY)
    frame = (
        mine.select(
            pl.lit(table.name).alias("table"),
            ranked.rank("min", descending=True).cast(pl.Int64).alias("rank"),
            "digest",
            "run_id",
            "status",
            "seed",
            *(_field(mine, name).alias(name) for name in fields),
            *metrics,
        )
        .sort("rank", "digest", nulls_last=True)
    )
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
    counts = {FINISHED: statuses.count(FINISHED), **troubles(statuses)}
    return SearchResult(table, fields, metrics, best, counts, frame)


def _field(frame: pl.DataFrame, name: str) -> pl.Expr:
    """The field's parameter; of a field with parts (language), its parts as `part = value`."""
    own = f"params/{name}"
    parts = [column for column in frame.columns if column.startswith(f"{own}.")]
    shown = [pl.lit(part.removeprefix(f"{own}.")) + " = " + pl.col(part) for part in parts]
    joined = pl.concat_str(shown, separator=", ", ignore_nulls=True) if shown else pl.lit("")
    joined = pl.when(joined != "").then(joined)
    if own not in frame.columns:
        return joined
    return pl.coalesce(pl.col(own).cast(pl.String), joined)


def _short(value: str | None) -> str:
    """A float to four digits; any other text as it is."""
    if value is None:
        return "–"
    try:
        number = float(value)
    except ValueError:
        return value
    return value if value.lstrip("-").isdigit() else f"{number:.4g}"
