"""Validation split and protocols: which images are for training, queries and database."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.data.split import (
    Split,
    TrainingImages,
    cross_split,
    paper_split,
    unseen_split,
    validation_split,
)
from concepthash.errors import InputError

# --- the validation split --------------------------------------------------------------------

some_labels = st.lists(st.integers(0, 6), min_size=1, max_size=80).map(np.array)
some_share = st.floats(0.01, 0.5)
some_seed = st.integers(0, 2**32)


@settings(max_examples=100, deadline=None)
@given(some_labels, some_share, some_seed)
def test_validation_split_holds_out_a_share_of_each_class_of_at_least_four(labels, share, seed):
    held_out = validation_split(labels, share, seed)
    for label in range(7):
        size, count = (labels == label).sum(), held_out[labels == label].sum()
        if size < 4:
            assert count == 0
        else:
            assert 1 <= count <= size / 2
            assert count == 1 or abs(count - share * size) <= 0.5


@settings(max_examples=50, deadline=None)
@given(some_labels, some_share, some_seed)
def test_validation_split_is_the_same_for_the_same_seed(labels, share, seed):
    first, again = validation_split(labels, share, seed), validation_split(labels, share, seed)
    assert (first == again).all()


def test_validation_split_holds_out_every_image_equally_often_over_seeds():
    labels = np.repeat([0, 1], [6, 10])
    times = sum(validation_split(labels, 0.3, seed).astype(int) for seed in range(400))
    # 2 of 6 and 3 of 10: 133 and 120 times expected, with a deviation below 10.
    assert times[:6] == pytest.approx(133, abs=40)
    assert times[6:] == pytest.approx(120, abs=40)


def test_validation_split_of_share_zero_is_empty():
    assert not validation_split(np.zeros(100, dtype=int), 0, 0).any()


@pytest.mark.parametrize(("size", "count"), [(3, 0), (4, 1), (5, 1), (14, 1), (16, 2), (100, 10)])
def test_validation_split_rounds_a_tenth_of_a_class(size, count):
    assert validation_split(np.zeros(size, dtype=int), 0.1, 0).sum() == count


# --- protocols -------------------------------------------------------------------------------

LABELS = np.repeat(np.arange(8), 20)
IS_TRAIN = np.random.default_rng(0).random(160) < 0.6
WITH_VALIDATION = TrainingImages(validation_share=0.2, images_per_class=None, seed=3)


def sets(split: Split) -> tuple[set[int], set[int], set[int], set[int]]:
    parts = (split.training, split.validation, split.database, split.queries)
    return tuple(set(part.tolist()) for part in parts)


def test_paper_split_has_test_images_as_queries_and_all_training_images_as_database():
    split = paper_split(LABELS, IS_TRAIN, WITH_VALIDATION)
    training, validation, database, queries = sets(split)
    assert queries == set(np.flatnonzero(~IS_TRAIN))
    assert database == set(np.flatnonzero(IS_TRAIN))
    assert training | validation == database
    assert not training & validation
    assert set(LABELS[split.validation]) == set(LABELS) == set(split.classes)


def test_paper_split_without_validation_trains_on_the_whole_database():
    split = paper_split(np.zeros(8, dtype=int), np.arange(8) < 5, TrainingImages(0, None, 0))
    assert split.training.tolist() == split.database.tolist() == [0, 1, 2, 3, 4]
    assert len(split.validation) == 0


@pytest.mark.parametrize("count", [1, 5, 100])
def test_images_per_class_reduces_only_the_training_images(count):
    whole = paper_split(LABELS, IS_TRAIN, WITH_VALIDATION)
    few = paper_split(LABELS, IS_TRAIN, WITH_VALIDATION._replace(images_per_class=count))
    assert set(few.training) <= set(whole.training)
    for part in ("validation", "database", "queries"):
        assert (getattr(few, part) == getattr(whole, part)).all()
    for label in range(8):
        had = (LABELS[whole.training] == label).sum()
        assert (LABELS[few.training] == label).sum() == min(count, had)


def test_images_per_class_are_drawn_by_seed():
    few = [
        paper_split(LABELS, IS_TRAIN, TrainingImages(0, 2, seed)).training.tobytes()
        for seed in range(5)
    ]
    assert len(set(few)) == 5


@pytest.mark.parametrize("search_all", [False, True])
def test_unseen_split_has_no_image_of_unseen_classes_in_training(search_all):
    split = unseen_split(LABELS, IS_TRAIN, WITH_VALIDATION, share=0.5, search_all=search_all)
    training, validation, database, queries = sets(split)
    assert len(split.classes) == 4
    assert {LABELS[i] for i in training | validation} == set(split.classes)
    evaluated = set(range(8)) if search_all else set(range(8)) - set(split.classes.tolist())
    assert {LABELS[i] for i in queries} == {LABELS[i] for i in database} == evaluated
    assert queries == {i for i in np.flatnonzero(~IS_TRAIN) if LABELS[i] in evaluated}
    assert database == {i for i in np.flatnonzero(IS_TRAIN) if LABELS[i] in evaluated}


def test_unseen_classes_are_drawn_by_seed():
    def seen(seed: int) -> bytes:
        images = WITH_VALIDATION._replace(seed=seed)
        split = unseen_split(LABELS, IS_TRAIN, images, share=0.5, search_all=False)
        return split.classes.tobytes()

    assert seen(1) == seen(1)
    assert len({seen(seed) for seed in range(10)}) > 5


@pytest.mark.parametrize(("share", "count"), [(0.1, 1), (0.9, 7)])
def test_unseen_split_needs_two_unseen_and_two_training_classes(share, count):
    with pytest.raises(InputError) as caught:
        unseen_split(LABELS, IS_TRAIN, WITH_VALIDATION, share=share, search_all=False)
    assert caught.value.lines == (
        f"protocol.share: {share:g} of 8 classes is {count}; at least 2 classes must be unseen"
        " and 2 trained",
    )


def test_cross_split_is_a_stratified_cross_validation_over_the_seeds():
    all_queries = []
    for seed in range(5):
        split = cross_split(LABELS, WITH_VALIDATION._replace(seed=seed), folds=5)
        training, validation, database, queries = sets(split)
        assert training | validation == database == set(range(160)) - queries
        assert np.bincount(LABELS[split.queries]).tolist() == [4] * 8  # of 20 images
        all_queries += sorted(queries)
    assert sorted(all_queries) == list(range(160))
    assert (
        sets(cross_split(LABELS, WITH_VALIDATION._replace(seed=7), folds=5))[3]
        == sets(cross_split(LABELS, WITH_VALIDATION._replace(seed=2), folds=5))[3]
    )


def test_cross_split_needs_an_image_of_each_class_in_each_fold():
    with pytest.raises(InputError) as caught:
        cross_split(np.array([0, 0, 0, 1, 1]), WITH_VALIDATION, folds=3)
    assert caught.value.lines == (
        "protocol.folds: class 1 has 2 images, too few for 3 folds; give at most 2, or another"
        " protocol",
    )


def test_unseen_split_needs_queries():
    def split(seed: int, is_train: np.ndarray) -> Split:
        images = WITH_VALIDATION._replace(seed=seed)
        return unseen_split(LABELS, is_train, images, share=0.25, search_all=False)

    is_train = LABELS > 0  # only class 0 has test images
    seed = next(seed for seed in range(20) if 0 in split(seed, IS_TRAIN).classes)
    with pytest.raises(InputError) as caught:
        split(seed, is_train)
    assert caught.value.lines == (
        f"protocol.share: the 2 unseen classes of seed {seed} have 0 test images and 40 training"
        " images; at least 1 of each is needed",
    )
