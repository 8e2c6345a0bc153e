"""Images decoded once into one file of pixels, which every trial maps into memory."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from concepthash.data.folders import cache_folder, locked
from concepthash.data.image_set import ImageSet
from concepthash.errors import InputError

_CHUNK = 512


@dataclass(frozen=True)
class Pixels:
    """Decoded images of an image set, in its order; shorter sides are `image_size`."""

    flat: np.ndarray
    """uint8, the values of all images one after another, each (H, W, 3)."""
    offsets: np.ndarray
    """(N,) int64, where in `flat` each image starts."""
    sizes: np.ndarray
    """(N, 2) int64, height and width."""

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> Tensor:
        """Image `index` as uint8 (3, H, W)."""
        height, width = self.sizes[index]
        start = self.offsets[index]
        pixels = self.flat[start : start + 3 * height * width].reshape(height, width, 3)
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)


def load_pixels(images: ImageSet, image_size: int) -> Pixels:
    """All images with their shorter side at `image_size` pixels, decoded once on this machine.

    Processes that need the same images at the same time wait for the first of them. The cache
    is found by the set's fingerprint, so that a changed set is decoded again. Raises InputError
    with a line for each image that cannot be decoded.
    """
    folder = cache_folder() / "pixels" / f"{images.fingerprint}-{image_size}"
    if not folder.is_dir():
        with locked(folder):
            if not folder.is_dir():  # else another process has decoded them meanwhile
                _decode_into(folder, images, image_size)
    sizes = np.array(json.loads((folder / "sizes.json").read_text()), dtype=np.int64).reshape(-1, 2)
    lengths = 3 * sizes.prod(axis=1)
    flat = np.memmap(folder / "pixels.bin", dtype=np.uint8, mode="r")
    return Pixels(flat, np.concatenate([[0], lengths.cumsum()[:-1]]), sizes)


def _decode_into(folder: Path, images: ImageSet, image_size: int) -> None:
    """Writes into a temporary folder and renames it, so that `folder` is always complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary, "made")
        made.mkdir()
        sizes: list[tuple[int, int]] = []
        problems: list[str] = []
        with (made / "pixels.bin").open("wb") as file:
            for decoded in _decoded(images, image_size):
                if isinstance(decoded, str):
                    problems.append(decoded)
                else:
                    sizes.append(decoded.shape[:2])
                    file.write(decoded.tobytes())
        if problems:
            raise InputError(*problems)
        (made / "sizes.json").write_text(json.dumps(sizes))
        try:
            os.rename(made, folder)
        except OSError:
            if not folder.is_dir():  # else another machine that shares the cache was first
                raise


def _decoded(images: ImageSet, image_size: int) -> Iterator[np.ndarray | str]:
    """Each image as (H, W, 3) uint8, or a message if it cannot be decoded."""

    def decode(path: Path) -> np.ndarray | str:
        try:
            return decode_image(path, image_size)
        except Exception as error:  # Pillow raises many types for broken files
            reason = (str(error) or type(error).__name__).splitlines()[0]
            if isinstance(error, UnidentifiedImageError):
                reason = "not an image"
            return (
                f"{path}: cannot be decoded ({reason}); replace it, or remove it from the data set"
            )

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(images.paths), _CHUNK):
            yield from pool.map(decode, images.paths[start : start + _CHUNK])


def decode_image(path: Path, image_size: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB with the shorter side at `image_size`, transparent pixels on white."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.has_transparency_data:
            rgba = upright.convert("RGBA")
            white = Image.new("RGBA", rgba.size, "white")
            upright = Image.alpha_composite(white, rgba)
        if upright.mode.startswith("I;16"):  # Pillow would clip 16 bits to 8
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        rgb = upright.convert("RGB")
    scale = image_size / min(rgb.size)
    width, height = (max(image_size, round(side * scale)) for side in rgb.size)
    size = (width, height)
    if size != rgb.size:
        rgb = rgb.resize(size, Image.Resampling.BICUBIC)
    return np.asarray(rgb)
