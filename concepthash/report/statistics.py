"""Mean, spread, paired difference with its tests, and rank of a few numbers."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Mark = Literal["best", "second", ""]


@dataclass(frozen=True)
class Summary:
    """n values of one cell, one a seed."""

    n: int
    mean: float
    std: float | None
    """sqrt(sum((x - mean)^2) / (n - 1)), ddof = 1; None of a single value."""
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


def paired_differences(
    values: Mapping[int, float], reference: Mapping[int, float]
) -> tuple[float, ...]:
    """value - reference of each seed that both have."""
    return tuple(values[seed] - reference[seed] for seed in values if seed in reference)


def t_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % confidence interval of a mean of paired differences; None of fewer than two.

    mean ± t(0.975, n - 1) std / sqrt(n): Student, The probable error of a mean, Biometrika 1908.
    """
    if len(differences) < 2:
        return None
    from scipy import stats  # half a second, for claims alone

    with warnings.catch_warnings():
        # scipy warns where all differences are equal; their interval is that one point.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    return float(low), float(high)


def sign_flip_p(differences: Sequence[float]) -> float:
    """One-sided p in [1 / 2^n, 1] of the mean being above 0: over all 2^n patterns of signs.

    The share of patterns whose sum is at least the observed one (Fisher, The Design of
    Experiments, 1935, chapter III). Exact, in time and memory of 2^(n / 2).

    scipy.stats.permutation_test gives the same with all 2^n sums in memory: at n = 20, 6 s and
    1.3 GB for one claim. Its tolerance for ties is relative to the observed sum, so that
    (0.1, 0.2, -0.3), a sum of 0 but for rounding, would have p = 1/2 instead of 5/8.
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
    """`best` and `second` among the values; None is not ranked, and a single value neither.

    Ties share the mark; `second` is the second distinct value.
    """
    ranked = [value for value in values if value is not None]
    if len(ranked) < 2:
        return [""] * len(values)
    ranking = sorted(set(ranked), reverse=not lower_is_better)
    names: dict[float, Mark] = dict(zip(ranking, ("best", "second"), strict=False))
    return ["" if value is None else names.get(value, "") for value in values]
