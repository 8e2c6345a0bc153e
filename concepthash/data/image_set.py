"""What every reader of a data set returns: the images' paths and annotations."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concepthash.data.file_digests import file_digests
from concepthash.data.problems import shortened
from concepthash.errors import InputError
from concepthash.spec_base import in_a_line, problem_of_path, problem_of_text

MAX_BYTES = 1_000_000_000
"""Of a text file that describes images: a hundred times CUB's largest."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N images of C classes, each with P annotated parts if the data set has parts."""

    name: str
    root: Path
    paths: tuple[Path, ...]  # N, absolute
    labels: NDArray[np.int64]  # (N,), 0..C-1
    is_train: NDArray[np.bool_]  # (N,): True training set and database, False query
    class_names: tuple[str, ...]  # C
    families: tuple[str, ...]  # C; "" where unknown
    part_names: tuple[str, ...] = ()  # P
    parts: NDArray[np.float32] | None = None  # (N, P, 3): x, y in pixels, visible (0 or 1)
    boxes: NDArray[np.float32] | None = None  # (N, 4): x0, y0, x1, y1 in pixels

    def __len__(self) -> int:
        return len(self.paths)

    def first_classes(self, count: int) -> ImageSet:
        """The images of the first `count` classes, by label."""
        keep = self.labels < count
        return replace(
            self,
            paths=tuple(path for path, kept in zip(self.paths, keep, strict=True) if kept),
            labels=self.labels[keep],
            is_train=self.is_train[keep],
            class_names=self.class_names[:count],
            families=self.families[:count],
            parts=None if self.parts is None else self.parts[keep],
            boxes=None if self.boxes is None else self.boxes[keep],
        )

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of all that a trial's numbers depend on.

        These are the bytes of each image file in the set's order, its label and split, the names
        of classes, families and parts, and the positions of parts. Boxes, on which no number
        depends, and paths and times of files do not count. The first call reads every file, a
        later one only those changed since. Raises InputError if a file cannot be read.
        """
        digest = hashlib.sha256()
        contents = file_digests(self.root, self.paths)
        for content, label, train in zip(contents, self.labels, self.is_train, strict=True):
            digest.update(f"{content}\t{label}\t{int(train)}\n".encode())
        digest.update(json.dumps([self.class_names, self.families, self.part_names]).encode())
        if self.parts is not None:
            digest.update(np.ascontiguousarray(self.parts, dtype="<f4").tobytes())
        return digest.hexdigest()[:16]


def check(images: ImageSet) -> ImageSet:
    """Return `images` if a study can use them.

    Raises InputError if there are no images, if a class has no training image (its queries could
    find nothing), if there is no query, if an image file is missing, or if a name or path holds
    control characters, which would break lines of messages and reports.
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
    missing = [path for path in map(str, images.paths) if not os.path.isfile(path)]
    wrong = [
        *shortened(wrong),
        *shortened(_names_with_control_characters(images)),
        *shortened(_missing(path, images.root) for path in missing),
    ]
    if wrong:
        raise InputError(*wrong)
    return images


def _names_with_control_characters(images: ImageSet) -> Iterator[str]:
    named = {
        "path": map(str, images.paths),
        "class name": images.class_names,
        "family": images.families,
        "part": images.part_names,
    }
    for what, names in named.items():
        for name in names:
            if problem := problem_of_text(name):
                yield f"{images.root}: the {what} '{in_a_line(name)}' {problem}"


def _missing(path: str, root: Path) -> str:
    what = "no such file" if not os.path.exists(path) else "is no regular file"
    return f"{in_a_line(path)}: {problem_of_path(path) or what}; {root} lists it as an image"
