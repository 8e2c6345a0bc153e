"""From the frame of runs to the plain values of every cell of a grid table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from concepthash.plan import Plan, TablePlan, Trial, seeded
from concepthash.report.statistics import Mark, Summary, marks, paired_difference, summarize
from concepthash.report.words import as_shown, field_name
from concepthash.spec import LOWER_IS_BETTER, METRICS, GridTable, StudySpec

FINISHED, MISSING, NO_VALUE = "finished", "missing", "no value"
TROUBLES = ("failed", "interrupted", "pruned", "running", MISSING, NO_VALUE)
"""Why a trial adds nothing to its cell, in the order in which notes list it."""

COLUMNS: dict[str, type[pl.DataType]] = {
    "digest": pl.String,
    "run_id": pl.String,
    "status": pl.String,
    "failure": pl.String,
    "seed": pl.Int64,
    "table": pl.String,
    "duration_s": pl.Float64,
    "device": pl.String,
    **dict.fromkeys(METRICS, pl.Float64),
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
    """None where the trial has not finished."""
    intervals: tuple[tuple[float, float] | None, ...]
    """Each trial's bootstrap interval over queries and classes; test/map alone has one."""
    summary: Summary | None
    delta: Summary | None = None
    """Paired difference to the baseline in the same column; None where that is unknown."""
    is_baseline: bool = False
    """Whether the cell is the baseline of its column, with which the others are compared."""
    mark: Mark = ""

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
    def troubles(self) -> dict[str, int]:
        return troubles(self.statuses)

    def by_seed(self) -> dict[int, float]:
        pairs = zip(self.seeds, self.values, strict=True)
        return {seed: value for seed, value in pairs if value is not None}


@dataclass(frozen=True)
class GridResult:
    """A grid table with its numbers."""

    table: GridTable
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[CellResult, ...]

    def cell(self, row: str, column: str) -> CellResult:
        return next(cell for cell in self.cells if (cell.row, cell.column) == (row, column))

    def in_rows(self) -> list[list[CellResult]]:
        return [[self.cell(row, column) for column in self.columns] for row in self.rows]

    @property
    def one_column(self) -> bool:
        """Whether the columns vary nothing, so that the metric is all there is to head them."""
        return len(self.table.columns) == 1 and not self.table.columns[0].changes

    @property
    def row_head(self) -> str:
        """The field that the rows vary, if it is one."""
        fields = {field for row in self.table.rows for field in row.changes}
        return field_name(fields.pop()) if len(fields) == 1 else "Variant"

    @property
    def has_deltas(self) -> bool:
        return any(cell.delta for cell in self.cells)


def troubles(statuses: Iterable[str]) -> dict[str, int]:
    """Counts of whatever is not finished, in a fixed order; unknown words come last."""
    counts = Counter(status for status in statuses if status != FINISHED)
    order = [*TROUBLES, *sorted(set(counts) - set(TROUBLES))]
    return {status: counts[status] for status in order if counts[status]}


def prepared(trials: pl.DataFrame) -> pl.DataFrame:
    """The frame with every column that the report reads, typed; absent ones are null."""
    return typed(trials, COLUMNS).with_columns(
        # NaN and infinity are no results.
        pl.when(pl.col(name).is_finite()).then(name).alias(name)
        for name in METRICS
    )


def typed(frame: pl.DataFrame, columns: Mapping[str, type[pl.DataType]]) -> pl.DataFrame:
    """The frame with these columns, cast; an empty frame may come without any."""
    return frame.with_columns(
        pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, kind).alias(name)
        for name, kind in columns.items()
    )


def outcomes(trials: pl.DataFrame, planned: Iterable[Trial], metric: str) -> pl.DataFrame:
    """A row a planned trial: digest, seed, status, value (null unless finished)."""
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


def grid_results(plan: Plan, trials: pl.DataFrame) -> tuple[GridResult, ...]:
    """Every grid table of the plan; `trials` as from `prepared`."""
    return tuple(
        _grid(plan, planned, planned.table, trials)
        for planned in plan.tables
        if isinstance(planned.table, GridTable)
    )


def baseline_trials(study: StudySpec, changes: Mapping[str, object]) -> tuple[Trial, ...]:
    """The baseline with a column's changes; none where they make no valid trial alone."""
    try:
        return seeded(study, dict(changes))
    except ValueError:
        return ()


