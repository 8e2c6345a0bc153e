"""Positions of annotated parts in the square crop that the model gets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from concepthash.data.decode import turn_of
from concepthash.data.image_set import ImageSet


def parts_in_crop(images: ImageSet, indices: np.ndarray, image_size: int) -> NDArray[np.float32]:
    """(B, P, 3): x, y in pixels of the central crop of side `image_size`, and visible (0 or 1).

    A part outside the crop is not visible. P is 0 for a data set without annotated parts. The
    positions in `images` are those in the stored pixels; where the EXIF orientation makes
    `decode_image` turn a picture, its parts are turned with it.
    """
    if images.parts is None:
        return np.zeros((len(indices), 0, 3), dtype=np.float32)
    parts = images.parts[indices].astype(np.float32, copy=True)
    for part, index in zip(parts, indices.tolist(), strict=True):
        turn = turn_of(images.paths[index])
        size = np.array(turn.size)
        resized = np.maximum(image_size, np.round(size * image_size / size.min()))
        part[:, :2] = turn.points(part[:, :2]) * (resized / size) - np.round(
            (resized - image_size) / 2
        )
        inside = ((part[:, :2] >= 0) & (part[:, :2] < image_size)).all(axis=1)
        part[:, 2] *= inside
    return parts
