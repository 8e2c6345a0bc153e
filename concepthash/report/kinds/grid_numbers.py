"""The numbers of a grid: a value for each row and column, beside the baseline of its column."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from concepthash.plan import Cell, Plan, TablePlan
from concepthash.report.cells import CellResult, baseline_trials, cell_result
from concepthash.report.statistics import Mark, Summary, marks, paired_differences, summarize
from concepthash.report.wording import as_shown, field_name, lower_is_better
from concepthash.spec import GridTable


@dataclass(frozen=True)
class GridCell(CellResult):
    """A cell beside the baseline of its column."""

    delta: Summary | None = None
    """Paired difference to the baseline; None of the baseline itself and where it is unknown."""
    is_baseline: bool = False
    mark: Mark = ""


@dataclass(frozen=True)
class GridResult:
    """A grid with its numbers."""

    table: GridTable
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[GridCell, ...]
    """Row by row."""

    def cell(self, row: str, column: str) -> GridCell:
        return next(cell for cell in self.cells if (cell.row, cell.column) == (row, column))

    def in_rows(self) -> list[list[GridCell]]:
        return [[self.cell(row, column) for column in self.columns] for row in self.rows]

    @property
    def one_column(self) -> bool:
        """Whether the columns vary nothing, so that the metric heads the only one."""
        return len(self.table.columns) == 1 and not self.table.columns[0].changes

    @property
    def row_head(self) -> str:
        """The field that the rows vary, if it is one."""
        fields = {field for row in self.table.rows for field in row.changes}
        return field_name(fields.pop()) if len(fields) == 1 else "Variant"


def grid_result(plan: Plan, planned: TablePlan, trials: pl.DataFrame) -> GridResult:
    """The numbers of a grid table; `trials` as from `cells.prepared`."""
    table = planned.table
    assert isinstance(table, GridTable)
    columns: dict[str, list[GridCell]] = {}
    for column in table.columns:
        reference = tuple(
            trial for trial in baseline_trials(plan, column.changes) if trial.digest in plan.trials
        )
        base = cell_result(Cell("", column.label, table.metric, reference, ""), trials)
        cells = []
        for row in table.rows:
            cell = cell_result(planned.cell(row.label, column.label), trials)
            is_baseline = cell.digests == base.digests
            pairs = () if is_baseline else paired_differences(cell.by_seed(), base.by_seed())
            cells.append(GridCell(**vars(cell), delta=summarize(pairs), is_baseline=is_baseline))
        columns[column.label] = _marked(cells, table.metric)
    return GridResult(
        table,
        tuple(row.label for row in table.rows),
        tuple(columns),
        tuple(cell for line in zip(*columns.values(), strict=True) for cell in line),
    )


def _marked(cells: list[GridCell], metric: str) -> list[GridCell]:
    """Complete cells ranked by their means as printed: two that print equal are a tie."""
    means = [
        as_shown(cell.summary.mean, metric) if cell.complete and cell.summary else None
        for cell in cells
    ]
    ranks = marks(means, lower_is_better=lower_is_better(metric))
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
