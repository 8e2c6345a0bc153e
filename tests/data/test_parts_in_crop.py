"""Positions of annotated parts in the square crop that the model gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from concepthash.data.decode import decode_image
from concepthash.data.image_set import ImageSet
from concepthash.data.parts import parts_in_crop
from concepthash.data.transforms import evaluation_transform


def one_image(path: Path, parts: np.ndarray | None) -> ImageSet:
    return ImageSet(
        name="one",
        root=path.parent,
        paths=(path,),
        labels=np.zeros(1, dtype=np.int64),
        is_train=np.array([False]),
        class_names=("bird",),
        families=("",),
        part_names=("head", "tail"),
        parts=parts,
    )


def dot_at(path: Path, size: tuple[int, int], x: int, y: int, **settings) -> np.ndarray:
    """Saves a white dot at pixel x, y and returns its place in the decoded and cropped image."""
    width, height = size
    dot = np.zeros((height, width, 3), dtype=np.uint8)
    dot[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 255
    Image.fromarray(dot).save(path, **settings)
    seen = evaluation_transform(64)(torch.tensor(decode_image(path, 64)).permute(2, 0, 1))
    mass = seen[0].double()
    rows, columns = (torch.arange(64.0, dtype=torch.float64) + 0.5 for _ in range(2))
    return np.array([(mass.sum(d) * at).sum() / mass.sum() for d, at in ((0, columns), (1, rows))])


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (150, 100), (100, 163), (37, 50)])
@pytest.mark.parametrize("place", [(0.5, 0.5), (0.42, 0.61)])
def test_part_is_where_a_white_dot_is_in_the_decoded_and_cropped_image(tmp_path, size, place):
    x, y = (round(share * side) for share, side in zip(place, size, strict=True))
    path = tmp_path / "dot.png"
    expected = dot_at(path, size, x, y)
    parts = np.array([[[x + 0.5, y + 0.5, 1.0], [0, 0, 0]]], dtype=np.float32)
    (head, tail) = parts_in_crop(one_image(path, parts), np.array([0]), 64)[0]
    assert head[:2] == pytest.approx(expected, abs=0.6)
    assert (head[2], tail[2]) == (1, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_part_is_turned_with_a_picture_that_has_an_exif_orientation(tmp_path, ending, orientation):
    path, exif = tmp_path / f"dot.{ending}", Image.Exif()
    exif[0x0112] = orientation
    x, y = 45, 40  # in the crop whichever way the picture is turned, never at its middle
    expected = dot_at(path, (100, 66), x, y, exif=exif)
    parts = np.array([[[x + 0.5, y + 0.5, 1.0], [0, 0, 0]]], dtype=np.float32)
    head = parts_in_crop(one_image(path, parts), np.array([0]), 64)[0, 0]
    assert head[:2] == pytest.approx(expected, abs=0.6)
    assert head[2] == 1


def test_part_outside_the_crop_is_not_visible(tmp_path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (200, 100)).save(path)
    parts = np.array([[[10.0, 50.0, 1.0], [100.0, 50.0, 1.0]]], dtype=np.float32)
    images = one_image(path, parts)
    (cut, kept) = parts_in_crop(images, np.array([0]), 50)[0]
    assert cut[2] == 0
    assert kept.tolist() == [25, 25, 1]
    assert (images.parts == parts).all()  # the image set is unchanged


def test_data_set_without_parts_has_none_in_the_crop(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    assert parts_in_crop(one_image(path, None), np.array([0]), 8).shape == (1, 0, 3)
