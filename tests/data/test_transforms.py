"""Crops, augmentations and normalisation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from concepthash.data.transforms import evaluation_transform, normalize, training_transform

AUGMENTATIONS = ("trivial", "crop-flip-color", "none")


def noise(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (3, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 29), (40, 16)])
def test_augmentations_give_a_square_of_bytes_for_every_seed(augmentation, height, width):
    transform = training_transform(augmentation, 16)
    for seed in range(40):
        torch.manual_seed(seed)
        result = transform(noise(height, width))
        assert result.shape == (3, 16, 16)
        assert result.dtype == torch.uint8


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (16, 16, slice(0, 16), slice(0, 16)),
        (16, 30, slice(0, 16), slice(7, 23)),
        (20, 16, slice(2, 18), slice(0, 16)),
    ],
)
def test_evaluation_takes_the_central_crop(height, width, rows, columns):
    image = noise(height, width)
    assert torch.equal(evaluation_transform(16)(image), image[:, rows, columns])
    assert torch.equal(training_transform("none", 16)(image), image[:, rows, columns])


@pytest.mark.parametrize("augmentation", ["trivial", "crop-flip-color"])
def test_augmentation_is_decided_by_torchs_seed(augmentation):
    transform, image = training_transform(augmentation, 16), noise(16, 24)

    def drawn(seed: int) -> bytes:
        torch.manual_seed(seed)
        return transform(image).numpy().tobytes()

    assert [drawn(seed) for seed in range(8)] == [drawn(seed) for seed in range(8)]
    assert len({drawn(seed) for seed in range(8)}) > 4


@pytest.mark.parametrize("augmentation", ["trivial", "crop-flip-color"])
def test_augmentation_does_not_change_its_argument(augmentation):
    image = noise(16, 24)
    before = image.clone()
    for _ in range(8):
        training_transform(augmentation, 16)(image)
    assert torch.equal(image, before)


def test_error_names_the_known_augmentations():
    with pytest.raises(ValueError, match="trivial, crop-flip-color or none: 'mixup'"):
        training_transform("mixup", 16)


def test_normalize_uses_mean_and_deviation_of_each_channel():
    images = torch.stack([noise(2, 2), noise(2, 2).flip(2)])
    mean, std = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.25, 0.125])
    result = normalize(images, torch.tensor(mean).float(), torch.tensor(std).float())
    assert result.dtype == torch.float32
    expected = (images.numpy() / 255 - mean[:, None, None]) / std[:, None, None]
    assert result.numpy() == pytest.approx(expected, abs=1e-6)
