"""Long lists of problems, cut to what a person reads."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN = 10  # lines of one kind of error, of which there may be thousands


def shortened(lines: Iterable[str]) -> list[str]:
    """The first lines, and a line with the number of the others."""
    lines = list(lines)
    more = len(lines) - SHOWN
    return lines if more <= 0 else [*lines[:SHOWN], f"... and {more} more like these"]
