from __future__ import annotations

import io
from itertools import product

import numpy as np
import polars as pl
import pytest
from report_studies import CLAIMS, run
from scipy import stats

from concepthash.report import captions
from concepthash.report.claims import ClaimResult, claims_frame, claims_results
from concepthash.report.tables import prepared
from concepthash.report.words import interval, probability

FIVE = [0, 1, 2, 3, 4]


@pytest.fixture
def claim_of(plan_of):
    """The result of one claim, its sides given by seed; a string is a status, None no run."""

    def make(better: list, than: list, metric: str = "test/map") -> ClaimResult:
        sides = {"better": {"num_bits": 32}, "than": {}}
        table = {"name": "claims", "claims": [{"claim": "It helps", "metric": metric, **sides}]}
        plan = plan_of(table, seeds=list(range(len(better))))
        runs = [
            run(trial.digest, value, metric, seed=trial.seed)
            for cell, values in zip(plan.tables[0].cells, (better, than), strict=True)
            for trial, value in zip(cell.trials, values, strict=True)
            if value is not None
        ]
        (result,) = claims_results(plan, prepared(pl.DataFrame(runs, infer_schema_length=None)))
        return result.claims[0]

    return make


BETTER, THAN = [0.81, 0.84, 0.80, 0.86, 0.83], [0.78, 0.82, 0.79, 0.80, 0.79]


@pytest.mark.parametrize("metric", ["test/map", "test/attention_overlap"])
def test_a_claim_is_tested_pair_by_pair_in_its_own_direction(claim_of, metric: str) -> None:
    found = claim_of(BETTER, THAN, metric)
    differences = np.array(BETTER) - np.array(THAN)
    assert found.n == 5
    assert found.difference.mean == pytest.approx(differences.mean())
    assert found.difference.std == pytest.approx(differences.std(ddof=1))
    expected = stats.ttest_rel(BETTER, THAN).confidence_interval(0.95)
    assert found.interval == pytest.approx((expected.low, expected.high))
    towards = -1 if metric == "test/attention_overlap" else 1
    sums = [np.dot(signs, towards * differences) for signs in product((1, -1), repeat=5)]
    least = towards * differences.sum() - 1e-12
    assert found.p == sum(total >= least for total in sums) / 32
    assert found.p == (1 / 32 if towards == 1 else 1.0)
    assert found.verdict == ("holds" if towards == 1 else "holds not: the opposite")


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.1, 0.1, 0.1], "holds"),
        ([-0.1, -0.1, -0.1], "holds not: the opposite"),
        ([0.0, 0.0, 0.0], "not shown"),  # the interval is the point 0
        ([0.1, 0.1, -0.1], "not shown"),
        ([0.3, 0.1, 0.2], "not shown"),  # all for the claim, but 0.2 ± 0.248 reaches over 0
        ([0.25, 0.15, 0.2], "holds"),  # 0.2 ± 0.124
    ],
)
def test_the_verdict_asks_the_whole_interval(claim_of, differences: list, verdict: str) -> None:
    than = [0.5] * len(differences)
    values = [0.5 + difference for difference in differences]
    assert claim_of(values, than).verdict == verdict
    opposite = {"holds": "holds not: the opposite", "holds not: the opposite": "holds"}
    assert claim_of(than, values).verdict == opposite.get(verdict, verdict)
    assert claim_of(than, values, "test/quantization_error").verdict == verdict


def test_an_interval_that_ends_at_0_shows_nothing(claim_of) -> None:
    found = claim_of([0.6, 0.7, 0.8], [0.5, 0.5, 0.5])
    for low, high, verdict in (
        (0.0, 0.2, "not shown"),
        (1e-12, 0.2, "holds"),
        (-0.2, 0.0, "not shown"),
        (-0.2, -1e-12, "holds not: the opposite"),
    ):
        edge = ClaimResult(1, found.claim, found.better, found.than, None, (low, high), None)
        assert edge.verdict == verdict


@pytest.mark.parametrize("status", ["failed", "running", "interrupted", None])
def test_only_seeds_that_both_sides_have_are_pairs(claim_of, status: str | None) -> None:
    found = claim_of([0.9, 0.8, 0.7, status], [status, 0.6, 0.5, 0.9])
    assert found.n == 2
    assert (found.better.n, found.than.n) == (3, 3)
    assert found.difference.mean == pytest.approx(0.2)
    assert found.verdict == "holds"
    assert not found.complete


@pytest.mark.parametrize(
    ("better", "than", "n"),
    [
        ([0.9, None, None], [0.5, 0.6, 0.7], 1),
        ([0.9, None, "failed"], [None, 0.6, 0.7], 0),
        ([None, None, None], [None, None, None], 0),
        (["failed", "failed", "failed"], [0.5, 0.6, 0.7], 0),
    ],
)
def test_fewer_than_two_pairs_of_an_unfinished_claim_decide_nothing_yet(
    claim_of, better: list, than: list, n: int
) -> None:
    found = claim_of(better, than)
    assert (found.n, found.interval, found.verdict) == (n, None, "not yet")
    assert found.p == (0.5 if n else None)


