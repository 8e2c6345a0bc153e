"""PNG files that Pillow does not write: 16 bits, palettes, broken chunks."""

from __future__ import annotations

import resource
import struct
import zlib
from pathlib import Path

import pytest
from drawn import BLUE, RED, refusal

from concepthash.data.decode import decode_image


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
