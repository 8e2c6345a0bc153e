"""Average precision of codes before binarizing, ranked by cosine."""

import math
import re
from fractions import Fraction
from itertools import groupby

import pytest
import torch

from concepthash.retrieval import average_precisions, cosine_average_precisions


def search(num_queries: int, size: int, k: int):
    generator = torch.Generator().manual_seed(k)
    codes = torch.randn(num_queries + size, k, generator=generator)
    labels = torch.randint(0, 4, (num_queries + size,), generator=generator)
    return codes[:num_queries], labels[:num_queries], codes[num_queries:], labels[num_queries:]


@pytest.mark.parametrize("at", [None, 5])
def test_real_codes_are_ranked_by_cosine(at):
    queries, query_labels, database, labels = search(9, 40, 6)
    expected = []
    for query, label in zip(queries.tolist(), query_labels.tolist(), strict=True):
        cosines = [
            sum(a * b for a, b in zip(query, code, strict=True))
            / math.hypot(*query)
            / math.hypot(*code)
            for code in database.tolist()
        ]
        order = sorted(range(40), key=lambda i: -cosines[i])
        relevant = [int(labels[i]) == label for i in order]
        precisions = [sum(relevant[: i + 1]) / (i + 1) for i in range(40) if relevant[i]]
        counted = precisions[: sum(relevant[:at])]
        expected.append(sum(counted) / min(sum(relevant), at or 40))
    scores = cosine_average_precisions(queries, query_labels, database, labels, at=at)
    assert scores.tolist() == pytest.approx(expected, abs=1e-9)


def expected_with_ties(keys: list[Fraction], relevant: list[bool], at: int | None) -> float:
    """AP@at by the definition, the mean over all orders of images whose keys are equal."""
    ranked = sorted(zip(keys, relevant, strict=True), key=lambda pair: -pair[0])
    before, hits_before, gained = 0, 0, Fraction(0)
    for _, group in groupby(ranked, key=lambda pair: pair[0]):
        ties = [hit for _, hit in group]
        n, r = len(ties), sum(ties)
        for i in range(1, n + 1):
            if r and (at is None or before + i <= at):
                others = Fraction((i - 1) * (r - 1), max(n - 1, 1))
                gained += Fraction(r, n) * (hits_before + 1 + others) / (before + i)
        before, hits_before = before + n, hits_before + r
    return float(gained / max(min(sum(relevant), at or before), 1))


@pytest.mark.parametrize("at", [None, 1, 40, 5000])
@pytest.mark.parametrize(
    ("k", "num_queries", "size", "num_classes"),
    [(1, 3, 30, 2), (3, 17, 200, 3), (5, 8, 1100, 40), (6, 5, 700, 1), (9, 33, 300, 500)],
)
def test_images_of_one_cosine_are_averaged_over_every_order(k, num_queries, size, num_classes, at):
    """Of codes of small whole numbers, squares of cosines are exact as fractions."""
    generator = torch.Generator().manual_seed(k)
    codes = torch.randint(-1, 2, (num_queries + size, k), generator=generator)
    labels = torch.randint(num_classes, (num_queries + size,), generator=generator)
    expected = []
    for query, label in zip(codes[:num_queries], labels[:num_queries], strict=True):
        products = (codes[num_queries:] @ query).tolist()
        lengths = ((codes[num_queries:] ** 2).sum(1) * (query**2).sum()).tolist()
        keys = [
            Fraction(product * abs(product), max(length, 1))
            for product, length in zip(products, lengths, strict=True)
        ]
        relevant = (labels[num_queries:] == label).tolist()
        expected.append(expected_with_ties(keys, relevant, at))
    real = codes.float() * 0.37
    scores = cosine_average_precisions(
        real[:num_queries], labels[:num_queries], real[num_queries:], labels[num_queries:], at=at
    )
    assert scores.tolist() == pytest.approx(expected, abs=1e-12)


