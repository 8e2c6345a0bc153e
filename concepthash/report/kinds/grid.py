"""Grids: a cell for each row and column, compared with the baseline of its column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from concepthash.plan import Plan, TablePlan
from concepthash.report.cells import MISSING
from concepthash.report.kinds.base import TableReport
from concepthash.report.kinds.grid_numbers import (
    GridCell,
    GridResult,
    grid_result,
    numeric_columns,
    query_spread,
)
from concepthash.report.wording import (
    arrow,
    direction,
    in_terminal,
    is_percent,
    metric_name,
    number,
    protocols_in_caption,
    seeds_in_caption,
    sentences,
)
from concepthash.spec import GridTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def report(plan: Plan, planned: TablePlan, trials: pl.DataFrame) -> TableReport:
    result = grid_result(plan, planned, trials)
    parts = _caption(plan, planned, result)
    return TableReport(
        result.table,
        result,
        frame=grid_frame(result),
        caption=sentences([*parts, _about_differences(result)]),
        tex_caption=sentences(parts),  # a LaTeX table has no differences
        places=tuple(_places(planned)),
        head=_head(result),
        lines=tuple(_line(cells, result.table.metric) for cells in result.in_rows()),
        cells=result.cells,
        best=next((cell.digests[0] for cell in result.cells if cell.mark == "best"), None),
        draw=lambda: _figure(result),
        figure_caption=_figure_caption(result),
        without_figure="No trial of this table has finished, so there is no figure.",
    )


def _places(planned: TablePlan) -> Iterator[tuple[str, str]]:
    several = len({cell.column for cell in planned.cells}) > 1
    for cell in planned.cells:
        place = f"{cell.row} × {cell.column}" if several else cell.row
        yield from ((trial.digest, place) for trial in cell.trials)


def _figure(result: GridResult) -> Figure | None:
    from concepthash.report.kinds.grid_figure import grid_figure

    return grid_figure(result)


# --- in a terminal -------------------------------------------------------------------------


def _head(result: GridResult) -> tuple[str, ...]:
    metric = f"{metric_name(result.table.metric)} {arrow(result.table.metric)}"
    return (result.row_head, metric) if result.one_column else (metric, *result.columns)


def _line(cells: list[GridCell], metric: str) -> tuple[str, ...]:
    numbers = (
        in_terminal(cell.summary, metric, cell.unfinished, best=cell.mark == "best")
        for cell in cells
    )
    return cells[0].row, *numbers


# --- captions ------------------------------------------------------------------------------


def _caption(plan: Plan, planned: TablePlan, result: GridResult) -> list[str]:
    """Metric, data set, protocol, seeds and n, uncertainty, and how cells are marked."""
    study, metric = plan.study, result.table.metric
    specs = [trial.spec for cell in planned.cells for trial in cell.trials]
    parts = [
        f"{metric_name(metric)}, {direction(metric)}, on {study.dataset.title}"
        f" ({protocols_in_caption(specs, metric)}); {seeds_in_caption(study.seeds)}",
    ]
    if (width := query_spread(result)) is not None:
        parts.append(
            "Uncertainty of one trial from the choice of queries and classes:"
            f" ±{number(width, metric)} (half a 95 % bootstrap interval, mean over trials)"
        )
    if any(cell.mark for cell in result.cells):
        where = " of each column" if len(result.columns) > 1 else ""
        parts.append(
            f"Best{where} in bold, second underlined; ties share the mark; incomplete cells are"
            " not ranked"
        )
    return parts


def _about_differences(result: GridResult) -> str:
    if not any(cell.delta for cell in result.cells):
        return ""
    points = ", in percentage points" if is_percent(result.table.metric) else ""
    where = " of the same column" if len(result.columns) > 1 else ""
    return f"Δ: mean difference to the baseline{where}, paired by seed{points}"


def _figure_caption(result: GridResult) -> str:
    partial = any(cell.summary and not cell.complete for cell in result.cells)
    empty = [
        f"{cell.row} × {cell.column} ({', '.join(cell.unfinished)})"
        for cell in result.cells
        if cell.summary is None
    ]
    if numeric_columns(result):
        parts = [
            "Marks: means; bars: ± one standard deviation; dots beside them: single seeds",
            "Hollow mark: not all seeds finished" if partial else "",
            f"Without a value: {'; '.join(empty)}" if empty else "",
        ]
    else:
        blue = any(cell.is_baseline for cell in result.cells)
        parts = [
            "Circles: single seeds; tick and number: mean; line: ± one standard deviation"
            + ("; blue: the baseline" if blue else ""),
            "*: not all seeds finished" if partial else "",
        ]
    return sentences(parts)


# --- CSV -----------------------------------------------------------------------------------


def grid_frame(result: GridResult) -> pl.DataFrame:
    """A row a cell."""
    return pl.DataFrame([_frame_row(result.table, cell) for cell in result.cells]).with_columns(
        pl.col("mean", "std", "min", "max", "^(value|low|high)_seed_.*$").cast(pl.Float64)
    )


def _frame_row(table: GridTable, cell: GridCell) -> dict[str, object]:
    summary = cell.summary
    counts = cell.unfinished
    other = sum(counts.values()) - counts.get("failed", 0) - counts.get(MISSING, 0)
    intervals = list(zip(cell.seeds, cell.intervals, strict=True))
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
        **{f"low_seed_{s}": ends[0] if ends else None for s, ends in intervals},
        **{f"high_seed_{s}": ends[1] if ends else None for s, ends in intervals},
        **{f"digest_seed_{s}": d for s, d in zip(cell.seeds, cell.digests, strict=True)},
    }
