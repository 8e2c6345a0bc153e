from __future__ import annotations

import math
import statistics
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from concepthash.report.statistics import (
    marks,
    paired_difference,
    sign_flip_p,
    summarize,
    t_interval,
)

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20)


@given(VALUES)
def test_summary_agrees_with_numpy_and_the_standard_library(values: list[float]) -> None:
    summary = summarize(values)
    assert summary is not None
    assert summary.n == len(values)
    assert summary.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert (summary.low, summary.high) == (min(values), max(values))
    if len(values) == 1:
        assert summary.std is None
    else:
        assert summary.std == pytest.approx(statistics.stdev(values), abs=1e-9)
        assert summary.std == pytest.approx(np.std(values, ddof=1), abs=1e-9)


def test_no_values_have_no_summary() -> None:
    assert summarize([]) is None


def test_paired_difference_takes_common_seeds_only() -> None:
    values, reference = {0: 0.5, 1: 0.7, 2: 0.9}, {1: 0.6, 2: 0.6, 3: 0.1}
    delta = paired_difference(values, reference)
    assert delta is not None
    assert delta.n == 2
    # The t statistic of scipy's paired test is mean / (std / sqrt(n)).
    t = stats.ttest_rel([0.7, 0.9], [0.6, 0.6]).statistic
    assert delta.std is not None
    assert delta.mean / (delta.std / math.sqrt(delta.n)) == pytest.approx(t)
    assert delta.mean == pytest.approx(0.2)


def test_paired_difference_of_strangers_is_none() -> None:
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=2, max_size=12))
def test_the_interval_is_that_of_scipys_paired_t_test(pairs: list[tuple[float, float]]) -> None:
    differences = [one - other for one, other in pairs]
    assume(np.std(differences) > 1e-6)
    summary = summarize(differences)
    assert summary is not None
    expected = stats.ttest_rel(*zip(*pairs, strict=True)).confidence_interval(0.95)
    assert t_interval(summary) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


def test_a_single_difference_has_no_interval_and_equal_ones_a_point() -> None:
    one, equal = summarize([0.25]), summarize([0.25, 0.25])
    assert one is not None
    assert equal is not None
    assert t_interval(one) is None
    assert t_interval(equal) == (0.25, 0.25)


def flipped(differences: list[float]) -> float:
    """Every pattern of signs, one by one; whole numbers, so that sums are exact."""
    patterns = list(product((1, -1), repeat=len(differences)))
    sums = [sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in patterns]
    return sum(total >= sum(differences) for total in sums) / len(patterns)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=10))
def test_p_counts_every_pattern_of_signs(differences: list[int]) -> None:
    assert sign_flip_p(differences) == flipped(differences)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=8))
def test_p_is_that_of_scipys_permutation_test(differences: list[int]) -> None:
    scipys = stats.permutation_test(
        (np.array(differences, dtype=float),),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
    )
    assert sign_flip_p(differences) == pytest.approx(scipys.pvalue)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 24])
def test_the_least_p_of_n_seeds_is_that_of_differences_all_on_one_side(n: int) -> None:
    assert sign_flip_p([0.1 + i / 100 for i in range(n)]) == 1 / 2**n
    assert sign_flip_p([-0.1] * n) == 1.0


def test_sums_that_differ_by_rounding_alone_are_ties() -> None:
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
        ([None, None], False, ["", ""]),
        ([], False, []),
    ],
)
def test_marks(values: list[float | None], lower: bool, expected: list[str]) -> None:
    assert marks(values, lower_is_better=lower) == expected
