"""What every reader of a data set returns: where its images are and what is known of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concepthash.errors import InputError

SHOWN = 10  # lines of one kind of error; a wrong folder would give thousands


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N images of C classes with, if the set has them, P annotated parts in each."""

    name: str
    root: Path
    paths: tuple[Path, ...]  # N, absolute
    labels: NDArray[np.int64]  # (N,), 0..C-1
    is_train: NDArray[np.bool_]  # (N,): True training set and database, False query
    class_names: tuple[str, ...]  # C
    families: tuple[str, ...]  # C; "" where unknown
    part_names: tuple[str, ...] = ()  # P
    parts: NDArray[np.float32] | None = None  # (N, P, 3): x, y in pixels, visible (0 or 1)

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits over each image's path below `root`, label, split and size in bytes.

        Images are not opened. A file edited in place to the same size goes unnoticed.
        """
        digest = hashlib.sha256()
        for path, label, train in zip(self.paths, self.labels, self.is_train, strict=True):
            place = path.relative_to(self.root).as_posix() if self.root in path.parents else path
            digest.update(f"{place}\t{label}\t{int(train)}\t{path.stat().st_size}\n".encode())
        return digest.hexdigest()[:16]


def check(images: ImageSet) -> ImageSet:
    """Return `images` if a study can use them.

    Raises InputError if there are no images, if a class has none in the training set (there
    would be nothing to find), if there is no query, or if an image file is missing.
    """
    if not images.paths:
        raise InputError(f"{images.root}: holds no images; at least one a class is needed")
    wrong = []
    trained = np.bincount(images.labels[images.is_train], minlength=len(images.class_names))
    for label in np.flatnonzero(trained == 0):
        wrong.append(
            f"{images.root}: class {label} ({images.class_names[label]}) has no training images; "
            "each class needs at least one"
        )
    if bool(images.is_train.all()):
        wrong.append(f"{images.root}: all {len(images)} images are for training; none is a query")
    missing = [path for path in images.paths if not path.is_file()]
    wrong = shortened(wrong) + shortened(
        f"{path}: no such file; {images.root} lists it as an image" for path in missing
    )
    if wrong:
        raise InputError(*wrong)
    return images


def shortened(lines: Iterable[str]) -> list[str]:
    """The first lines, and how many more there were."""
    lines = list(lines)
    more = len(lines) - SHOWN
    return lines if more <= 0 else [*lines[:SHOWN], f"... and {more} more like these"]
