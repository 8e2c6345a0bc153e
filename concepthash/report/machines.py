"""Where the numbers of a table were computed: rounding differs between processors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import polars as pl

from concepthash.report.cells import FINISHED
from concepthash.report.wording import plural


def computed_in(trials: pl.DataFrame) -> dict[str, int]:
    """`bf16 on AMD EPYC 9R14`, with the number of finished trials; most frequent first.

    `trials` as from `cells.prepared`. A trial that was interrupted may have been computed in
    several ways, one after the other.
    """
    finished = trials.filter(pl.col("status") == FINISHED, pl.col("precision") != "")
    ways = finished.select("precision", "processor").iter_rows()
    return dict(
        Counter(f"{precision} on {processor}" for precision, processor in ways).most_common()
    )


def note_on_machines(trials: pl.DataFrame, digests: Collection[str]) -> str:
    """What a table's caption says if its trials were not all computed alike; else nothing."""
    ways = computed_in(trials.filter(pl.col("digest").is_in(list(digests))))
    if len(ways) < 2:
        return ""
    parts = (f"{plural(count, 'trial')} in {way}" for way, count in ways.items())
    return f"Its trials were not computed alike, and rounding differs: {', '.join(parts)}."
