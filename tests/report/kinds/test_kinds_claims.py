from __future__ import annotations

import io
from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl
import pytest
from report_studies import CLAIMS

from concepthash.report.kinds.claims import ClaimResult


@pytest.fixture
def claim_of(table_of):
    """The result of one claim with the values of its sides by seed."""

    def make(better: list, than: list, metric: str = "test/map") -> ClaimResult:
        claim = {"claim": "It helps", "metric": metric, "better": {"num_bits": 32}, "than": {}}
        values = {("It helps", "better"): better, ("It helps", "than"): than}
        seeds = list(range(len(better)))
        table = table_of({"name": "claims", "claims": [claim]}, values, seeds=seeds)
        return table.result.claims[0]

    return make


BETTER, THAN = [0.81, 0.84, 0.80, 0.86, 0.83], [0.78, 0.82, 0.79, 0.80, 0.79]


@pytest.mark.parametrize(("metric", "towards"), [("test/map", 1), ("test/attention_overlap", -1)])
def test_a_claim_is_tested_pair_by_pair_in_its_own_direction(
    claim_of, metric: str, towards: int
) -> None:
    found = claim_of(BETTER, THAN, metric)
    differences = np.array(BETTER) - np.array(THAN)
    assert found.n == 5
    assert found.difference.mean == pytest.approx(differences.mean())
    assert found.difference.std == pytest.approx(differences.std(ddof=1))
    half = 2.7764 * differences.std(ddof=1) / np.sqrt(5)  # t(0.975, 4)
    expected = (differences.mean() - half, differences.mean() + half)
    assert found.interval == pytest.approx(expected, rel=1e-3)
    sums = [np.dot(signs, towards * differences) for signs in product((1, -1), repeat=5)]
    least = towards * differences.sum() - 1e-12
    assert found.p == sum(total >= least for total in sums) / 32
    assert found.verdict == ("holds" if towards == 1 else "contradicted")


@pytest.mark.parametrize(
    ("ends", "higher", "lower"),
    [
        ((0.1, 0.2), "holds", "contradicted"),
        ((-0.2, -0.1), "contradicted", "holds"),
        ((-0.1, 0.3), "inconclusive", "inconclusive"),
        ((0.0, 0.2), "inconclusive", "inconclusive"),
        ((0.0, 0.0), "inconclusive", "inconclusive"),
    ],
)
def test_verdict_depends_on_the_whole_interval(claim_of, ends, higher: str, lower: str) -> None:
    for metric, verdict in (("test/map", higher), ("test/quantization_error", lower)):
        assert replace(claim_of([0.6], [0.5], metric), interval=ends).verdict == verdict


@pytest.mark.parametrize("status", ["failed", None])
def test_pairs_are_the_seeds_that_both_sides_have(claim_of, status: str | None) -> None:
    found = claim_of([0.9, 0.8, 0.7, status], [status, 0.6, 0.5, 0.9])
    assert found.n == 2
    assert (found.better.n, found.than.n) == (3, 3)
    assert found.difference.mean == pytest.approx(0.2)
    assert found.verdict == "holds"
    assert not found.complete


@pytest.mark.parametrize(
    ("better", "than", "n", "verdict"),
    [
        ([0.9, None, None], [0.5, 0.6, 0.7], 1, "incomplete"),
        ([0.9, None, "failed"], [None, 0.6, 0.7], 0, "incomplete"),
        ([0.9], [0.1], 1, "inconclusive"),  # a study of one seed
    ],
)
def test_fewer_than_two_pairs_have_no_interval(claim_of, better, than, n: int, verdict) -> None:
    found = claim_of(better, than)
    assert (found.n, found.interval, found.verdict) == (n, None, verdict)
    assert found.p == (0.5 if n else None)


def test_every_claim_keeps_its_row_and_verdicts_are_counted(table_of) -> None:
    sides = {"better": [0.5, 0.6, 0.7], "than": [0.7, 0.8, 0.9]}
    table = table_of(CLAIMS, {("Language helps", side): sides[side] for side in sides})
    result = table.result
    verdicts = {claim.number: claim.verdict for claim in result.claims}
    assert verdicts == {1: "contradicted", 2: "incomplete"}
    assert "2 claims (1 contradicted, 1 incomplete) on paperbirds" in table.caption
    assert [label for label, _ in result.claims[0].sides] == ["baseline", "language = off"]
    assert result.claims[1].better.unfinished == {"no value": 3}


def test_csv_is_unrounded_and_has_both_values_of_each_seed(table_of) -> None:
    sides = {"better": [1 / 3, 0.5, 0.6], "than": [0.25, None, "failed"]}
    table = table_of(CLAIMS, {("Language helps", side): sides[side] for side in sides})
    back = pl.read_csv(io.StringIO(table.frame.write_csv()))
    assert back.columns == [
        *("claim", "metric", "better_mean", "better_std", "than_mean", "than_std"),
        *("difference", "low", "high", "p", "n", "verdict"),
        *(f"{side}_seed_{seed}" for side in ("better", "than") for seed in (0, 1, 2)),
    ]
    row = back.row(0, named=True)
    assert (row["better_seed_0"], row["than_seed_0"], row["than_seed_1"]) == (1 / 3, 0.25, None)
    assert row["difference"] == 1 / 3 - 0.25
    assert (row["low"], row["p"], row["n"], row["verdict"]) == (None, 0.5, 1, "incomplete")
    assert back["n"].to_list() == [1, 0]


def test_caption_names_the_tests_their_sources_and_the_least_p(table_of) -> None:
    text = table_of(CLAIMS, seeds=[0, 1, 2, 3, 4]).caption
    for fact in (
        "paper protocol",
        "↑ higher is better, ↓ lower is better",
        "paired t; Student 1908",
        "all 32 ways (Fisher 1935); with n=5 it is at least 1/32.",
        "not corrected",
    ):
        assert fact in text


def test_caption_of_one_claim_leaves_out_what_does_not_apply(table_of) -> None:
    text = table_of({**CLAIMS, "claims": CLAIMS["claims"][1:]}, seeds=[7]).caption
    assert "1 claim (1 incomplete)" in text
    assert "one seed, 7 (n=1)" in text
    for other in ("percentage", "ranked", "higher", "corrected"):
        assert other not in text
