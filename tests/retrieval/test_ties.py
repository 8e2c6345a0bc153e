"""AP of tied groups that are too large for every order to be tried."""

from fractions import Fraction

import pytest
import torch
from scipy.stats import hypergeom

from concepthash.retrieval import Histograms, tied_average_precisions


def table(*rows: tuple[int, int]) -> Histograms:
    """Of one query: (images, relevant images) of each group."""
    return Histograms(*(torch.tensor([column]) for column in zip(*rows, strict=True)))


def place_by_place(rows, at: int, denominator: str) -> Fraction:
    """Draws images one by one without replacement, following every number of hits so far.

    For each number x: its probability, and the probability times the mean sum of precisions.
    """
    states, place = {0: (Fraction(1), Fraction(0))}, 0
    before = 0
    for count, hits in rows:
        for drawn in range(min(count, at - place)):
            after: dict[int, tuple[Fraction, Fraction]] = {}
            for x, (chance, total) in states.items():
                share = Fraction(hits - (x - before), count - drawn)
                for step, weight in ((1, share), (0, 1 - share)):
                    if weight:
                        old = after.get(x + step, (Fraction(0), Fraction(0)))
                        gain = chance * step * Fraction(x + 1, place + 1)
                        after[x + step] = (
                            old[0] + weight * chance,
                            old[1] + weight * (total + gain),
                        )
            states, place = after, place + 1
        before += hits
        if place == at:
            break
    relevant = sum(hits for _, hits in rows)
    score = Fraction(0)
    for x, (_, total) in states.items():
        divisor = x if denominator == "retrieved" else min(relevant, at)
        score += total / divisor if divisor else 0
    return score


@pytest.mark.parametrize("denominator", ["min", "retrieved"])
@pytest.mark.parametrize("at", [1, 7, 30, 31, 44, 75, 90, 200])
def test_a_rank_inside_a_large_group_is_exact(at, denominator):
    rows = [(30, 4), (45, 20), (0, 0), (15, 15), (10, 0)]
    size = sum(n for n, _ in rows)
    expected = place_by_place(rows, min(at, size), denominator)
    score = tied_average_precisions(table(*rows), at=at, denominator=denominator)
    assert float(score) == pytest.approx(float(expected), abs=1e-12)


def test_average_precision_is_exact_far_down_a_long_ranking():
    """Two relevant images tied at the end of a million: 1/N and 2/(N + 1), over 2."""
    n = 10**6
    exact = (Fraction(1, n - 1) + Fraction(2, n)) / 2
    for ties in ("expected", "optimistic", "pessimistic"):
        score = float(tied_average_precisions(table((n - 2, 0), (2, 2)), ties=ties))
        assert score == pytest.approx(float(exact), rel=1e-9)


def test_a_million_tied_images_are_their_share_of_relevant_ones():
    """E[AP] of r among n: (r - 1)/(n - 1) + (1 - (r - 1)/(n - 1)) H(n)/n."""
    n, r = 10**6, 300_000
    harmonic = sum(1 / i for i in range(n, 0, -1))
    slope = (r - 1) / (n - 1)
    expected = slope + (1 - slope) * harmonic / n
    score = float(tied_average_precisions(table((n, r))))
    assert score == pytest.approx(expected, abs=1e-9)


def test_of_a_group_too_large_for_factorials_the_first_places_are_exact():
    """x of the first m places are relevant with hypergeometric chance, then in any order."""
    n, r, m = 10**6, 200_000, 150
    expected = 0.0
    for x in range(1, m + 1):
        slope = (x - 1) / (m - 1)
        total = x / m * sum((1 + (i - 1) * slope) / i for i in range(1, m + 1))
        expected += hypergeom.pmf(x, n, r, m) * total / x
    score = tied_average_precisions(table((n, r)), at=m, denominator="retrieved")
    assert float(score) == pytest.approx(expected, abs=1e-9)


def test_many_queries_are_scored_as_each_alone():
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(0, 40, (3000, 33), generator=generator)
    hits = (counts * torch.rand(3000, 33, generator=generator)).long()
    for how in ({}, {"at": 100}, {"at": 100, "denominator": "retrieved"}, {"ties": "pessimistic"}):
        together = tied_average_precisions(Histograms(counts, hits), **how)
        for row in (0, 1, 1499, 2999):
            alone = Histograms(counts[row : row + 1], hits[row : row + 1])
            assert float(tied_average_precisions(alone, **how)) == pytest.approx(
                float(together[row]), abs=1e-12
            )


def test_optimistic_and_pessimistic_are_those_orders_when_divided_by_the_retrieved():
    rows = table((4, 2))
    for ties, expected in (("optimistic", 1.0), ("pessimistic", 1 / 3)):
        score = tied_average_precisions(rows, at=3, ties=ties, denominator="retrieved")
        assert float(score) == pytest.approx(expected)


def test_tied_average_precision_refuses_index_ties_and_no_queries():
    with pytest.raises(ValueError, match="expected, optimistic, pessimistic, but is 'index'"):
        tied_average_precisions(table((1, 1)), ties="index")
    nothing = torch.zeros(0, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match="histograms of none"):
        tied_average_precisions(Histograms(nothing, nothing))
