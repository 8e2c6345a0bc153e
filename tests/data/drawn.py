"""Images that tests of decoding draw, and why a file is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from concepthash.data.decode import decode_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(256, size=(height, width, 3), dtype=np.uint8))


def decoded(path: Path, image: Image.Image, image_size: int = 4, **settings) -> np.ndarray:
    image.save(path, **settings)
    return decode_image(path, image_size)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is what is tested
        decode_image(path, 4)
    return str(caught.value)
