"""Counts of images at each distance, and the metrics that are functions of them."""

import itertools
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.retrieval import (
    Histograms,
    histograms,
    precision_at,
    precision_recall_curve,
    precision_within,
    queries_without_relevant,
    recall_at,
)


def search(num_queries: int, size: int, k: int, classes: int = 6):
    generator = torch.Generator().manual_seed(k)
    codes = torch.randn(num_queries + size, k, generator=generator)
    labels = torch.randint(-3, classes - 3, (num_queries + size,), generator=generator)
    return codes[:num_queries], labels[:num_queries], codes[num_queries:], labels[num_queries:]


# Past a word of 64 bits, past 64 queries at once and past 4,096 database codes at once.
@pytest.mark.parametrize(
    ("num_queries", "size", "k"),
    [(1, 1, 1), (3, 50, 16), (70, 9, 63), (5, 4097, 64), (130, 30, 65), (2, 9000, 200)],
)
def test_histograms_count_the_database_at_every_distance(num_queries, size, k):
    queries, query_labels, database, labels = search(num_queries, size, k)
    counted = histograms(queries, query_labels, database, labels)
    distances = ((queries >= 0)[:, None] != (database >= 0)).sum(2)
    relevant = query_labels[:, None] == labels
    for distance in range(k + 1):
        at_it = distances == distance
        assert torch.equal(counted.counts[:, distance], at_it.sum(1))
        assert torch.equal(counted.hits[:, distance], (at_it & relevant).sum(1))


def test_histograms_do_not_depend_on_the_number_of_threads():
    tensors, threads = search(300, 500, 32), torch.get_num_threads()
    try:
        found = []
        for number in (1, 3):
            torch.set_num_threads(number)
            found.append(histograms(*tensors))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0].counts, found[1].counts)
    assert torch.equal(found[0].hits, found[1].hits)


def test_queries_without_a_relevant_image_are_counted():
    codes = torch.ones(3, 4)
    counted = histograms(codes, torch.tensor([0, 8, 9]), codes, torch.tensor([0, 0, 1]))
    assert queries_without_relevant(counted) == 2
    assert recall_at(counted, 3).tolist() == [1, 0, 0]


groups = st.lists(
    st.integers(0, 3).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))),
    min_size=1,
    max_size=3,
).filter(lambda rows: sum(n for n, _ in rows) > 0)


@settings(max_examples=60, deadline=None)
@given(groups, st.integers(1, 10))
def test_precision_and_recall_at_k_are_means_over_every_order(rows, k):
    orders = itertools.product(
        *(itertools.permutations([True] * r + [False] * (n - r)) for n, r in rows)
    )
    rankings = [list(itertools.chain(*order)) for order in orders]
    size, relevant = sum(n for n, _ in rows), sum(r for _, r in rows)
    found = sum(sum(ranking[:k]) for ranking in rankings) / len(rankings)
    counted = Histograms(*(torch.tensor([column]) for column in zip(*rows, strict=True)))
    assert precision_at(counted, k).tolist() == pytest.approx([found / min(k, size)], abs=1e-9)
    assert recall_at(counted, k).tolist() == pytest.approx([found / max(relevant, 1)], abs=1e-9)


HAND_MADE = Histograms(torch.tensor([[0, 2, 2], [1, 3, 0]]), torch.tensor([[0, 1, 1], [1, 0, 0]]))


def test_a_radius_without_an_image_has_precision_zero():
    assert precision_within(HAND_MADE, 0).tolist() == [0, 1]
    assert precision_within(HAND_MADE, 1).tolist() == [0.5, 0.25]
    assert precision_within(HAND_MADE, 99).tolist() == [0.5, 0.25]


def test_the_precision_recall_curve_is_the_mean_over_queries_at_each_radius():
    precision, recall = precision_recall_curve(HAND_MADE)
    assert precision.tolist() == pytest.approx([0.5, 0.375, 0.375])
    assert recall.tolist() == pytest.approx([0.5, 0.75, 1])


def test_precision_and_recall_refuse_ranks_below_one_and_negative_radii():
    for metric in (precision_at, recall_at):
        with pytest.raises(ValueError, match="k must be a whole number of at least 1, but is 0"):
            metric(HAND_MADE, 0)
    with pytest.raises(ValueError, match="radius must be at least 0, but is -1"):
        precision_within(HAND_MADE, -1)


def test_importing_retrieval_does_not_import_numba():
    """Importing numba takes part of a second."""
    code = "import sys, concepthash.retrieval; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
