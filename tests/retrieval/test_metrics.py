"""Mean average precision whose ties are averaged over every order."""

import itertools
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.retrieval import mean_average_precision


def average_precision_of_order(relevant: list[bool]) -> Fraction:
    hits, total = 0, Fraction(0)
    for place, hit in enumerate(relevant, start=1):
        if hit:
            hits += 1
            total += Fraction(hits, place)
    return total / hits if hits else Fraction(0)


def mean_over_all_orders(
    query: list[int], label: int, database: list[list[int]], labels: list[int]
):
    """Brute force: every permutation of the database that sorts by distance."""
    distances = [sum(a != b for a, b in zip(query, code, strict=True)) for code in database]
    scores = [
        average_precision_of_order([labels[i] == label for i in order])
        for order in itertools.permutations(range(len(database)))
        if all(distances[a] <= distances[b] for a, b in itertools.pairwise(order))
    ]
    return sum(scores) / len(scores)


bits = st.integers(0, 1)
cases = st.integers(1, 3).flatmap(
    lambda k: st.tuples(
        st.lists(st.lists(bits, min_size=k, max_size=k), min_size=1, max_size=3),
        st.lists(
            st.tuples(st.lists(bits, min_size=k, max_size=k), st.integers(0, 2)),
            min_size=1,
            max_size=6,
        ),
    )
)


@settings(max_examples=60, deadline=None)
@given(cases)
def test_it_is_the_mean_over_every_order_of_the_tied(case):
    queries, entries = case
    database = [code for code, _ in entries]
    labels = [label for _, label in entries]
    expected = sum(mean_over_all_orders(q, 0, database, labels) for q in queries) / len(queries)
    as_codes = lambda rows: 2.0 * torch.tensor(rows) - 1  # noqa: E731
    score = mean_average_precision(
        as_codes(queries),
        torch.zeros(len(queries)).long(),
        as_codes(database),
        torch.tensor(labels),
    )
    assert score == pytest.approx(float(expected), abs=1e-9)


def test_a_hand_made_ranking_without_ties():
    database = torch.tensor([[1.0, 1, 1], [1, 1, -1], [1, -1, -1], [-1, -1, -1]])
    score = mean_average_precision(
        torch.ones(1, 3), torch.tensor([7]), database, torch.tensor([7, 0, 7, 0])
    )
    assert score == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_shuffling_the_database_changes_nothing():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(300, 8, generator=generator)
    labels = torch.randint(0, 5, (300,), generator=generator)
    order = torch.randperm(250, generator=generator)
    straight = mean_average_precision(codes[250:], labels[250:], codes[:250], labels[:250])
    shuffled = mean_average_precision(
        codes[250:], labels[250:], codes[:250][order], labels[:250][order]
    )
    assert shuffled == pytest.approx(straight, abs=1e-12)


def test_zero_counts_as_a_positive_bit():
    zeros, ones = torch.zeros(1, 4), torch.ones(1, 4)
    other = -torch.ones(1, 4)
    label = torch.tensor([1])
    score = mean_average_precision(zeros, label, torch.cat([other, ones]), torch.tensor([0, 1]))
    assert score == 1.0


def test_a_query_without_a_relevant_image_counts_zero():
    codes = torch.ones(2, 4)
    score = mean_average_precision(codes, torch.tensor([0, 9]), codes, torch.tensor([0, 0]))
    assert score == pytest.approx(0.5)


@pytest.mark.parametrize(("queries", "database"), [(0, 3), (3, 0)])
def test_empty_input_is_refused_with_the_counts(queries, database):
    with pytest.raises(ValueError, match=f"{queries} queries and {database} database"):
        mean_average_precision(
            torch.ones(queries, 4),
            torch.zeros(queries),
            torch.ones(database, 4),
            torch.zeros(database),
        )


def test_codes_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="K=4 for queries and K=8"):
        mean_average_precision(torch.ones(1, 4), torch.zeros(1), torch.ones(1, 8), torch.zeros(1))
