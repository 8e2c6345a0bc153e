"""Files that are refused as images, by name and before they take memory."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from drawn import decoded, noise, refusal
from PIL import Image

from concepthash.data.decode import decode_image


@pytest.mark.parametrize("mode", ["I", "F"])
def test_grey_without_a_known_range_is_refused(tmp_path, mode):
    Image.new(mode, (4, 4), 100).save(tmp_path / "a.tif")
    kind = {"I": "32-bit or signed", "F": "floating-point"}[mode]
    assert refusal(tmp_path / "a.tif") == (
        f"{kind} greyscale, whose values for black and white are not known; save it with 8 or 16"
        " bits"
    )


@pytest.mark.parametrize("file", ["a.ppm", "a.tga", "a.ico"])
def test_a_format_that_is_not_accepted_is_refused(tmp_path, file):
    noise(16, 16).save(tmp_path / file)
    assert refusal(tmp_path / file) == "not an image in JPEG, PNG, WEBP, BMP, TIFF or GIF format"


def test_sides_may_differ_by_a_factor_of_twenty_and_no_more(tmp_path):
    assert decoded(tmp_path / "a.png", noise(2, 40)).shape == (80, 4, 3)
    noise(41, 2).save(tmp_path / "a.png")
    assert refusal(tmp_path / "a.png") == (
        "41 x 2 pixels; the longer side may be at most 20 times the shorter one"
    )


def bitmap(path: Path, width: int, height: int) -> Path:
    """The header of a BMP file, without pixels."""
    path.write_bytes(
        struct.pack("<2s3I", b"BM", 54, 0, 54)
        + struct.pack("<3I2H6I", 40, width, height, 1, 24, *[0] * 6)
    )
    return path


def test_eighty_million_pixels_are_accepted_and_no_more(tmp_path):
    path = tmp_path / "a.bmp"
    with pytest.raises(OSError, match="truncated"):  # its pixels are looked for
        decode_image(bitmap(path, 8000, 10_000), 4)
    assert refusal(bitmap(path, 8000, 10_001)) == (
        "8000 x 10001 pixels; more than 80,000,000 pixels, the most accepted"
    )
    assert refusal(bitmap(path, 50_000, 50_000)) == "more than 80,000,000 pixels, the most accepted"


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("a.jpg", {}), ("a.jpg", {"progressive": True}), ("a.png", {}), ("a.webp", {}),
        ("a.webp", {"lossless": True}), ("a.bmp", {}), ("a.tif", {}), ("a.gif", {}),
        ("a.tif", {"compression": "tiff_lzw"}), ("a.tif", {"compression": "jpeg"}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_file_that_is_cut_short_never_gives_other_pixels(tmp_path, file, settings):
    noise(24, 20).save(tmp_path / file, **settings)
    whole = (tmp_path / file).read_bytes()
    pixels = decode_image(tmp_path / file, 20)
    refused = 0
    for length in [*range(0, len(whole), len(whole) // 40), len(whole) - 3]:
        (tmp_path / file).write_bytes(whole[:length])
        try:
            assert (
                decode_image(tmp_path / file, 20) == pixels
            ).all()  # its last bytes are no pixels
        except (ValueError, OSError):
            refused += 1
    assert refused >= 40


def test_an_empty_file_is_refused_as_empty(tmp_path):
    (tmp_path / "a.jpg").touch()
    assert refusal(tmp_path / "a.jpg") == "the file is empty"


def test_a_web_page_under_the_name_of_an_image_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_text("<html><h1>404 Not Found</h1></html>")
    assert refusal(tmp_path / "a.jpg").startswith("not an image in JPEG, PNG, ")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_file_that_begins_as_a_known_format_is_called_broken_not_unknown(tmp_path):
    noise(8, 8).save(tmp_path / "a.tif", compression="tiff_lzw")
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:100])
    assert refusal(tmp_path / "a.tif") == (
        "a TIFF file that is cut short, broken or of a kind that is not supported"
    )
