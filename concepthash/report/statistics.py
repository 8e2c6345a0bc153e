"""Mean, spread, paired difference, its tests, and rank of a few numbers, in closed form."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtrit

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


def t_interval(differences: Summary) -> tuple[float, float] | None:
    """The 95 % confidence interval of a mean of paired differences; None of a single pair.

    mean ± t(0.975, n - 1) std / sqrt(n): Student, The probable error of a mean, Biometrika 1908.
    """
    if differences.std is None:
        return None
    half = float(stdtrit(differences.n - 1, 0.975)) * differences.std / math.sqrt(differences.n)
    return differences.mean - half, differences.mean + half


def sign_flip_p(differences: Sequence[float]) -> float:
    """One-sided p in [1 / 2^n, 1] of the mean being above 0: over all 2^n patterns of signs.

    The share of patterns whose sum is at least the observed one (Fisher, The Design of
    Experiments, 1935, chapter III). Exact; takes memory of 2^(n / 2).
    """
    half = len(differences) // 2
    some, others = _signed_sums(differences[:half]), sorted(_signed_sums(differences[half:]))
    # Sums that differ by rounding alone are ties, and ties count.
    rounding = 1e-9 * math.fsum(map(abs, differences))
    least = math.fsum(differences) - rounding
    count = sum(len(others) - bisect_left(others, least - one) for one in some)
    return float(count / 2 ** len(differences))


def _signed_sums(values: Sequence[float]) -> list[float]:
    sums = [0.0]
    for value in values:
        sums = [total + signed for total in sums for signed in (value, -value)]
    return sums


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
