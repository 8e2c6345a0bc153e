"""Mean average precision of codes: ties, packed bits, and what is refused."""

import itertools
import math
import re
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.retrieval import (
    average_precisions,
    centered,
    class_average_precisions,
    histograms,
    mean_average_precision,
    pack,
)


def average_precision_of_order(
    relevant: list[bool], at: int | None = None, denominator: str = "min"
) -> Fraction:
    hits, total = 0, Fraction(0)
    for place, hit in enumerate(relevant[:at], start=1):
        if hit:
            hits += 1
            total += Fraction(hits, place)
    divisor = hits if denominator == "retrieved" else min(sum(relevant), at or len(relevant))
    return total / divisor if divisor else Fraction(0)


def scores_of_all_orders(query, label, database, labels, **how) -> list[Fraction]:
    """Brute force: every permutation of the database that sorts by distance."""
    distances = [sum(a != b for a, b in zip(query, code, strict=True)) for code in database]
    return [
        average_precision_of_order([labels[i] == label for i in order], **how)
        for order in itertools.permutations(range(len(database)))
        if all(distances[a] <= distances[b] for a, b in itertools.pairwise(order))
    ]


def signs(rows: list[list[int]]) -> torch.Tensor:
    return 2.0 * torch.tensor(rows) - 1


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
ranks = st.one_of(st.none(), st.integers(1, 8))


def search(case) -> tuple[list, list, list, tuple[torch.Tensor, ...]]:
    queries, entries = case
    database, labels = [code for code, _ in entries], [label for _, label in entries]
    given_codes = (signs(queries), torch.zeros(len(queries), dtype=torch.int64))
    return queries, database, labels, (*given_codes, signs(database), torch.tensor(labels))


