"""Crops and augmentations: from a decoded image, uint8 (3, H, W), to the input (3, S, S)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

Transform = Callable[[Tensor], Tensor]


def evaluation_transform(image_size: int) -> Transform:
    """The central crop, for images whose shorter side is `image_size`."""
    crop: Transform = v2.CenterCrop(image_size)
    return crop


def training_transform(augmentation: str, image_size: int) -> Transform:
    """The augmentation called `augmentation`.

    `trivial`: random crop, flip and TrivialAugment (Mueller & Hutter, ICCV 2021), as in the paper;
    `crop-flip-color`: random resized crop, flip and colour jitter; `none`: the central crop.
    Raises ValueError for another name.
    """
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
    elif augmentation == "none":
        return evaluation_transform(image_size)
    else:
        raise ValueError(f"augmentation must be trivial, crop-flip-color or none: {augmentation!r}")
    compose: Transform = v2.Compose(steps)
    return compose


def normalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(images / 255 - mean) / std for uint8 (B, 3, S, S), as float32; `mean` and `std` are (3,)."""
    return (images.to(torch.float32) / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