def test_a_study_of_one_seed_shows_nothing_however_large_the_difference(claim_of) -> None:
    found = claim_of([0.9], [0.1])
    assert (found.complete, found.interval, found.p) == (True, None, 0.5)
    assert found.difference.mean == pytest.approx(0.8)
    assert found.verdict == "not shown"


def test_every_claim_keeps_its_row_and_verdicts_are_counted(plan_of, trials_of) -> None:
    plan = plan_of(CLAIMS)
    values = {
        ("Language helps", "better"): [0.5, 0.6, 0.7],
        ("Language helps", "than"): [0.7, 0.8, 0.9],
    }
    (result,) = claims_results(plan, prepared(trials_of(plan, values)))
    assert [(claim.number, claim.verdict) for claim in result.claims] == [
        (1, "holds not: the opposite"),
        (2, "not yet"),
    ]
    assert result.verdicts == {"holds not: the opposite": 1, "not yet": 1}
    assert [label for label, _ in result.claims[0].sides] == ["baseline", "language = off"]
    assert result.claims[1].better.troubles == {"no value": 3}


def test_the_csv_is_unrounded_and_has_both_values_of_each_seed(claim_of, plan_of) -> None:
    plan = plan_of(CLAIMS)
    (empty,) = claims_results(plan, prepared(pl.DataFrame()))
    found = claim_of([1 / 3, 0.5, 0.6], [0.25, None, "failed"])
    frame = claims_frame(type(empty)(empty.table, (found,)))
    back = pl.read_csv(io.StringIO(frame.write_csv()))
    assert back.columns == [
        *("claim", "metric", "better_mean", "better_std", "than_mean", "than_std"),
        *("difference", "low", "high", "p", "n", "verdict"),
        *(f"{side}_seed_{seed}" for side in ("better", "than") for seed in (0, 1, 2)),
    ]
    (row,) = back.rows(named=True)
    assert (row["better_seed_0"], row["than_seed_0"], row["than_seed_1"]) == (1 / 3, 0.25, None)
    assert row["difference"] == 1 / 3 - 0.25
    assert (row["low"], row["p"], row["n"], row["verdict"]) == (None, 0.5, 1, "not yet")
    assert claims_frame(empty)["n"].to_list() == [0, 0]


def test_the_caption_names_the_tests_their_sources_and_the_least_p(plan_of) -> None:
    plan = plan_of(CLAIMS, seeds=FIVE)
    (result,) = claims_results(plan, prepared(pl.DataFrame()))
    text = captions.claims_caption(plan, result)
    for fact in (
        "2 claims (not yet: 2) on paperbirds",
        "queries = test images, database = training images",
        "↑ higher is better, ↓ lower is better",
        "seeds 0, 1, 2, 3, 4 (n=5",
        "better − than, paired by seed",
        "percentage points for mAP",
        "95 % confidence interval of its mean (paired t; Student 1908)",
        "in all 32 ways (Fisher 1935); with n=5 its least value is 1/32.",
        "nothing is corrected for their number",
    ):
        assert fact in text
    assert captions.title(plan.study.tables[0]) == "What the method claims"


def test_the_caption_of_one_claim_on_another_metric_says_no_more_than_is_so(plan_of) -> None:
    plan = plan_of({**CLAIMS, "claims": CLAIMS["claims"][1:]}, seeds=[7])
    (result,) = claims_results(plan, prepared(pl.DataFrame()))
    text = captions.claims_caption(plan, result)
    assert "1 claim (not yet: 1)" in text
    assert "a single seed, 7 (n=1)" in text
    assert "least value is 1/2." in text
    for other in ("percentage", "ranked", "higher", "corrected"):
        assert other not in text


@pytest.mark.parametrize(
    ("ends", "metric", "expected"),
    [
        ((0.012, 0.034), "test/map", "[+1.2, +3.4]"),
        ((-0.012, 0.034), "test/attention_overlap", "[−0.012, +0.034]"),
        ((0.0001, 0.01), "test/map", "[+0.0, +1.0]"),
        ((-0.01, -0.0001), "test/map", "[−1.0, −0.0]"),
        ((0.0, 0.0), "test/map", "[0.0, 0.0]"),
        (None, "test/map", "–"),
    ],
)
def test_an_intervals_ends_keep_their_signs(ends, metric: str, expected: str) -> None:
    assert interval(ends, metric) == expected


@pytest.mark.parametrize(
    ("p", "expected"), [(1 / 32, "0.031"), (1.0, "1.000"), (1 / 4096, "<0.001"), (None, "–")]
)
def test_a_probability_is_never_shown_as_0(p: float | None, expected: str) -> None:
    assert probability(p) == expected
