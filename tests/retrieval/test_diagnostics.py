"""Balance, entropy, correlation, distances and confusion of codes, against brute force."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from concepthash.retrieval.diagnostics import (
    Confusion,
    bit_balance,
    bit_correlation,
    bit_entropy,
    confused_classes,
    distances_by_relation,
    distinct_codes,
)

OF_CODES = (bit_balance, bit_correlation, bit_entropy, distinct_codes)


def as_codes(rows: list[list[int]]) -> torch.Tensor:
    return 2.0 * torch.tensor(rows) - 1


def rows_of(num_bits: int, most: int = 9):
    row = st.lists(st.integers(0, 1), min_size=num_bits, max_size=num_bits)
    return st.lists(row, min_size=1, max_size=most)


some_rows = st.integers(1, 6).flatmap(rows_of)


def random_codes(num_images: int, num_bits: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(num_images, num_bits, generator=torch.Generator().manual_seed(seed))


def test_bits_that_halve_the_images_are_balanced_and_have_full_entropy():
    codes = as_codes([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert bit_balance(codes) == 1
    assert bit_entropy(codes) == pytest.approx(1, abs=1e-12)
    assert distinct_codes(codes) == 1
    assert bit_correlation(codes) == 0


@pytest.mark.parametrize("sign", [0, 1])
def test_constant_bits_have_no_balance_entropy_or_correlation(sign):
    codes = as_codes([[sign] * 3] * 5)
    assert (bit_balance(codes), bit_entropy(codes), bit_correlation(codes)) == (0, 0, 0)
    assert distinct_codes(codes) == 1 / 5


def test_a_code_of_zero_counts_as_a_bit_that_is_on():
    assert bit_balance(torch.tensor([[0.0], [-0.5]])) == 1


@settings(max_examples=60, deadline=None)
@given(some_rows)
def test_balance_and_entropy_are_those_of_counted_bits(rows):
    columns = [Fraction(sum(column), len(rows)) for column in zip(*rows, strict=True)]
    balances = [2 * min(p, 1 - p) for p in columns]
    entropies = [stats.entropy([float(p), float(1 - p)], base=2) for p in columns]
    assert bit_balance(as_codes(rows)) == pytest.approx(float(sum(balances) / len(columns)))
    assert bit_entropy(as_codes(rows)) == pytest.approx(sum(entropies) / len(columns), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(some_rows)
def test_distinct_codes_are_counted_against_the_most_there_can_be(rows):
    most = min(len(rows), 2 ** len(rows[0]))
    assert distinct_codes(as_codes(rows)) == len(set(map(tuple, rows))) / most


def test_distinct_codes_of_long_codes_are_a_share_of_the_images():
    codes = random_codes(50, 300)
    assert distinct_codes(torch.cat([codes, codes])) == 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6).flatmap(rows_of))
def test_the_correlation_is_pearsons_over_all_pairs_of_bits(rows):
    columns = list(zip(*rows, strict=True))
    values = [
        abs(stats.pearsonr(a, b).statistic) if len(set(a)) == len(set(b)) == 2 else 0
        for a, b in itertools.combinations(columns, 2)
    ]
    expected = sum(values) / len(values)
    assert bit_correlation(as_codes(rows)) == pytest.approx(expected, abs=1e-9)


def test_a_single_bit_is_correlated_with_none():
    assert bit_correlation(as_codes([[0], [1]])) == 0


@pytest.mark.parametrize("measure", OF_CODES)
@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,), (2, 2, 2)])
def test_diagnostics_refuse_codes_of_another_shape_or_of_no_image(measure, shape):
    with pytest.raises(ValueError, match=r"codes must be \(B, K\)"):
        measure(torch.ones(shape))


def relation(a: int, b: int, families: list[int] | None) -> str:
    if a == b:
        return "intra"
    return "family" if families is not None and families[a] == families[b] else "inter"


def means_over_all_pairs(
    rows: list[list[int]], labels: list[int], families: list[int] | None, num_concepts: int
):
    """Brute force: the share of bits that differ, pair by pair and sub-code by sub-code."""
    size = len(rows[0]) // num_concepts
    spans = [(0, len(rows[0])), *((m * size, (m + 1) * size) for m in range(num_concepts))]
    found = defaultdict(list)
    for (a, one), (b, two) in itertools.combinations(zip(labels, rows, strict=True), 2):
        differ = [x != y for x, y in zip(one, two, strict=True)]
        shares = [Fraction(sum(differ[low:high]), high - low) for low, high in spans]
        found[relation(a, b, families)].append(shares)
    return {
        name: [
            float(sum(column) / len(column)) for column in zip(*found[name], strict=True)
        ] or [math.nan] * len(spans)
        for name in ("intra", "family", "inter")
    }  # fmt: skip


@st.composite
def related_images(draw):
    num_concepts, bits_each = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rows = draw(rows_of(num_concepts * bits_each))
    labels = draw(st.lists(st.integers(0, 4), min_size=len(rows), max_size=len(rows)))
    families = draw(st.none() | st.lists(st.integers(0, 2), min_size=5, max_size=5))
    return rows, labels, families, num_concepts


@settings(max_examples=100, deadline=None)
@given(related_images())
def test_distances_are_means_over_all_pairs_of_each_relation(case):
    rows, labels, families, num_concepts = case
    distances = distances_by_relation(
        as_codes(rows),
        torch.tensor(labels),
        None if families is None else torch.tensor(families),
        num_concepts,
    )
    expected = means_over_all_pairs(rows, labels, families, num_concepts)
    for name, values in distances._asdict().items():
        assert values.tolist() == pytest.approx(expected[name], abs=1e-12, nan_ok=True)


def test_sub_codes_that_tell_families_and_species_apart_show_it():
    """Four species of two families: the first concept knows the family, the second the species."""
    codes = as_codes([[0, 0, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 1, 1]]).repeat(2, 1)
    distances = distances_by_relation(
        codes, torch.arange(4).repeat(2), torch.tensor([0, 0, 1, 1]), num_concepts=2
    )
    assert distances.intra.tolist() == [0, 0, 0]
    assert distances.family.tolist() == [0.5, 0, 1]
    assert distances.inter.tolist() == [0.75, 1, 0.5]


def test_mismatched_input_to_the_distances_is_refused():
    codes, labels, families = torch.ones(3, 4), torch.tensor([0, 1, 2]), torch.tensor([0, 0])
    with pytest.raises(ValueError, match="K=4 bits cannot be divided evenly among 3 concepts"):
        distances_by_relation(codes, labels, None, 3)
    with pytest.raises(ValueError, match=r"0\.\.1, the classes with a family, but lie in 0\.\.2"):
        distances_by_relation(codes, labels, families, 2)
    with pytest.raises(ValueError, match=r"labels must be \(3,\)"):
        distances_by_relation(codes, labels[:2], None, 2)


def confusions_of_each_query(
    queries: list[list[int]], query_labels: list[int],
    database: list[list[int]], database_labels: list[int],
):  # fmt: skip
    """Brute force with fractions: {(true, other): share}."""
    total: Counter[tuple[int, int]] = Counter()
    for query, true in zip(queries, query_labels, strict=True):
        distances = [sum(a != b for a, b in zip(query, row, strict=True)) for row in database]
        nearest = [
            label
            for label, distance in zip(database_labels, distances, strict=True)
            if distance == min(distances)
        ]
        for other in nearest:
            if other != true:
                total[true, other] += Fraction(1, len(nearest) * query_labels.count(true))
    return total


@st.composite
def searches(draw):
    num_bits = draw(st.integers(1, 3))
    label = st.sampled_from([-1, 0, 3, 70])
    queries, database = draw(rows_of(num_bits)), draw(rows_of(num_bits))
    return (
        queries,
        draw(st.lists(label, min_size=len(queries), max_size=len(queries))),
        database,
        draw(st.lists(label, min_size=len(database), max_size=len(database))),
    )


@settings(max_examples=100, deadline=None)
@given(searches(), st.integers(0, 6))
def test_confusions_are_those_of_each_query_alone_in_order(case, count):
    queries, query_labels, database, database_labels = case
    found = confused_classes(
        as_codes(queries),
        torch.tensor(query_labels),
        as_codes(database),
        torch.tensor(database_labels),
        count,
    )
    shares = confusions_of_each_query(*case)
    expected = sorted((-share, *pair) for pair, share in shares.items())[:count]
    assert [(pair.true, pair.other) for pair in found] == [pair[1:] for pair in expected]
    assert [pair.share for pair in found] == pytest.approx([-float(pair[0]) for pair in expected])


def test_images_tied_at_the_smallest_distance_share_a_confusion_evenly():
    database = as_codes([[1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]])
    found = confused_classes(
        as_codes([[1, 1, 0]]), torch.tensor([4]), database, torch.tensor([4, 2, 2, 9])
    )
    assert found == [Confusion(true=4, other=2, share=pytest.approx(2 / 3))]


def test_confusions_over_several_blocks_of_queries_are_those_of_all():
    codes, labels = random_codes(400, 5), torch.arange(400) % 4
    found = confused_classes(codes[100:], labels[100:], codes[:100], labels[:100], 12)
    rows, names = (codes >= 0).long().tolist(), labels.tolist()
    expected = confusions_of_each_query(rows[100:], names[100:], rows[:100], names[:100])
    assert {pair[:2]: pair.share for pair in found} == pytest.approx(
        {pair: float(share) for pair, share in expected.items()}
    )


def test_the_order_of_images_does_not_change_the_order_of_confusions():
    codes, labels = random_codes(300, 3), torch.arange(300) % 6
    straight = confused_classes(codes, labels, codes, labels, 30)
    back = confused_classes(codes.flip(0), labels.flip(0), codes.flip(0), labels.flip(0), 30)
    assert [pair[:2] for pair in straight] == [pair[:2] for pair in back]


def test_mismatched_input_to_the_confusions_is_refused():
    codes, labels = torch.ones(3, 4), torch.zeros(3).long()
    with pytest.raises(ValueError, match="K=4 for queries and K=8"):
        confused_classes(codes, labels, torch.ones(3, 8), labels)
    with pytest.raises(ValueError, match=r"database_labels must be \(3,\)"):
        confused_classes(codes, labels, codes, labels[:1])
    with pytest.raises(ValueError, match="codes must be"):
        confused_classes(codes[:0], labels[:0], codes, labels)
