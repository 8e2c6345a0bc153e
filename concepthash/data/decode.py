"""Decoding one image file: which files are accepted, and how one becomes upright 8-bit RGB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, TiffTags, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 80_000_000  # below the number from which Pillow itself warns
MAX_ASPECT = 20  # the longer side in shorter ones; decoded, an image has S x S x MAX_ASPECT pixels

_BITS, _PHOTOMETRIC = (
    next(tag for tag, info in TiffTags.TAGS_V2.items() if info.name == name)
    for name in ("BitsPerSample", "PhotometricInterpretation")
)


def decode_image(path: Path, image_size: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB with the shorter side at `image_size`.

    The picture is turned as its EXIF orientation says, transparent pixels are blended with white,
    and of an animation or several pages the first one counts. Greyscale of 16 bits keeps its
    upper 8. Raises ValueError with the reason for a file that is in none of `FORMATS`, has more
    than `MAX_PIXELS` pixels, is more than `MAX_ASPECT` times as long as wide, or is greyscale of
    32 bits or floating point, whose values for black and white are not known. Whatever else
    Pillow raises for a broken file is passed on.
    """
    with _opened(path) as image:
        _check_size(image.size)
        _reduce_transparent_colour(image)
        tags = dict(getattr(image, "tag_v2", {}))  # of a TIFF; Pillow drops some when it decodes
        upright = ImageOps.exif_transpose(image)
        if image.mode == "P" and image.palette is None:
            raise ValueError("its colours are numbers of a palette, which the file lacks")
    rgb = _rgb(upright, tags)
    scale = image_size / min(rgb.size)
    width, height = (max(image_size, round(side * scale)) for side in rgb.size)
    if (width, height) != rgb.size:
        rgb = rgb.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(rgb)


class Turn(NamedTuple):
    """How `decode_image` turns a picture: mirrored first, then its axes exchanged."""

    width: int
    """Of the stored picture, as is the height."""
    height: int
    mirror_x: bool
    mirror_y: bool
    transpose: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        return (self.height, self.width) if self.transpose else (self.width, self.height)

    def points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where points (P, 2) of the stored picture, x and y in pixels, are in the upright one."""
        x, y = points.T
        x = self.width - x if self.mirror_x else x
        y = self.height - y if self.mirror_y else y
        return np.stack((y, x) if self.transpose else (x, y), axis=1)


def turn_of(path: Path) -> Turn:
    """The size and orientation that the header of an image file states."""
    with _opened(path) as image:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        transpose = orientation in (5, 6, 7, 8)
        width, height = image.size
        if transpose and image.format == "TIFF":  # of a TIFF, Pillow gives the upright size
            width, height = height, width
    return Turn(width, height, orientation in (2, 3, 7, 8), orientation in (3, 4, 6, 7), transpose)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    # A file, not a path: of a path, Pillow 13 maps the pixels of some TIFF files into memory, and
    # takes the upright size for the stored one.
    with path.open("rb") as file:
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            file.seek(0)
            raise ValueError(_why_unidentified(file.read(16))) from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise ValueError(f"more than {MAX_PIXELS:,} pixels, the most accepted") from None
        yield image


def _why_unidentified(start: bytes) -> str:
    """Why Pillow opens no file that begins so, in none of `FORMATS`."""
    if not start:
        return "the file is empty"
    for name in FORMATS:
        _, accepts = Image.OPEN[name]
        if accepts is not None and accepts(start) is True:
            return f"a {name} file that is cut short, broken or of a kind that is not supported"
    return f"not an image in {', '.join(FORMATS[:-1])} or {FORMATS[-1]} format"


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{width} x {height} pixels; more than {MAX_PIXELS:,} pixels, the most accepted"
        )
    if max(size) > MAX_ASPECT * min(size):
        raise ValueError(
            f"{width} x {height} pixels; the longer side may be at most {MAX_ASPECT} times the"
            " shorter one"
        )


def _rgb(image: Image.Image, tags: dict[int, object]) -> Image.Image:
    """Any picture as RGB. `tags` are those of a TIFF."""
    if image.mode.startswith("I;16"):
        image = _upper_bits(image, tags)
    elif image.mode in ("I", "F"):
        kind = "32-bit or signed" if image.mode == "I" else "floating-point"
        raise ValueError(
            f"{kind} greyscale, whose values for black and white are not known; save it with 8 or"
            " 16 bits"
        )
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba)
    return image.convert("RGB")


def _reduce_transparent_colour(image: Image.Image) -> None:
    """Of a PNG of 16 bits a colour, Pillow keeps the upper 8, but not of its transparent colour."""
    colour = image.info.get("transparency")
    deep = any("16" in str(tile.args) for tile in getattr(image, "tile", ()))
    if image.mode == "RGB" and colour is not None and deep:
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _upper_bits(image: Image.Image, tags: dict[int, object]) -> Image.Image:
    """Greyscale of 16 bits, or of a TIFF's 12, as 8 bits; Pillow would clip at 255."""
    bits = 12 if tags.get(_BITS) == (12,) else 16
    values = np.asarray(image)
    grey = (values >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero, which Pillow leaves so for 16 bits
        grey = 255 - grey
    if (transparent := image.info.get("transparency")) is not None:
        grey[values == transparent] = 255
    return Image.fromarray(grey)
