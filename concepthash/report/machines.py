"""Where the numbers of a table were computed: rounding differs between processors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import polars as pl

from concepthash.report.cells import FINISHED
from concepthash.report.wording import plural


def note_on_machines(trials: pl.DataFrame, digests: Collection[str]) -> str:
    """What a table's caption says if its finished trials were not all computed alike; else nothing.

    `trials` as from `cells.prepared`. A trial that was interrupted may have been computed in
    several ways, one after the other.
    """
    computed = trials.filter(
        pl.col("digest").is_in(list(digests)),
        pl.col("status") == FINISHED,
        pl.col("precision") != "",
    )
    ways = Counter(computed.select("precision", "processor").iter_rows())
    if len(ways) < 2:
        return ""
    parts = (
        f"{plural(count, 'trial')} in {precision} on {processor}"
        for (precision, processor), count in ways.most_common()
    )
    return f"Its trials were not computed alike, and rounding differs: {', '.join(parts)}."
