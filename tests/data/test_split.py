"""Which images train, which choose, which ask and which are searched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.data.split import (
    Learned,
    Split,
    cross_split,
    paper_split,
    unseen_split,
    validation_part,
)
from concepthash.errors import InputError

# --- the validation part ---------------------------------------------------------------------

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


# --- protocols -------------------------------------------------------------------------------

LABELS = np.repeat(np.arange(8), 20)
IS_TRAIN = np.random.default_rng(0).random(160) < 0.6
HALF_KNOWN = Learned(validation_share=0.2, images_per_class=None, seed=3)


def sets(split: Split) -> tuple[set[int], set[int], set[int], set[int]]:
    parts = (split.training, split.validation, split.database, split.queries)
    return tuple(set(part.tolist()) for part in parts)


def test_queries_are_never_in_the_database_and_validation_images_are():
    split = paper_split(LABELS, IS_TRAIN, HALF_KNOWN)
    training, validation, database, queries = sets(split)
    assert queries == set(np.flatnonzero(~IS_TRAIN))
    assert database == set(np.flatnonzero(IS_TRAIN))
    assert training | validation == database
    assert not training & validation
    assert set(LABELS[split.validation]) == set(LABELS) == set(split.classes)


def test_without_a_validation_share_every_image_of_the_database_is_trained_on():
    split = paper_split(np.zeros(8, dtype=int), np.arange(8) < 5, Learned(0, None, 0))
    assert split.training.tolist() == split.database.tolist() == [0, 1, 2, 3, 4]
    assert len(split.validation) == 0


@pytest.mark.parametrize("count", [1, 5, 100])
def test_fewer_images_of_each_class_train_and_all_are_searched(count):
    whole = paper_split(LABELS, IS_TRAIN, HALF_KNOWN)
    few = paper_split(LABELS, IS_TRAIN, HALF_KNOWN._replace(images_per_class=count))
    assert set(few.training) <= set(whole.training)
    for part in ("validation", "database", "queries"):
        assert (getattr(few, part) == getattr(whole, part)).all()
    for label in range(8):
        had = (LABELS[whole.training] == label).sum()
        assert (LABELS[few.training] == label).sum() == min(count, had)


def test_another_seed_draws_other_images():
    few = [
        paper_split(LABELS, IS_TRAIN, Learned(0, 2, seed)).training.tobytes() for seed in range(5)
    ]
    assert len(set(few)) == 5


@pytest.mark.parametrize("search_all", [False, True])
def test_unseen_classes_have_no_image_in_training(search_all):
    split = unseen_split(LABELS, IS_TRAIN, HALF_KNOWN, share=0.5, search_all=search_all)
    training, validation, database, queries = sets(split)
    assert len(split.classes) == 4
    assert {LABELS[i] for i in training | validation} == set(split.classes)
    searched = set(range(8)) if search_all else set(range(8)) - set(split.classes.tolist())
    assert {LABELS[i] for i in queries} == {LABELS[i] for i in database} == searched
    assert queries == {i for i in np.flatnonzero(~IS_TRAIN) if LABELS[i] in searched}
    assert database == {i for i in np.flatnonzero(IS_TRAIN) if LABELS[i] in searched}


def test_which_classes_are_unseen_is_drawn_from_the_seed():
    def seen(seed: int) -> bytes:
        learned = HALF_KNOWN._replace(seed=seed)
        split = unseen_split(LABELS, IS_TRAIN, learned, share=0.5, search_all=False)
        return split.classes.tobytes()

    assert seen(1) == seen(1)
    assert len({seen(seed) for seed in range(10)}) > 5


@pytest.mark.parametrize(("share", "count"), [(0.1, 1), (0.9, 7)])
def test_too_few_classes_on_one_side(share, count):
    with pytest.raises(InputError) as caught:
        unseen_split(LABELS, IS_TRAIN, HALF_KNOWN, share=share, search_all=False)
    assert caught.value.lines == (
        f"unseen_share: {share:g} of 8 classes is {count}; at least 2 must be unseen and 2 trained",
    )


def test_the_folds_of_all_seeds_are_one_cross_validation():
    asked = []
    for seed in range(5):
        split = cross_split(LABELS, HALF_KNOWN._replace(seed=seed), folds=5)
        training, validation, database, queries = sets(split)
        assert training | validation == database == set(range(160)) - queries
        assert np.bincount(LABELS[split.queries]).tolist() == [4] * 8  # stratified
        asked += sorted(queries)
    assert sorted(asked) == list(range(160))
    assert (
        sets(cross_split(LABELS, HALF_KNOWN._replace(seed=7), folds=5))[3]
        == sets(cross_split(LABELS, HALF_KNOWN._replace(seed=2), folds=5))[3]
    )


def test_more_folds_than_a_class_has_images():
    with pytest.raises(InputError) as caught:
        cross_split(np.array([0, 0, 0, 1, 1]), HALF_KNOWN, folds=3)
    assert caught.value.lines == (
        "folds: class 1 has 2 images, too few for 3 folds; give at most 2, or another protocol",
    )


def test_unseen_classes_that_nobody_asks_about():
    def split(seed: int, is_train: np.ndarray) -> Split:
        learned = HALF_KNOWN._replace(seed=seed)
        return unseen_split(LABELS, is_train, learned, share=0.25, search_all=False)

    asked = LABELS > 0  # only class 0 has test images, and this seed trains it
    seed = next(seed for seed in range(20) if 0 in split(seed, IS_TRAIN).classes)
    with pytest.raises(InputError) as caught:
        split(seed, asked)
    assert caught.value.lines == (
        f"unseen_share: of the 2 classes that seed {seed} leaves unseen, 0 images ask and 40 are"
        " searched; both sides need some",
    )
