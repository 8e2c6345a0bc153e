"""Average precision of codes before binarizing, ranked by cosine."""

import math
import re

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
        (torch.ones(2, 4), "K=4 for queries and K=3"),
    ],
)
def test_codes_without_a_cosine_are_refused(codes, message):
    labels = torch.zeros(2).long()
    with pytest.raises(ValueError, match=re.escape(message)):
        cosine_average_precisions(codes, labels, torch.ones(2, 3), labels)
