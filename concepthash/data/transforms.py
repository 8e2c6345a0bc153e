"""From a decoded image to the S x S input, on uint8 tensors (3, H, W)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

Transform = Callable[[Tensor], Tensor]


def evaluation_transform(image_size: int) -> Transform:
    """The central square. Images are cached with their shorter side at `image_size`."""
    crop: Transform = v2.CenterCrop(image_size)
    return crop


def training_transform(augmentation: str, image_size: int) -> Transform:
    """The augmentation of that name.

    `trivial`: TrivialAugment (Mueller & Hutter, ICCV 2021) on a random square, and a flip, as in
    the paper; `crop-flip-color`: random resized crop, flip, colour jitter; `none`: as evaluated.
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
    """uint8 (B, 3, S, S) to float32 with channel means and deviations (3,) of values in [0, 1]."""
    return (images.to(torch.float32) / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
