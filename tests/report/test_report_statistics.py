from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from concepthash.report.statistics import marks, paired_difference, summarize

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
