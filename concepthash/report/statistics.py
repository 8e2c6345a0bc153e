"""Mean, spread, paired difference and rank of a few numbers, in closed form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Mark = Literal["best", "second", ""]


@dataclass(frozen=True)
class Summary:
    """n values of one cell, a seed each."""

    n: int
    mean: float
    std: float | None
    """sqrt(sum((x - mean)^2) / (n - 1)), ddof = 1; none for a single value."""
    low: float
    high: float


def summarize(values: Sequence[float]) -> Summary | None:
    """The summary of finite values, or None of no values."""
    if not values:
        return None
    n = len(values)
    mean = math.fsum(values) / n
    std = math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (n - 1)) if n > 1 else None
    return Summary(n, mean, std, min(values), max(values))


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float]
) -> Summary | None:
    """Summary of value - reference over the seeds that both have, or None if they share none."""
    return summarize([values[seed] - reference[seed] for seed in values if seed in reference])


def marks(values: Sequence[float | None], *, lower_is_better: bool) -> list[Mark]:
    """`best` and `second` among the values; None does not compete, and one alone has no rank.

    Equal values share their mark; `second` is the second distinct value.
    """
    competing = [value for value in values if value is not None]
    if len(competing) < 2:
        return [""] * len(values)
    ranking = sorted(set(competing), reverse=not lower_is_better)
    names: dict[float, Mark] = dict(zip(ranking, ("best", "second"), strict=False))
    return ["" if value is None else names.get(value, "") for value in values]
