"""Batches of images: decided by seed, epoch and image, for any number of workers."""

from __future__ import annotations

import cProfile
import pstats
from itertools import chain

import numpy as np
import pytest
import torch

from concepthash.data.cache import Pixels
from concepthash.data.loader import Batch, evaluation_batches, training_batches
from concepthash.data.transforms import evaluation_transform, training_transform

COUNT, SIDE = 23, 8
LABELS = np.arange(COUNT) % 4


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    """23 images of noise, wider than high, told apart by their first pixel."""
    images = np.random.default_rng(0).integers(256, size=(COUNT, SIDE, SIDE + 4, 3), dtype=np.uint8)
    images[:, :, :, 0] = np.arange(COUNT)[:, None, None]
    length = images[0].size
    sizes = np.tile([SIDE, SIDE + 4], (COUNT, 1))
    return Pixels(images.reshape(-1), np.arange(COUNT) * length, sizes)


def training(pixels: Pixels, indices=None, *, transform="trivial", **settings) -> list[Batch]:
    settings = {"batch_size": 6, "seed": 0, "epoch": 1, **settings}
    indices = np.arange(COUNT) if indices is None else indices
    transform = training_transform(transform, SIDE)
    return list(training_batches(pixels, LABELS, indices, transform, **settings))


def shown(batches: list[Batch]) -> list[list[int]]:
    """Which images each batch shows, by their first pixel; they must not be augmented."""
    return [batch.images[:, 0, 0, 0].tolist() for batch in batches]


def same(some: list[Batch], others: list[Batch]) -> bool:
    return len(some) == len(others) and all(
        torch.equal(one, other)
        for batch, twin in zip(some, others, strict=True)
        for one, other in zip(batch, twin, strict=True)
    )


def test_batch_has_images_as_bytes_with_labels_and_indices(pixels):
    batch = training(pixels)[0]
    assert batch.images.shape == (6, 3, SIDE, SIDE)
    assert batch.images.dtype == torch.uint8
    assert batch.labels.shape == batch.indices.shape == (6,)
    assert batch.labels.dtype == batch.indices.dtype == torch.int64


@pytest.mark.parametrize("workers", [0, 2])
def test_epoch_has_every_image_once_with_its_label_and_index(pixels, workers):
    batches = training(pixels, transform="none", workers=workers)
    assert [len(batch.images) for batch in batches] == [6, 6, 6, 5]
    assert sorted(chain(*shown(batches))) == list(range(COUNT))
    for images, batch in zip(shown(batches), batches, strict=True):
        assert batch.labels.tolist() == LABELS[images].tolist()
        assert batch.indices.tolist() == images


def test_epoch_over_some_images_has_only_these_by_their_index_in_the_set(pixels):
    indices = np.array([2, 3, 5, 7, 11])
    batches = training(pixels, indices, transform="none")
    assert sorted(chain(*shown(batches))) == indices.tolist()
    assert torch.cat([batch.indices for batch in batches]).tolist() == [*chain(*shown(batches))]


@pytest.mark.parametrize("transform", ["trivial", "crop-flip-color"])
def test_batches_are_the_same_for_any_number_of_workers(pixels, transform):
    alone = training(pixels, transform=transform)
    assert same(alone, training(pixels, transform=transform, workers=2))
    assert same(alone, training(pixels, transform=transform))


def test_epochs_differ_in_order_and_augmentation(pixels):
    orders = {str(shown(training(pixels, transform="none", epoch=e))) for e in range(1, 5)}
    assert len(orders) == 4
    one = np.array([4, 4])  # the same image twice, so that only augmentation can differ
    assert not same(training(pixels, one, epoch=1), training(pixels, one, epoch=2))


def test_seeds_differ_in_order(pixels):
    orders = {str(shown(training(pixels, transform="none", seed=s))) for s in range(4)}
    assert len(orders) == 4


def test_augmentation_of_an_image_does_not_depend_on_the_batch_size(pixels):
    small, large = training(pixels, batch_size=4), training(pixels, batch_size=23)
    assert torch.equal(torch.cat([batch.images for batch in small]), large[0].images)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_leave_the_global_generator_as_it_was(pixels, workers):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    training(pixels, workers=workers)
    list(
        evaluation_batches(
            pixels, LABELS, np.arange(COUNT), evaluation_transform(SIDE), batch_size=8
        )
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_do_not_depend_on_the_global_generator(pixels):
    torch.manual_seed(5)
    first = training(pixels)
    torch.rand(100)
    assert same(first, training(pixels))


def test_an_image_that_is_not_augmented_costs_few_calls_of_python(pixels):
    """torch.manual_seed alone is 2,000: it seeds every kind of device, and formats tracebacks."""
    profile = cProfile.Profile()
    list(profile.runcall(training, pixels, transform="none"))
    assert pstats.Stats(profile).total_calls < 100 * COUNT


@pytest.mark.parametrize(
    ("count", "sizes"), [(12, [6, 6]), (13, [6, 6]), (14, [6, 6, 2]), (6, [6]), (7, [6]), (1, [1])]
)
def test_a_last_batch_of_one_image_is_dropped_unless_it_is_the_only_one(pixels, count, sizes):
    assert [len(batch.images) for batch in training(pixels, np.arange(count))] == sizes


def test_evaluation_batches_keep_the_order_and_drop_nothing(pixels):
    indices = np.array([9, 0, 22, 9, 1, 2, 3])
    batches = list(
        evaluation_batches(pixels, LABELS, indices, evaluation_transform(SIDE), batch_size=3)
    )
    assert shown(batches) == [[9, 0, 22], [9, 1, 2], [3]]
    assert torch.cat([batch.labels for batch in batches]).tolist() == LABELS[indices].tolist()
    assert torch.cat([batch.indices for batch in batches]).tolist() == indices.tolist()
    assert torch.equal(batches[0].images[0], pixels[9][:, :, 2:-2])  # the central crop
