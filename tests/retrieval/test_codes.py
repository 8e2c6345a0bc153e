"""Binarizing, packed bits, sub-codes, Hamming distances and quantization error."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.retrieval import (
    binarize,
    centered,
    hamming_distances,
    pack,
    quantization_error,
    sub_code,
    unpack,
)

words = st.integers(1, 80).flatmap(
    lambda k: st.tuples(
        st.just(k),
        st.lists(st.integers(0, 2**k - 1), min_size=1, max_size=5),
        st.lists(st.integers(0, 2**k - 1), min_size=1, max_size=5),
    )
)


def as_bits(numbers: list[int], k: int) -> torch.Tensor:
    return torch.tensor([[bool(number >> place & 1) for place in range(k)] for number in numbers])


@settings(max_examples=100, deadline=None)
@given(words)
def test_a_hamming_distance_is_the_number_of_bits_that_differ(case):
    k, queries, database = case
    distances = hamming_distances(as_bits(queries, k), as_bits(database, k))
    assert distances.dtype == torch.int64
    assert distances.tolist() == [[(q ^ d).bit_count() for d in database] for q in queries]


def test_hamming_distances_of_long_codes_are_exact():
    codes = torch.zeros(1, 100_001, dtype=torch.bool)
    other = codes.clone()
    other[0, ::2] = True
    assert hamming_distances(codes, torch.cat([codes, other, ~codes])).tolist() == [
        [0, 50_001, 100_001]
    ]


def test_binarizing_counts_zero_as_positive():
    assert binarize(torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0])).tolist() == [
        *[False] * 2,
        *[True] * 4,
    ]


@settings(max_examples=100, deadline=None)
@given(words)
def test_packed_bits_are_unpacked_as_they_were(case):
    k, numbers, _ = case
    bits = as_bits(numbers, k)
    packed = pack(bits)
    assert packed.dtype == torch.uint8
    assert packed.shape == (len(numbers), -(-k // 8))
    assert torch.equal(unpack(packed, k), bits)
    assert torch.equal(pack(2.0 * bits - 1), packed)


def test_packing_puts_the_first_bit_highest_in_the_first_byte():
    codes = torch.tensor([[1, -1, -1, -1, -1, -1, -1, 0, 5, -5]])
    assert pack(codes).tolist() == [[0b10000001, 0b10000000]]
    assert pack(codes.to(torch.bfloat16)).tolist() == pack(codes).tolist()


def test_packing_in_several_blocks_packs_all_codes():
    codes = torch.randn(2000, 40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpack(pack(codes), 40), codes >= 0)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.ones(3), "matrix"),
        (torch.ones(3, 0), "K >= 1 bits"),
        (torch.ones(1, 3, dtype=torch.uint8), r"torch.uint8; for 0/1 codes give codes.bool\(\)"),
        (torch.ones(1, 3, dtype=torch.complex64), "complex64"),
        (torch.tensor([[1.0, torch.nan]]), "NaN"),
    ],
)
def test_packing_refuses_codes_without_signs(codes, message):
    with pytest.raises(ValueError, match=message):
        pack(codes)


def test_unpacking_refuses_another_number_of_bits():
    with pytest.raises(ValueError, match=r"of 9 bits must be \(N, 2\) torch.uint8"):
        unpack(torch.zeros(1, 1, dtype=torch.uint8), 9)


def test_centering_subtracts_the_mean_of_the_database_from_both():
    queries, database = centered(torch.tensor([[1.0, 1]]), torch.tensor([[0.0, 4], [2, 8]]))
    assert queries.tolist() == [[0, -5]]
    assert database.tolist() == [[-1, -2], [1, 2]]
    integers = centered(torch.tensor([[1, 1]]), torch.tensor([[0, 4], [1, 8]]))
    assert integers[1].tolist() == [[-0.5, -2], [0.5, 2]]
    with pytest.raises(ValueError, match=r"got \(1, 2\) and \(0, 2\)"):
        centered(torch.ones(1, 2), torch.ones(0, 2))


def test_a_sub_code_is_the_columns_of_its_concept():
    codes = torch.arange(12).view(2, 6)
    assert sub_code(codes, 1, 3).tolist() == [[2, 3], [8, 9]]
    assert torch.equal(torch.cat([sub_code(codes, m, 3) for m in range(3)], dim=1), codes)
    with pytest.raises(ValueError, match="6 bits cannot be divided evenly among 4"):
        sub_code(codes, 0, 4)
    with pytest.raises(ValueError, match=r"one of 0\.\.2, but is 3"):
        sub_code(codes, 3, 3)


def test_codes_of_one_magnitude_have_no_quantization_error():
    assert quantization_error(torch.tensor([[3.0, -3, 3, -3], [0.1, 0.1, -0.1, -0.1]])) == (
        pytest.approx(0, abs=1e-6)
    )


def test_the_quantization_error_is_one_minus_a_ratio_of_norms():
    """cos(h, sign h) = |h|_1 / (sqrt(K) |h|_2), averaged over codes."""
    codes = torch.randn(7, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cosines = [sum(map(abs, h)) / math.sqrt(12 * sum(x * x for x in h)) for h in codes.tolist()]
    assert quantization_error(codes) == pytest.approx(1 - sum(cosines) / 7, abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.floats(-10, 10), min_size=5, max_size=5), min_size=1, max_size=4))
def test_the_quantization_error_lies_between_zero_and_one(codes):
    assert -1e-6 <= quantization_error(torch.tensor(codes, dtype=torch.float64)) <= 1
