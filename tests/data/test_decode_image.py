"""Decoding one image: pixels of each kind of file, orientation and scale; files refused."""

from __future__ import annotations

import resource
import struct
import zlib
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


# --- files refused -------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is what is tested
        decode_image(path, 4)
    return str(caught.value)


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


# --- PNG files that Pillow does not write --------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(path: Path, bits: int, colour: int, row: bytes, *chunks: bytes, data: bytes = b"") -> Path:
    """4 x 4 pixels, each row the same; the layout is that of the PNG specification, section 11."""
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">2I5B", 4, 4, bits, colour, 0, 0, 0))
        + b"".join(chunks)
        + chunk(b"IDAT", data or zlib.compress((b"\0" + row) * 4))
        + chunk(b"IEND", b"")
    )
    return path


GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def test_sixteen_bit_colours_keep_their_upper_eight_bits(tmp_path):
    row = struct.pack(">12H", *[0x12FF, 0x80FF, 0xFF00] * 4)
    assert (decode_image(png(tmp_path / "a.png", 16, RGB, row), 4) == [0x12, 0x80, 0xFF]).all()


def test_sixteen_bit_alpha_is_blended_with_white(tmp_path):
    row = struct.pack(">16H", *[0, 0x8080, 0xFFFF, 0x3333] * 4)  # a fifth of it
    assert (decode_image(png(tmp_path / "a.png", 16, RGBA, row), 4) == [204, 230, 255]).all()
    row = struct.pack(">8H", *[0, 0x3333] * 4)
    assert (decode_image(png(tmp_path / "a.png", 16, GREY_ALPHA, row), 4) == 204).all()


def test_transparent_colour_of_sixteen_bits_becomes_white(tmp_path):
    row = struct.pack(">12H", *[0x1234, 0x8000, 0xFF00] * 3, 0x1334, 0x8000, 0xFF00)
    transparent = chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x8000, 0xFF00))
    pixels = decode_image(png(tmp_path / "a.png", 16, RGB, row, transparent), 4)
    assert (pixels[:, :3] == 255).all()
    assert (pixels[:, 3] == [0x13, 0x80, 0xFF]).all()


COLOURS = chunk(b"PLTE", bytes([*RED, 0, 255, 0, *BLUE, 7, 8, 9]))


def test_each_entry_of_a_palette_has_an_opacity_of_its_own(tmp_path):
    opacity = chunk(b"tRNS", bytes([255, 0, 51]))
    path = png(tmp_path / "a.png", 8, PALETTE, bytes([0, 1, 2, 3]), COLOURS, opacity)
    assert decode_image(path, 4)[2].tolist() == [
        [255, 0, 0], [255, 255, 255], [204, 204, 255], [7, 8, 9],
    ]  # fmt: skip


def test_a_palette_that_the_file_lacks_is_refused(tmp_path):
    path = png(tmp_path / "a.png", 8, PALETTE, bytes([0, 1, 2, 3]))
    assert refusal(path) == "its colours are numbers of a palette, which the file lacks"


@pytest.mark.parametrize(("bits", "row"), [(2, b"\x1b"), (4, b"\x05\xaf")])
def test_grey_of_few_bits_is_scaled_to_black_and_white(tmp_path, bits, row):
    pixels = decode_image(png(tmp_path / "a.png", bits, GREY, row), 4)
    assert pixels[0, :, 0].tolist() == [0, 85, 170, 255]


def test_a_chunk_that_inflates_to_three_hundred_megabytes_is_refused(tmp_path):
    bomb = zlib.compress(bytes(300_000_000))
    profile = chunk(b"iCCP", b"x\0\0" + bomb)
    path = png(tmp_path / "a.png", 8, RGB, bytes(12), profile)
    assert path.stat().st_size < 300_000
    assert "too large" in refusal(path)


def test_pixels_beyond_the_stated_size_are_not_inflated(tmp_path):
    path = png(tmp_path / "a.png", 8, RGB, b"", data=zlib.compress(bytes(300_000_000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    assert decode_image(path, 4).shape == (4, 4, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