def test_relevant_images_that_are_close_together_keep_their_order():
    """A thousand images within 1e-3 of the query, and one that is opposite: one range holds all."""
    angles = torch.linspace(0.001, 0.05, 1000, dtype=torch.float64)
    database = torch.stack((angles.cos(), angles.sin()), 1)
    database = torch.cat((database, torch.tensor([[-1.0, 0.0]])))
    labels = torch.tensor([i % 3 == 0 or i == 1000 for i in range(1001)]).long()
    order = torch.randperm(1001, generator=torch.Generator().manual_seed(0))
    precisions = [Fraction(1 + i // 3, i + 1) for i in range(0, 1000, 3)] + [Fraction(335, 1001)]
    score = cosine_average_precisions(
        torch.tensor([[1.0, 0.0]]), torch.tensor([1]), database[order], labels[order]
    )
    assert score.item() == pytest.approx(float(sum(precisions) / len(precisions)), abs=1e-12)


def test_equal_codes_tie_wherever_they_lie_in_the_database():
    _, _, database, _ = search(1, 1200, 7)
    order = torch.arange(1200) % 50
    labels = (torch.arange(1200) < 600).long()
    scores = cosine_average_precisions(database[:9], torch.ones(9).long(), database[order], labels)
    # In each of the 50 groups of 24 equal images, the first half are relevant.
    group = [Fraction(12, 24)] * 24
    expected = sum(
        share * (1 + (24 * g + i) // 24 * 12 + Fraction(i * 11, 23)) / (24 * g + i + 1)
        for g in range(50)
        for i, share in enumerate(group)
    )
    assert scores.tolist() == pytest.approx([float(expected / 600)] * 9, abs=1e-12)


def test_queries_without_a_relevant_image_score_zero():
    queries, _, database, labels = search(5, 60, 4)
    scores = cosine_average_precisions(queries, torch.full((5,), 9), database, labels)
    assert scores.tolist() == [0] * 5


def test_neither_the_number_of_threads_nor_other_queries_change_a_score():
    queries, query_labels, database, labels = search(301, 2000, 5)
    labels = torch.zeros_like(labels)  # all relevant: tables too large for one block
    labels[::7] = 1
    whole = cosine_average_precisions(queries, query_labels % 2, database, labels)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        parts = [
            cosine_average_precisions(queries[rows], query_labels[rows] % 2, database, labels)
            for rows in (slice(0, 1), slice(1, 100), slice(100, 301))
        ]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(whole, torch.cat(parts))


@pytest.mark.parametrize("k", [1, 7, 16, 48])
def test_signs_tie_by_cosine_as_they_do_by_distance(k):
    queries, query_labels, database, labels = search(20, 300, k)
    as_signs = (queries.sign(), query_labels, database.sign(), labels)
    for how in ({}, {"at": 30}, {"at": 30, "denominator": "retrieved"}):
        cosine = cosine_average_precisions(*as_signs, **how)
        assert cosine.tolist() == pytest.approx(
            average_precisions(*as_signs, **how).tolist(), abs=1e-9
        )


def test_cosine_average_precision_ignores_the_lengths_of_codes():
    queries, query_labels, database, labels = search(8, 60, 5)
    queries, database = queries.half(), database.half()
    straight = cosine_average_precisions(queries, query_labels, database, labels)
    scaled = cosine_average_precisions(4 * queries, query_labels, database.double() / 8, labels)
    assert torch.allclose(straight, scaled, atol=1e-9)


def test_a_code_of_zeros_ties_the_whole_database():
    """One of two is relevant, in either order: (1 + 1/2) / 2."""
    score = cosine_average_precisions(
        torch.zeros(1, 3), torch.tensor([1]), torch.eye(3)[:2], torch.tensor([1, 0])
    )
    assert score.tolist() == pytest.approx([0.75])


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.ones(2, 3).int(), "query codes must be finite floating numbers, but got torch.int"),
        (torch.full((2, 3), math.inf), "float32 with NaN or infinity"),
        (torch.tensor([[1.0, 2, 3], [1, math.nan, 3]]), "float32 with NaN or infinity"),
        (torch.ones(2, 4), "K=4 for queries and K=3"),
    ],
)
def test_codes_without_a_cosine_are_refused(codes, message):
    labels = torch.zeros(2).long()
    with pytest.raises(ValueError, match=re.escape(message)):
        cosine_average_precisions(codes, labels, torch.ones(2, 3), labels)


def test_a_database_with_nan_is_refused():
    labels = torch.zeros(2).long()
    database = torch.tensor([[1.0, 2.0], [math.nan, 1.0]])
    with pytest.raises(ValueError, match="database codes must be finite"):
        cosine_average_precisions(torch.ones(2, 2), labels, database, labels)
