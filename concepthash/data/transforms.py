"""Crops and augmentations: from a decoded image, uint8 (3, H, W), to the input (3, S, S)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Transform = Callable[[Tensor], Tensor]


def evaluation_transform(image_size: int) -> Transform:
    """The central crop, for images whose shorter side is `image_size`."""
    return partial(_central_crop, size=image_size)


def _central_crop(image: Tensor, size: int) -> Tensor:
    """(3, H, W) -> (3, size, size)"""
    top, left = (round((length - size) / 2) for length in image.shape[1:])
    return image[:, top : top + size, left : left + size]


def training_transform(augmentation: str, image_size: int) -> Transform:
    """The augmentation called `augmentation`.

    `trivial`: random crop, flip and TrivialAugment (Mueller & Hutter, ICCV 2021), as in the paper;
    `crop-flip-color`: random resized crop, flip and colour jitter; `none`: the central crop.
    Raises ValueError for another name.
    """
    if augmentation == "none":
        return evaluation_transform(image_size)
    from torchvision.transforms import v2  # slow to import

    if augmentation == "trivial":
        steps = [
            v2.RandomCrop(image_size),
            v2.RandomHorizontalFlip(),
            v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR),
        ]
    elif augmentation == "crop-flip-color":
        steps = [
            v2.RandomResizedCrop(image_size, scale=(0.5, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
        ]
    else:
        raise ValueError(f"augmentation must be trivial, crop-flip-color or none: {augmentation!r}")
    compose: Transform = v2.Compose(steps)
    return compose


def normalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(images / 255 - mean) / std for uint8 (B, 3, S, S), as float32; `mean` and `std` are (3,)."""
    return (images.to(torch.float32) / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
