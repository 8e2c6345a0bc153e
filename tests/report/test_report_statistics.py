from __future__ import annotations

import statistics
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concepthash.report.statistics import (
    marks,
    paired_differences,
    sign_flip_p,
    summarize,
    t_interval,
)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_summary_agrees_with_the_standard_library(values: list[float]) -> None:
    summary = summarize(values)
    assert summary is not None
    assert summary.n == len(values)
    assert summary.mean == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert (summary.low, summary.high) == (min(values), max(values))
    if len(values) == 1:
        assert summary.std is None
    else:
        assert summary.std == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_summary_of_no_values_is_none() -> None:
    assert summarize([]) is None


def test_paired_differences_are_of_the_seeds_that_both_have() -> None:
    values, reference = {0: 0.5, 1: 0.75, 2: 1.0}, {1: 0.5, 2: 0.25, 3: 0.1}
    assert paired_differences(values, reference) == (0.25, 0.75)
    assert paired_differences({0: 1.0}, {1: 1.0}) == ()


@pytest.mark.parametrize(("n", "quantile"), [(2, 12.7062), (3, 4.3027), (5, 2.7764), (20, 2.0930)])
def test_t_interval_is_the_textbooks(n: int, quantile: float) -> None:
    """Quantiles of t(0.975, n - 1) as printed in tables of Student's distribution."""
    values = np.random.default_rng(n).normal(0.3, 1.0, n)
    half = quantile * np.std(values, ddof=1) / np.sqrt(n)
    expected = (np.mean(values) - half, np.mean(values) + half)
    assert t_interval(values.tolist()) == pytest.approx(expected, rel=1e-4)


def test_t_interval_of_equal_differences_is_a_point(recwarn: pytest.WarningsRecorder) -> None:
    assert t_interval([0.0, 0.0, 0.0]) == (0.0, 0.0)
    assert t_interval([0.1, 0.1, 0.1]) == pytest.approx((0.1, 0.1))
    assert not recwarn.list


@pytest.mark.parametrize("differences", [[], [0.5]])
def test_t_interval_needs_two_differences(differences: list[float]) -> None:
    assert t_interval(differences) is None


def flipped(differences: list[int]) -> float:
    """p by enumeration of all patterns of signs; whole numbers, so that sums are exact."""
    patterns = list(product((1, -1), repeat=len(differences)))
    sums = [sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in patterns]
    return sum(total >= sum(differences) for total in sums) / len(patterns)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=10))
def test_sign_flip_p_counts_every_pattern_of_signs(differences: list[int]) -> None:
    assert sign_flip_p(differences) == flipped(differences)


@pytest.mark.parametrize("n", [1, 5, 24])
def test_sign_flip_p_is_least_where_all_differences_are_on_one_side(n: int) -> None:
    assert sign_flip_p([0.1 + i / 100 for i in range(n)]) == 1 / 2**n
    assert sign_flip_p([-0.1] * n) == 1.0


def test_sign_flip_p_takes_sums_that_differ_by_rounding_for_ties() -> None:
    # 0.1 + 0.2 - 0.3 is 5.6e-17 in floating point, and its mirror image as far below 0.
    assert sign_flip_p([0.1, 0.2, -0.3]) == flipped([1, 2, -3])


@pytest.mark.parametrize(
    ("values", "lower", "expected"),
    [
        ([1.0, 3.0, 2.0], False, ["", "best", "second"]),
        ([1.0, 3.0, 2.0], True, ["best", "", "second"]),
        ([3.0, 3.0, 2.0, 1.0], False, ["best", "best", "second", ""]),
        ([3.0, 2.0, 2.0], False, ["best", "second", "second"]),
        ([None, 2.0, 1.0], False, ["", "best", "second"]),
        ([2.0, 2.0], False, ["best", "best"]),
        ([None, 2.0], False, ["", ""]),
        ([], False, []),
    ],
)
def test_marks(values: list[float | None], lower: bool, expected: list[str]) -> None:
    assert marks(values, lower_is_better=lower) == expected
