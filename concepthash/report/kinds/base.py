"""What the rest of the report sees of a table, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from concepthash.report.cells import CellResult
from concepthash.report.wording import table_title
from concepthash.spec import Table

if TYPE_CHECKING:  # imported by what draws: the numbers are printed without it
    from matplotlib.figure import Figure


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
    head: tuple[str, ...]
    """Of `lines`: what a terminal shows, the label first."""
    lines: tuple[tuple[str, ...], ...]
    cells: tuple[CellResult, ...] = ()
    best: str | None = None
    """Digest of the best trial; None where none is best."""
    sampled: int = 0
    """Trials that a search has proposed so far, of `to_sample`."""
    to_sample: int = 0
    draw: Callable[[], Figure | None] = lambda: None
    """The figure, drawn anew by each call; None if there is none."""
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
