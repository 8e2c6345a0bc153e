"""The kinds of tables, one module each: numbers, CSV, lines of a terminal, captions, figure.

A kind's module has `report(plan, planned, trials)`, with `trials` as from `cells.prepared`; its
templates are `templates/KIND.html`, `.md`, `.tex` and, if it has a style of its own, `.css`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import polars as pl

from concepthash.plan import Plan, TablePlan
from concepthash.report.kinds import claims, grid, search
from concepthash.report.kinds.base import TableReport
from concepthash.report.machines import note_on_machines

KINDS: Mapping[str, Callable[[Plan, TablePlan, pl.DataFrame], TableReport]] = {
    "grid": grid.report,
    "search": search.report,
    "claims": claims.report,
}
"""By the `kind` of the table in the study."""


def table_report(plan: Plan, planned: TablePlan, trials: pl.DataFrame) -> TableReport:
    """The report of a table, whatever its kind; `trials` as from `cells.prepared`."""
    report = KINDS[planned.table.kind](plan, planned, trials)
    note = note_on_machines(trials, [digest for digest, _ in report.places])
    captions = (report.caption, report.tex_caption)
    caption, tex_caption = (" ".join(filter(None, [text, note])) for text in captions)
    return replace(report, caption=caption, tex_caption=tex_caption)


__all__ = ["KINDS", "TableReport", "table_report"]
