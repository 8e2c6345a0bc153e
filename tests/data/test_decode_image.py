"""Decoding one image: pixels of each kind of file, orientation and scale."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from drawn import BLUE, RED, decoded, noise
from PIL import Image

from concepthash.data.decode import decode_image


def test_rgb_is_unchanged(tmp_path):
    image = noise(4, 4)
    pixels = decoded(tmp_path / "a.png", image)
    assert pixels.dtype == np.uint8
    assert (pixels == np.asarray(image)).all()


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 10
    pixels = decoded(tmp_path / "a.png", Image.fromarray(grey))
    assert (pixels == grey[:, :, None]).all()


DEEP = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)


@pytest.mark.parametrize(
    ("mode", "dtype", "file"),
    [("I;16", "<u2", "a.png"), ("I;16", "<u2", "a.tif"), ("I;16B", ">u2", "a.tif")],
)
def test_sixteen_bit_grey_keeps_the_upper_eight_bits(tmp_path, mode, dtype, file):
    image = Image.frombytes(mode, (4, 4), DEEP.astype(dtype).tobytes())
    pixels = decoded(tmp_path / file, image)
    assert (pixels == (DEEP // 256)[:, :, None]).all()


def test_transparent_value_of_sixteen_bit_grey_becomes_white(tmp_path):
    image = Image.fromarray(DEEP)
    pixels = decoded(tmp_path / "a.png", image, transparency=int(DEEP[0, 1]))
    expected = DEEP // 256
    expected[0, 1] = 255
    assert (pixels == expected[:, :, None]).all()


def grey_tiff(path: Path, width: int, bits: int, photometric: int, data: bytes) -> Path:
    """One row of uncompressed pixels; the layout is that of TIFF 6.0, sections 2 and 3."""
    short, long = 3, 4
    tags = [
        (256, long, width), (257, long, 1), (258, short, bits), (259, short, 1),
        (262, short, photometric), (273, long, 8), (277, short, 1), (278, long, 1),
        (279, long, len(data)),
    ]  # fmt: skip
    path.write_bytes(
        struct.pack("<2sHI", b"II", 42, 8 + len(data))
        + data
        + struct.pack("<H", len(tags))
        + b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
        + bytes(4)
    )
    return path


def test_twelve_bit_grey_keeps_the_upper_eight_bits(tmp_path):
    packed = bytes.fromhex("000100800fff")  # 0, 256, 2048, 4095
    pixels = decode_image(grey_tiff(tmp_path / "a.tif", 4, 12, 1, packed), 1)
    assert pixels[0, :, 0].tolist() == [0, 16, 128, 255]


def test_sixteen_bit_grey_whose_white_is_zero_is_not_inverted(tmp_path):
    values = np.array([0, 65535, 0x1234], dtype="<u2").tobytes()
    pixels = decode_image(grey_tiff(tmp_path / "a.tif", 3, 16, 0, values), 1)
    assert pixels[0, :, 0].tolist() == [255, 0, 255 - 0x12]


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


def test_cmyk_in_a_tiff_becomes_rgb(tmp_path):
    pixels = decoded(tmp_path / "a.tif", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), 8)
    assert (pixels == RED).all()


@pytest.mark.parametrize("file", ["a.gif", "a.png", "a.webp"])
def test_of_an_animation_the_first_frame_counts(tmp_path, file):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    settings = {"lossless": True} if file == "a.webp" else {}
    pixels = decoded(
        tmp_path / file, frames[0], save_all=True, append_images=frames[1:], **settings
    )
    with Image.open(tmp_path / file) as image:
        assert image.n_frames == 2
    assert (pixels == RED).all()


@pytest.mark.parametrize("file", ["a.png", "a.tif"])
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
def test_exif_orientation_is_applied(tmp_path, orientation, turned, file):
    grey = np.arange(28, dtype=np.uint8).reshape(4, 7)  # some TIFFs of grey Pillow maps to memory
    image, exif = Image.fromarray(grey), Image.Exif()
    exif[0x0112] = orientation
    pixels = decoded(tmp_path / file, image, exif=exif)
    assert (pixels == turned(np.stack([grey] * 3, axis=2))).all()


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
