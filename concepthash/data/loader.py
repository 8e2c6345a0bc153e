"""Batches that depend on the seed, the epoch and the image alone, not on how they are loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from concepthash.data.cache import Pixels
from concepthash.data.transforms import Transform

Batch = tuple[Tensor, Tensor]
"""Images uint8 (B, 3, S, S) and labels int64 (B,)."""


class _Images(Dataset[Batch]):
    """Fetched by a list of (index, seed) pairs, a whole batch at once."""

    def __init__(self, pixels: Pixels, labels: np.ndarray, transform: Transform) -> None:
        self.pixels, self.labels, self.transform = pixels, torch.from_numpy(labels), transform

    def __getitem__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        images = []
        # Augmentations draw from torch's global generator: give each image its own stream, and
        # leave the generator as it was.
        with torch.random.fork_rng(devices=[]):
            for index, seed in keys:
                torch.manual_seed(seed)
                images.append(self.transform(self.pixels[index]))
        return torch.stack(images), self.labels[[index for index, _ in keys]]


def steps_per_epoch(num_images: int, batch_size: int) -> int:
    """Batches of an epoch; a last batch of one image is left out: batch statistics need two."""
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
    """One epoch over `indices` in random order, each image augmented from its own seed."""
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
    batch_size: int = 128,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[Batch]:
    """`indices` in their order."""
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
        sampler=batches,  # each item is the keys of a whole batch
        batch_size=None,
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # else it would draw its workers' seed from the global one
    )