@settings(max_examples=60, deadline=None)
@given(cases, ranks, st.sampled_from(["min", "retrieved"]))
def test_average_precision_is_the_mean_over_every_order_of_tied_images(case, at, denominator):
    queries, database, labels, tensors = search(case)
    how = {"at": at, "denominator": denominator}
    scores = [scores_of_all_orders(q, 0, database, labels, **how) for q in queries]
    expected = [float(sum(s) / len(s)) for s in scores]
    assert average_precisions(*tensors, **how).tolist() == pytest.approx(expected, abs=1e-9)
    mean = sum(expected) / len(expected)
    assert mean_average_precision(*tensors, **how) == pytest.approx(mean, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(cases, ranks)
def test_optimistic_and_pessimistic_are_the_best_and_the_worst_order(case, at):
    queries, database, labels, tensors = search(case)
    scores = [scores_of_all_orders(q, 0, database, labels, at=at) for q in queries]
    best = average_precisions(*tensors, at=at, ties="optimistic")
    worst = average_precisions(*tensors, at=at, ties="pessimistic")
    assert best.tolist() == pytest.approx([float(max(s)) for s in scores], abs=1e-9)
    assert worst.tolist() == pytest.approx([float(min(s)) for s in scores], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(cases, ranks, st.sampled_from(["min", "retrieved"]))
def test_index_ties_keep_the_order_of_the_database(case, at, denominator):
    queries, database, labels, tensors = search(case)
    expected = []
    for query in queries:
        distances = [sum(a != b for a, b in zip(query, code, strict=True)) for code in database]
        order = sorted(range(len(database)), key=lambda i: distances[i])
        relevant = [labels[i] == 0 for i in order]
        expected.append(float(average_precision_of_order(relevant, at, denominator)))
    scores = average_precisions(*tensors, at=at, ties="index", denominator=denominator)
    assert scores.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [1, 7, 8, 33, 64, 65, 130])
def test_packed_bits_and_signs_of_any_size_are_the_same_codes(k):
    tensors = random_search(40, 90, k)
    queries, query_labels, database, database_labels = tensors
    packed = (pack(queries), query_labels, pack(database), database_labels)
    small = (queries.sign().to(torch.int8), query_labels, 3 * database, database_labels)
    for ties in ("expected", "optimistic", "pessimistic", "index"):
        score = mean_average_precision(*tensors, ties=ties)
        assert mean_average_precision(*packed, ties=ties, num_bits=k) == score
        assert mean_average_precision(*small, ties=ties) == score


def random_search(num_queries: int, size: int, k: int, classes: int = 5):
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(num_queries + size, k, generator=generator)
    labels = torch.randint(0, classes, (num_queries + size,), generator=generator)
    return codes[:num_queries], labels[:num_queries], codes[num_queries:], labels[num_queries:]


@pytest.mark.parametrize("at", [None, 1, 10, 200, 10_000])
def test_index_order_lies_between_the_bounds_and_so_does_the_expectation(at):
    tensors = random_search(30, 250, 8)
    best, mean, worst, index = (
        average_precisions(*tensors, at=at, ties=ties)
        for ties in ("optimistic", "expected", "pessimistic", "index")
    )
    for inner in (mean, index):
        assert bool((inner <= best + 1e-12).all())
        assert bool((worst <= inner + 1e-12).all())
    assert bool((worst >= 0).all())
    assert bool((best <= 1 + 1e-12).all())


def test_a_rank_beyond_the_database_is_the_whole_of_it():
    tensors = random_search(30, 50, 8)
    for denominator in ("min", "retrieved"):
        beyond = mean_average_precision(*tensors, at=51, denominator=denominator)
        assert beyond == pytest.approx(mean_average_precision(*tensors), abs=1e-12)


def test_a_hand_made_ranking_without_ties():
    database = torch.tensor([[1.0, 1, 1], [1, 1, -1], [1, -1, -1], [-1, -1, -1]])
    given_codes = (torch.ones(1, 3), torch.tensor([7]), database, torch.tensor([7, 0, 7, 0]))
    for ties in ("expected", "optimistic", "pessimistic", "index"):
        score = mean_average_precision(*given_codes, ties=ties)
        assert score == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert mean_average_precision(*given_codes, at=2) == pytest.approx(1 / 2)
    assert mean_average_precision(*given_codes, at=2, denominator="retrieved") == 1


def test_shuffling_the_database_does_not_change_average_precision():
    queries, query_labels, database, labels = random_search(50, 250, 8)
    order = torch.randperm(250, generator=torch.Generator().manual_seed(1))
    for how in ({}, {"at": 20}, {"at": 20, "denominator": "retrieved"}, {"ties": "optimistic"}):
        straight = average_precisions(queries, query_labels, database, labels, **how)
        shuffled = average_precisions(queries, query_labels, database[order], labels[order], **how)
        assert torch.equal(shuffled, straight)


def test_a_query_without_a_relevant_image_counts_zero():
    codes = torch.ones(2, 4)
    given_codes = (codes, torch.tensor([0, 9]), codes, torch.tensor([0, 0]))
    for ties in ("expected", "optimistic", "pessimistic", "index"):
        assert average_precisions(*given_codes, ties=ties).tolist() == pytest.approx([1, 0])


def test_centering_makes_a_bit_that_is_always_set_tell_classes_apart():
    database, labels = torch.tensor([[5.0], [6.0], [8.0], [9.0]]), torch.tensor([0, 0, 1, 1])
    raw = mean_average_precision(database, labels, database, labels)
    queries, balanced = centered(database, database)
    assert mean_average_precision(queries, labels, balanced, labels) == 1 > raw


def test_class_average_precisions_are_means_over_the_queries_of_a_class():
    classes, means = class_average_precisions(
        torch.tensor([0.5, 1.0, 0.0, 0.25]), torch.tensor([7, -2, 7, 7])
    )
    assert classes.tolist() == [-2, 7]
    assert means.tolist() == pytest.approx([1, 0.25])
    with pytest.raises(ValueError, match=r"\(2,\) scores and \(3,\) labels"):
        class_average_precisions(torch.ones(2), torch.ones(3))


@pytest.mark.parametrize(("queries", "database"), [(0, 3), (3, 0)])
def test_average_precision_refuses_no_queries_or_no_database(queries, database):
    with pytest.raises(ValueError, match=f"{queries} queries and {database} database"):
        mean_average_precision(
            torch.ones(queries, 4),
            torch.zeros(queries).long(),
            torch.ones(database, 4),
            torch.zeros(database).long(),
        )


def bad(**changes) -> dict:
    codes, labels = torch.ones(2, 4), torch.tensor([0, 1])
    names = ("query_codes", "query_labels", "database_codes", "database_labels")
    return {**dict(zip(names, (codes, labels, codes, labels), strict=True)), **changes}


NAN = torch.tensor([[1.0, math.nan, 1, 1], [1, 1, 1, 1]])


@pytest.mark.parametrize(
    ("given_input", "message"),
    [
        (bad(database_codes=torch.ones(2, 8)), "K=4 for queries and K=8"),
        (bad(query_codes=torch.ones(4)), "query codes must be a matrix, but got (4,)"),
        (bad(query_codes=torch.ones(2, 0), database_codes=torch.ones(2, 0)), "K >= 1 bits"),
        (bad(query_labels=torch.zeros(2)), "query labels must be (2,) integers"),
        (bad(database_labels=torch.tensor([1])), "database labels must be (2,) integers"),
        (bad(query_codes=torch.ones(2, 4).bool()), "torch.bool; 0/1 codes: give 2 * codes.int()"),
        (bad(database_codes=torch.ones(2, 4).byte()), "pack(codes.bool()) and num_bits"),
        (bad(query_codes=NAN), "NaN"),
        (bad(num_bits=4), "query codes of 4 bits must be (N, 1) torch.uint8, but got (2, 4)"),
        (bad(num_bits=0), "num_bits must be at least 1, but is 0"),
        (bad(at=0), "at must be a whole number of at least 1, but is 0"),
        (bad(at=1.5), "at must be a whole number of at least 1, but is 1.5"),
        (bad(ties="fair"), "expected, optimistic, pessimistic, index, but is 'fair'"),
        (bad(at=1, denominator="max"), "denominator must be min or retrieved, but is 'max'"),
    ],
)
def test_average_precision_refuses_unusable_input(given_input, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        mean_average_precision(**given_input)


def test_packed_codes_with_bits_set_in_the_padding_are_refused():
    packed = torch.tensor([[0b11110001]], dtype=torch.uint8)
    with pytest.raises(ValueError, match="the low 4 bits of the last byte must be 0"):
        histograms(packed, torch.tensor([0]), packed, torch.tensor([0]), num_bits=4)


def test_codes_longer_than_the_counters_are_refused():
    packed = torch.zeros(1, 8192, dtype=torch.uint8)
    with pytest.raises(ValueError, match="at most 65535 bits, but have 65536"):
        histograms(packed, torch.tensor([0]), packed, torch.tensor([0]), num_bits=65_536)
