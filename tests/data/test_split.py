"""The validation part of the training images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.data.split import validation_part

some_labels = st.lists(st.integers(0, 6), min_size=1, max_size=80).map(np.array)
some_share = st.floats(0.01, 0.5)
some_seed = st.integers(0, 2**32)


@settings(max_examples=100, deadline=None)
@given(some_labels, some_share, some_seed)
def test_of_each_class_its_share_is_held_out_and_of_small_ones_nothing(labels, share, seed):
    held_out = validation_part(labels, share, seed)
    for label in range(7):
        size, count = (labels == label).sum(), held_out[labels == label].sum()
        if size < 4:
            assert count == 0
        else:
            assert 1 <= count <= size / 2
            assert count == 1 or abs(count - share * size) <= 0.5


@settings(max_examples=50, deadline=None)
@given(some_labels, some_share, some_seed)
def test_the_seed_decides(labels, share, seed):
    first, again = validation_part(labels, share, seed), validation_part(labels, share, seed)
    assert first.dtype == bool
    assert first.shape == labels.shape
    assert (first == again).all()


def test_another_seed_holds_out_other_images():
    labels = np.repeat(np.arange(5), 20)
    parts = {validation_part(labels, 0.2, seed).tobytes() for seed in range(10)}
    assert len(parts) == 10


def test_over_seeds_every_image_has_its_turn():
    labels = np.repeat([0, 1], [6, 10])
    times = sum(validation_part(labels, 0.3, seed).astype(int) for seed in range(400))
    # 2 of 6 and 3 of 10: 133 and 120 times expected, with a deviation below 10.
    assert times[:6] == pytest.approx(133, abs=40)
    assert times[6:] == pytest.approx(120, abs=40)


def test_a_share_of_zero_holds_out_nothing():
    assert not validation_part(np.zeros(100, dtype=int), 0, 0).any()


@pytest.mark.parametrize(("size", "count"), [(3, 0), (4, 1), (5, 1), (14, 1), (16, 2), (100, 10)])
def test_a_tenth(size, count):
    assert validation_part(np.zeros(size, dtype=int), 0.1, 0).sum() == count