def _grid(plan: Plan, planned: TablePlan, table: GridTable, trials: pl.DataFrame) -> GridResult:
    columns: dict[str, list[CellResult]] = {}
    for column in table.columns:
        reference = [
            trial
            for trial in baseline_trials(plan.study, column.changes)
            if trial.digest in plan.trials
        ]
        base = cell_result("", "", outcomes(trials, reference, table.metric))
        cells = []
        for row in table.rows:
            wanted = planned.cell(row.label, column.label).trials
            cell = cell_result(row.label, column.label, outcomes(trials, wanted, table.metric))
            own = cell.digests == base.digests
            delta = None if own else paired_difference(cell.by_seed(), base.by_seed())
            cells.append(replace(cell, delta=delta, is_baseline=own))
        columns[column.label] = _marked(cells, table.metric)
    return GridResult(
        table,
        tuple(row.label for row in table.rows),
        tuple(columns),
        tuple(cell for line in zip(*columns.values(), strict=True) for cell in line),
    )


def cell_result(row: str, column: str, frame: pl.DataFrame) -> CellResult:
    """The cell of `frame`, as from `outcomes`."""
    values = frame["value"].to_list()
    ends = zip(frame["low"], frame["high"], strict=True)
    return CellResult(
        row,
        column,
        tuple(frame["seed"]),
        tuple(frame["digest"]),
        tuple(frame["status"]),
        tuple(values),
        tuple((low, high) if None not in (low, high) else None for low, high in ends),
        summarize([value for value in values if value is not None]),
    )


def _marked(cells: list[CellResult], metric: str) -> list[CellResult]:
    """Ranks complete cells by their means as printed, so that equal numbers look equal."""
    means = [
        as_shown(cell.summary.mean, metric) if cell.complete and cell.summary else None
        for cell in cells
    ]
    ranks = marks(means, lower_is_better=metric in LOWER_IS_BETTER)
    return [replace(cell, mark=mark) for cell, mark in zip(cells, ranks, strict=True)]


def query_spread(result: GridResult) -> float | None:
    """Half the width of a trial's bootstrap interval over queries and classes, on average."""
    found = [ends for cell in result.cells for ends in cell.intervals if ends]
    return sum(high - low for low, high in found) / (2 * len(found)) if found else None


def numeric_columns(result: GridResult) -> tuple[str, list[float]] | None:
    """The one field that the columns vary and its numbers, or None."""
    changes = [column.changes for column in result.table.columns]
    fields = {field for change in changes for field in change}
    if len(changes) < 2 or len(fields) != 1 or not all(changes):
        return None
    field = fields.pop()
    values = [change[field] for change in changes]
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    return field, [float(value) for value in values]


def tidy(result: GridResult) -> pl.DataFrame:
    """A row a cell, numbers unrounded and in the metric's own unit (mAP from 0 to 1)."""
    return pl.DataFrame([_tidy_row(result.table, cell) for cell in result.cells]).with_columns(
        pl.col("mean", "std", "min", "max", "^(value|low|high)_seed_.*$").cast(pl.Float64)
    )


def _by_seed(cell: CellResult) -> list[tuple[int, tuple[float, float] | None]]:
    return list(zip(cell.seeds, cell.intervals, strict=True))


def _tidy_row(table: GridTable, cell: CellResult) -> dict[str, object]:
    summary = cell.summary
    counts = cell.troubles
    other = sum(counts.values()) - counts.get("failed", 0) - counts.get(MISSING, 0)
    return {
        "table": table.name,
        "row": cell.row,
        "column": cell.column,
        "metric": table.metric,
        "mean": summary.mean if summary else None,
        "std": summary.std if summary else None,
        "n": cell.n,
        "planned": cell.planned,
        "failed": counts.get("failed", 0),
        "missing": counts.get(MISSING, 0),
        "unfinished": other,
        "min": summary.low if summary else None,
        "max": summary.high if summary else None,
        **{f"value_seed_{s}": v for s, v in zip(cell.seeds, cell.values, strict=True)},
        **{f"low_seed_{s}": e[0] if e else None for s, e in _by_seed(cell)},
        **{f"high_seed_{s}": e[1] if e else None for s, e in _by_seed(cell)},
        **{f"digest_seed_{s}": d for s, d in zip(cell.seeds, cell.digests, strict=True)},
    }
