"""What the rest of the report sees of a table, whatever its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from concepthash.report.cells import CellResult
from concepthash.report.wording import table_title
from concepthash.spec import Table


@dataclass(frozen=True)
class TableReport:
    """A table with its numbers, texts and figure."""

    table: Table
    result: Any
    """What the templates of the kind show: `kinds/templates/KIND.html`, `.md` and `.tex`."""
    frame: pl.DataFrame
    """The CSV: numbers unrounded, in the metric's own unit (mAP in [0, 1])."""
    caption: str
    tex_caption: str
    places: tuple[tuple[str, str], ...]
    """Digests of the table's trials, each with where in the table it stands."""
    cells: tuple[CellResult, ...] = ()
    sampled: int = 0
    """Trials that a search has proposed so far, of `to_sample`."""
    to_sample: int = 0
    figure: Figure | None = None
    figure_caption: str = ""
    without_figure: str = ""
    """What the page says instead, where there is no figure."""

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def kind(self) -> str:
        return self.table.kind

    @property
    def title(self) -> str:
        return table_title(self.table)
