"""The kinds of tables, one module each: numbers, CSV, captions and figure.

A kind's module has `report(plan, planned, trials)`, with `trials` as from `cells.prepared`; its
templates are `templates/KIND.html`, `.md`, `.tex` and, if it has a style of its own, `.css`.
"""

from collections.abc import Callable, Mapping

import polars as pl

from concepthash.plan import Plan, TablePlan
from concepthash.report.kinds import claims, grid, search
from concepthash.report.kinds.base import TableReport

KINDS: Mapping[str, Callable[[Plan, TablePlan, pl.DataFrame], TableReport]] = {
    "grid": grid.report,
    "search": search.report,
    "claims": claims.report,
}
"""By the `kind` of the table in the study."""

__all__ = ["KINDS", "TableReport"]
