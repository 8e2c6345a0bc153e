"""The tables of a study as plain text for a terminal, with the numbers of the report."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import polars as pl
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from concepthash.plan import Plan, TablePlan
from concepthash.report.cells import prepared
from concepthash.report.kinds import TableReport, table_report
from concepthash.spec.protocol import LEAK

WIDTH = 98  # and two for the indentation
_LABEL = 24
"""Columns that leave less than so much for the labels are printed in several blocks."""
_GAP = 2


def as_text(plan: Plan, trials: pl.DataFrame) -> str:
    """Every table, mean ± standard deviation (n), at most 100 characters wide.

    `trials` has a row a trial, as `Runs.trials`.
    """
    frame = prepared(trials)
    reports = [(planned, table_report(plan, planned, frame)) for planned in plan.tables]
    return "\n\n".join("\n".join(_lines(planned, table)) for planned, table in reports)


def _lines(planned: TablePlan, table: TableReport) -> Iterator[str]:
    yield table.title
    for columns in _blocks(table):
        yield from _drawn(table, columns)
    if any(cell.endswith(" *") for line in table.lines for cell in line):
        yield "* best"
    protocols = (trial.spec.protocol for cell in planned.cells for trial in cell.trials)
    if leaking := {protocol.name for protocol in protocols if protocol.test_chooses_epoch}:
        yield f"{' and '.join(sorted(leaking))} {LEAK}"


def _blocks(table: TableReport) -> Iterator[list[int]]:
    """The columns beside the label, as many at once as fit."""
    block: list[int] = []
    left = WIDTH - _LABEL
    for column in range(1, len(table.head)):
        width = _GAP + max(cell_len(line[column]) for line in (table.head, *table.lines))
        if block and width > left:
            yield block
            block, left = [], WIDTH - _LABEL
        block.append(column)
        left -= width
    yield block


def _drawn(table: TableReport, columns: Sequence[int]) -> list[str]:
    drawn = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="")
    drawn.add_column(Text(table.head[0]), overflow="fold")
    for column in columns:
        drawn.add_column(Text(table.head[column]), no_wrap=True)
    for line in table.lines:
        drawn.add_row(Text(line[0]), *(Text(line[column]) for column in columns))
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, legacy_windows=False)
    with console.capture() as captured:
        console.print(drawn)
    return [f"  {line.rstrip()}" if line.strip() else "" for line in captured.get().splitlines()]
