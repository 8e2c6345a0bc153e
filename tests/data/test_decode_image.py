"""Decoding one image: pixels of each kind of file, orientation and scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from concepthash.data.cache import decode_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(256, size=(height, width, 3), dtype=np.uint8))


def decoded(path: Path, image: Image.Image, image_size: int = 4, **settings) -> np.ndarray:
    image.save(path, **settings)
    return decode_image(path, image_size)


def test_rgb_is_unchanged(tmp_path):
    image = noise(4, 4)
    pixels = decoded(tmp_path / "a.png", image)
    assert pixels.dtype == np.uint8
    assert (pixels == np.asarray(image)).all()


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 10
    pixels = decoded(tmp_path / "a.png", Image.fromarray(grey))
    assert (pixels == grey[:, :, None]).all()


def test_sixteen_bit_grey_keeps_the_upper_eight_bits(tmp_path):
    deep = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    pixels = decoded(tmp_path / "a.png", Image.fromarray(deep))
    assert (pixels == (deep // 256)[:, :, None]).all()


def test_one_bit_images_become_black_and_white(tmp_path):
    image = Image.new("1", (4, 4))
    image.putpixel((1, 0), 1)
    pixels = decoded(tmp_path / "a.png", image)
    assert (pixels[0, 1] == 255).all()
    assert pixels.sum() == 3 * 255


def test_rgba_is_blended_with_white(tmp_path):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))  # black, if its alpha were dropped
    image.putpixel((1, 0), (*RED, 255))
    image.putpixel((2, 0), (*RED, 51))  # a fifth of red on white
    pixels = decoded(tmp_path / "a.png", image)
    assert pixels[0, 1].tolist() == [255, 0, 0]
    assert pixels[0, 2].tolist() == [255, 204, 204]
    assert (pixels[0, 3] == 255).all()
    assert (pixels[1:] == 255).all()


def test_grey_with_alpha_is_blended_with_white(tmp_path):
    image = Image.new("LA", (4, 4), (0, 0))
    image.putpixel((3, 3), (100, 255))
    pixels = decoded(tmp_path / "a.png", image)
    assert pixels[3, 3].tolist() == [100, 100, 100]
    assert (pixels[:3] == 255).all()


def test_palette_is_looked_up(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([*BLUE, *RED, 7, 8, 9])
    image.putpixel((2, 1), 2)
    pixels = decoded(tmp_path / "a.png", image)
    assert pixels[1, 2].tolist() == [7, 8, 9]
    assert pixels[0, 0].tolist() == [255, 0, 0]


def test_transparent_entry_of_a_palette_becomes_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([*BLUE, *RED])
    image.putpixel((2, 1), 1)
    pixels = decoded(tmp_path / "a.gif", image, transparency=0)
    assert pixels[1, 2].tolist() == [255, 0, 0]
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_transparent_colour_of_rgb_becomes_white(tmp_path):
    image = Image.new("RGB", (4, 4), BLUE)
    image.putpixel((2, 1), RED)
    pixels = decoded(tmp_path / "a.png", image, transparency=BLUE)
    assert pixels[1, 2].tolist() == [255, 0, 0]
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_cmyk_becomes_rgb(tmp_path):
    pixels = decoded(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), 8)
    assert pixels[4, 4] == pytest.approx(RED, abs=8)


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, lambda p: p.transpose(1, 0, 2)[:, ::-1]),  # a quarter turn clockwise
        (7, lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda p: p.transpose(1, 0, 2)[::-1]),
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, turned):
    image, exif = noise(7, 4), Image.Exif()
    exif[0x0112] = orientation
    pixels = decoded(tmp_path / "a.png", image, exif=exif)
    assert (pixels == turned(np.asarray(image))).all()


@pytest.mark.parametrize(
    ("width", "height", "side", "expected"),
    [
        (40, 20, 10, (10, 20)),
        (20, 50, 10, (25, 10)),
        (30, 30, 32, (32, 32)),
        (1, 9, 4, (36, 4)),
        (333, 334, 7, (7, 7)),
    ],
)
def test_shorter_side_is_scaled_to_the_image_size(tmp_path, width, height, side, expected):
    assert decoded(tmp_path / "a.png", noise(width, height), side).shape == (*expected, 3)


def test_scaling_keeps_a_uniform_colour(tmp_path):
    pixels = decoded(tmp_path / "a.png", Image.new("RGB", (50, 31), (10, 200, 90)), 8)
    assert (pixels == [10, 200, 90]).all()
