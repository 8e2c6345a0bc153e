"""Batches: decided by seed, epoch and image, however they are loaded."""

from __future__ import annotations

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


def which(batches: list[Batch]) -> list[list[int]]:
    """The indices of the images in each batch; they must not have been augmented."""
    return [images[:, 0, 0, 0].tolist() for images, _ in batches]


def same(some: list[Batch], others: list[Batch]) -> bool:
    return len(some) == len(others) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(some, others, strict=True)
    )


def test_a_batch_is_bytes_and_labels(pixels):
    images, labels = training(pixels)[0]
    assert images.shape == (6, 3, SIDE, SIDE)
    assert images.dtype == torch.uint8
    assert labels.shape == (6,)
    assert labels.dtype == torch.int64


def test_every_image_comes_once_an_epoch_with_its_label(pixels):
    batches = training(pixels, transform="none")
    assert [len(images) for images, _ in batches] == [6, 6, 6, 5]
    assert sorted(chain(*which(batches))) == list(range(COUNT))
    for indices, (_, labels) in zip(which(batches), batches, strict=True):
        assert labels.tolist() == LABELS[indices].tolist()


def test_only_the_images_asked_for_come(pixels):
    indices = np.array([2, 3, 5, 7, 11])
    batches = training(pixels, indices, transform="none")
    assert sorted(chain(*which(batches))) == indices.tolist()


@pytest.mark.parametrize("transform", ["trivial", "crop-flip-color"])
def test_batches_are_the_same_with_and_without_workers(pixels, transform):
    alone = training(pixels, transform=transform)
    assert same(alone, training(pixels, transform=transform, workers=2))
    assert same(alone, training(pixels, transform=transform))


def test_another_epoch_has_another_order_and_other_augmentations(pixels):
    orders = {str(which(training(pixels, transform="none", epoch=e))) for e in range(1, 5)}
    assert len(orders) == 4
    one = np.array([4, 4])  # two times the same image, so that the order says nothing
    assert not same(training(pixels, one, epoch=1), training(pixels, one, epoch=2))


def test_another_seed_is_another_epoch(pixels):
    orders = {str(which(training(pixels, transform="none", seed=s))) for s in range(4)}
    assert len(orders) == 4


def test_an_image_is_augmented_by_itself(pixels):
    """The batch around an image does not change what becomes of it."""
    small, large = training(pixels, batch_size=4), training(pixels, batch_size=23)
    assert torch.equal(torch.cat([images for images, _ in small]), large[0][0])


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_generator_is_left_as_it_was(pixels, workers):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    training(pixels, workers=workers)
    list(evaluation_batches(pixels, LABELS, np.arange(COUNT), evaluation_transform(SIDE)))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_was_drawn_before_changes_nothing(pixels):
    torch.manual_seed(5)
    first = training(pixels)
    torch.rand(100)
    assert same(first, training(pixels))


@pytest.mark.parametrize(
    ("count", "sizes"), [(12, [6, 6]), (13, [6, 6]), (14, [6, 6, 2]), (6, [6]), (7, [6]), (1, [1])]
)
def test_a_last_batch_of_one_is_left_out_unless_it_is_the_only_one(pixels, count, sizes):
    assert [len(images) for images, _ in training(pixels, np.arange(count))] == sizes


def test_evaluation_keeps_the_order_and_leaves_nothing_out(pixels):
    indices = np.array([9, 0, 22, 9, 1, 2, 3])
    batches = list(
        evaluation_batches(pixels, LABELS, indices, evaluation_transform(SIDE), batch_size=3)
    )
    assert which(batches) == [[9, 0, 22], [9, 1, 2], [3]]
    assert torch.cat([labels for _, labels in batches]).tolist() == LABELS[indices].tolist()
    assert torch.equal(batches[0][0][0], pixels[9][:, :, 2:-2])  # the central square
