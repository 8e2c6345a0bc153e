"""Signs, Hamming distances by counting bits, and what binarizing loses."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.retrieval import binarize, hamming_distances, quantization_error

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
def test_a_distance_is_the_number_of_bits_that_differ(case):
    k, queries, database = case
    distances = hamming_distances(as_bits(queries, k), as_bits(database, k))
    assert distances.dtype == torch.int64
    assert distances.tolist() == [[(q ^ d).bit_count() for d in database] for q in queries]


def test_distances_of_long_codes_are_exact():
    codes = torch.zeros(1, 100_001, dtype=torch.bool)
    other = codes.clone()
    other[0, ::2] = True
    assert hamming_distances(codes, torch.cat([codes, other, ~codes])).tolist() == [
        [0, 50_001, 100_001]
    ]


def test_a_sign_is_true_from_zero_on():
    assert binarize(torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0])).tolist() == [
        *[False] * 2,
        *[True] * 4,
    ]


def test_codes_of_one_size_lose_nothing():
    assert quantization_error(torch.tensor([[3.0, -3, 3, -3], [0.1, 0.1, -0.1, -0.1]])) == (
        pytest.approx(0, abs=1e-6)
    )


@pytest.mark.parametrize("k", [2, 4, 16, 64])
def test_a_code_with_one_bit_alone_keeps_one_over_the_root_of_its_length(k):
    code = torch.zeros(1, k, dtype=torch.float64)
    code[0, 1] = -5
    assert quantization_error(code) == pytest.approx(1 - 1 / math.sqrt(k), abs=1e-9)


def test_the_error_is_one_less_the_ratio_of_norms():
    """cos(h, sign h) = |h|_1 / (sqrt(K) |h|_2), averaged over codes."""
    codes = torch.randn(7, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    cosines = [sum(map(abs, h)) / math.sqrt(12 * sum(x * x for x in h)) for h in codes.tolist()]
    assert quantization_error(codes) == pytest.approx(1 - sum(cosines) / 7, abs=1e-9)


def test_the_scale_of_codes_counts_for_nothing():
    codes = torch.randn(7, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert quantization_error(codes * 100) == pytest.approx(quantization_error(codes), abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.floats(-10, 10), min_size=5, max_size=5), min_size=1, max_size=4))
def test_the_error_lies_between_zero_and_one(codes):
    assert -1e-6 <= quantization_error(torch.tensor(codes, dtype=torch.float64)) <= 1
