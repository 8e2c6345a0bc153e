"""Batches of images, decided by seed, epoch and image: the number of workers changes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from concepthash.data.cache import Pixels
from concepthash.data.transforms import Transform


class Batch(NamedTuple):
    images: Tensor
    """(B, 3, S, S) uint8."""
    labels: Tensor
    """(B,) int64."""
    indices: Tensor
    """(B,) int64, the position of each image in the image set."""


class _Images(Dataset[Batch]):
    """Gives a whole batch for a list of (index, seed) pairs."""

    def __init__(self, pixels: Pixels, labels: np.ndarray, transform: Transform) -> None:
        self.pixels, self.labels, self.transform = pixels, torch.from_numpy(labels), transform

    def __getitem__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        images = []
        # Augmentations draw from torch's generator of the CPU: seed it for each image, and restore
        # its state afterwards. torch.manual_seed would seed every GPU, too: dropout there draws
        # from it, and without one torch formats tracebacks at each call, 0.3 to 0.7 ms an image.
        generator = torch.default_generator
        before = generator.get_state()
        try:
            for index, seed in keys:
                generator.manual_seed(seed)
                images.append(self.transform(self.pixels[index]))
        finally:
            generator.set_state(before)
        indices = torch.tensor([index for index, _ in keys])
        return Batch(torch.stack(images), self.labels[indices], indices)


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Batches of an epoch. A last batch of one image is dropped: batch statistics need two."""
    return max(1, math.ceil(num_images / batch_size) - (num_images % batch_size == 1))


def training_batches(
    pixels: Pixels,
    labels: np.ndarray,
    indices: np.ndarray,
    transform: Transform,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """One epoch over the images `indices` in random order, each augmented with its own seed.

    Order and seeds follow from `seed` and `epoch`. `labels` (N,) are those of all images.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(indices)
    seeds = rng.integers(2**63, size=len(order))
    keys = list(zip(order.tolist(), seeds.tolist(), strict=True))
    batches = [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]
    batches = batches[: steps_per_epoch(len(keys), batch_size)]
    yield from _loader(pixels, labels, transform, batches, workers, pin_memory)


def evaluation_batches(
    pixels: Pixels,
    labels: np.ndarray,
    indices: np.ndarray,
    transform: Transform,
    *,
    batch_size: int,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """The images `indices` in this order, none dropped. `labels` (N,) are those of all images."""
    keys = [(index, 0) for index in indices.tolist()]
    batches = [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]
    yield from _loader(pixels, labels, transform, batches, workers, pin_memory)


def _loader(
    pixels: Pixels,
    labels: np.ndarray,
    transform: Transform,
    batches: list[list[tuple[int, int]]],
    workers: int,
    pin_memory: bool,
) -> DataLoader[Batch]:
    return DataLoader(
        _Images(pixels, labels, transform),
        sampler=batches,  # an item is the list of keys of a whole batch
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else the global one would give the workers' seed
    )
