"""Images decoded once into one file of pixels, which every trial maps into memory.

    pixels/FINGERPRINT-SIZE/pixels.bin     the values of all images
    pixels/FINGERPRINT-SIZE/header.json    their heights and widths, and a CRC-32 of all

Each opening compares the size of pixels.bin with the header. The checksum is computed once in a
process, about 0.4 s for 1 GB on one core of 2026. A cache that is broken is made anew.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from concepthash.data.decode import decode_image
from concepthash.data.folders import cache_folder, flush, locked
from concepthash.data.image_set import ImageSet
from concepthash.data.problems import shortened
from concepthash.errors import InputError

_CHUNK = 64  # decoded images that wait in memory to be written
_DECODING = 2  # to be raised when the same file no longer gives the same pixels

_checksums: dict[tuple[Path, int, int, int], int] = {}
"""CRC-32 of the pixels that this process has read, by file, inode, mtime and size."""

logger = logging.getLogger(__name__)


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
    is found by the set's fingerprint, so that a changed set is decoded again, as is one whose
    cache is broken; a warning says so. Raises InputError with a line for each image that cannot
    be decoded.
    """
    folder = cache_folder() / "pixels" / f"{images.fingerprint}-{image_size}"
    try:
        return _opened(folder, len(images))
    except _UnusableError:
        pass
    with locked(folder):
        try:
            return _opened(folder, len(images))  # another process may have decoded them meanwhile
        except _UnusableError as error:
            if folder.exists():
                logger.warning("%s: %s; the images are decoded again", folder, error)
        _decode_into(folder, images, image_size)
        return _opened(folder, len(images))


class _UnusableError(Exception):
    """Why a cache of pixels cannot be used."""


def _opened(folder: Path, count: int) -> Pixels:
    """The cached pixels of `count` images. Raises _UnusableError if they are missing or broken."""
    file = folder / "pixels.bin"
    try:
        header = json.loads((folder / "header.json").read_bytes())
        sizes = np.array(header["sizes"], dtype=np.int64).reshape(-1, 2)
        decoding, checksum = header["decoding"], header["checksum"]
        stat = file.stat()
        flat = np.memmap(file, dtype=np.uint8, mode="r")
    except (OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _UnusableError(f"its header or pixels cannot be read ({error!r})") from error
    if decoding != _DECODING:
        raise _UnusableError("it was written by another version of this program")
    lengths = 3 * sizes.prod(axis=1)
    if len(sizes) != count or len(flat) != lengths.sum():
        raise _UnusableError(
            f"it holds {len(flat):,} bytes for {len(sizes):,} images; {lengths.sum():,} bytes for"
            f" {count:,} images would be right"
        )
    key = (file, stat.st_ino, stat.st_mtime_ns, stat.st_size)
    if key not in _checksums:
        _checksums[key] = zlib.crc32(flat.data)
    if zlib.crc32(sizes.data, _checksums[key]) != checksum:
        raise _UnusableError("its checksum is wrong")
    return Pixels(flat, np.concatenate([[0], lengths.cumsum()[:-1]]), sizes)


def _decode_into(folder: Path, images: ImageSet, image_size: int) -> None:
    """Writes into a temporary folder and renames it, so that `folder` is always complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary, "made")
        made.mkdir()
        sizes: list[tuple[int, int]] = []
        problems: list[str] = []
        checksum = 0
        with (made / "pixels.bin").open("wb") as file:
            for decoded in _decoded(images, image_size):
                if isinstance(decoded, str):
                    problems.append(decoded)
                elif not problems:
                    sizes.append(decoded.shape[:2])
                    pixels = decoded.tobytes()
                    file.write(pixels)
                    checksum = zlib.crc32(pixels, checksum)
        if problems:
            raise InputError(*shortened(problems))
        checksum = zlib.crc32(np.array(sizes, dtype=np.int64).data, checksum)
        header = {"decoding": _DECODING, "checksum": checksum, "sizes": sizes}
        (made / "header.json").write_text(json.dumps(header))
        for path in (made / "pixels.bin", made / "header.json", made):
            flush(path)
        if folder.exists():  # a broken one; a process that reads it keeps its files
            os.rename(folder, Path(temporary, "broken"))
        try:
            os.rename(made, folder)
        except OSError:
            if not folder.is_dir():  # else another machine that shares the cache was first
                raise
    flush(folder.parent)


def _decoded(images: ImageSet, image_size: int) -> Iterator[np.ndarray | str]:
    """Each image as (H, W, 3) uint8, or a message if it cannot be decoded."""

    def decode(path: Path) -> np.ndarray | str:
        try:
            return decode_image(path, image_size)
        except Exception as error:  # Pillow raises many types for broken files
            reason = (str(error) or type(error).__name__).splitlines()[0]
            return (
                f"{path}: cannot be decoded ({reason}); replace it, or remove it from the data set"
            )

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(images.paths), _CHUNK):
            yield from pool.map(decode, images.paths[start : start + _CHUNK])
