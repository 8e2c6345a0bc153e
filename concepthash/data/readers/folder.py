"""A folder of images with a folder for each class, split into training and queries or not.

    train/CLASS/*.jpg    training and database      or    CLASS/*.jpg, a share of it queries
    query/CLASS/*.jpg    queries

The folder of queries may be called `test` or `val`, too; the first of the three that is there
counts. Hidden files, files without the suffix of an image, and folders in a class's folder are left
out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeInt

from concepthash.data.image_set import ImageSet, check
from concepthash.data.problems import shortened
from concepthash.data.readers.base import InFolder
from concepthash.data.readers.names import natural_order, readable, shared_names
from concepthash.errors import InputError
from concepthash.spec_base import Title, in_a_line

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
QUERIES = ("query", "test", "val")

Row = tuple[Path, int, bool]
"""An image, its label, and whether it is for training."""


class Folder(InFolder):
    """A folder for each class, in root, or in root/train and root/query (or test, or val)."""

    name: Literal["folder"] = "folder"
    root: Path
    """The folder of the classes' folders, or of train and query."""
    query_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Without folders train and query: the share of each class's images that are queries. Of two
    images or more at least one is a query, and one for training."""
    split_seed: NonNegativeInt = 0
    """Without folders train and query: draws the queries."""
    title: Annotated[Title, Field(min_length=1)] = "folder"  # type: ignore[misc]  # as in Manifest
    """What tables call this data set; part of a trial's identity, since the path is not."""

    def title_and_settings(self) -> str:
        return (
            f"{self.title} (queries: a folder of its own, or else {100 * self.query_share:g}% of"
            f" each class, drawn with seed {self.split_seed})"
        )

    def read(self) -> ImageSet:
        """All images, by class, split and name; classes in the natural order of their folders."""
        root = self.root.resolve()
        if not root.is_dir():
            raise InputError(f"{root}: is no folder; one with a folder for each class is needed")
        wrong: list[str] = []
        splits = _splits(root)
        if splits is None:
            classes = _listed(root)[0]
            rows = list(self._split_here(classes, wrong))
        else:
            self._check_without_effect(*splits)
            classes = _listed(splits[0])[0]
            rows = list(_split_already(classes, splits[1], wrong))
        if not classes:
            wrong.append(f"{root}: has no folders; one for each class is needed, with its images")
        names = _class_names([_normal(folder.name) for folder in classes])
        same = shared_names(names, [in_a_line(folder.name) for folder in classes])
        wrong += (f"{classes[0].parent}: {line}" for line in same)
        if wrong:
            raise InputError(*shortened(wrong))
        paths, labels, is_train = zip(
            *sorted(rows, key=lambda row: (row[1], not row[2])), strict=True
        )
        return check(
            ImageSet(
                name=self.title,
                root=root,
                paths=paths,
                labels=np.array(labels, np.int64),
                is_train=np.array(is_train, np.bool_),
                class_names=names,
                families=("",) * len(names),
            )
        )

    def _check_without_effect(self, train: Path, queries: Path) -> None:
        """InputError if the queries should be drawn although they have a folder."""
        fields = ("query_share", "split_seed")
        idle = [f for f in fields if getattr(self, f) != type(self).model_fields[f].default]
        if idle:
            raise InputError(
                *(
                    f"dataset.{field}: has no effect, for {train.parent} is split already, into"
                    f" {train.name} and {queries.name}; take it out"
                    for field in idle
                )
            )

    def _split_here(self, classes: Sequence[Path], wrong: list[str]) -> Iterator[Row]:
        """Each class's images in the order of a hash of seed, class and name: the first so many
        are queries. An image that is added moves few others to the other side."""
        for label, folder in enumerate(classes):
            images = _images(folder, wrong)

            def drawn(image: Path, folder: Path = folder) -> bytes:
                key = [self.split_seed, _normal(folder.name), _normal(image.name)]
                return hashlib.sha256(json.dumps(key).encode()).digest()

            count = max(1, min(round(self.query_share * len(images)), len(images) - 1))
            queries = set(sorted(images, key=drawn)[:count]) if len(images) > 1 else set()
            yield from ((image, label, image not in queries) for image in images)


def _splits(root: Path) -> tuple[Path, Path] | None:
    """The folders of training images and of queries; None if `root` has the classes themselves.

    A folder of such a name that holds images is a class. Raises InputError if one is missing.
    """

    def holds_classes(folder: Path) -> bool:
        if not folder.is_dir():
            return False
        folders, images = _listed(folder)
        return bool(folders) and not images

    train = root / "train"
    queries = [root / name for name in QUERIES if holds_classes(root / name)]
    if holds_classes(train):
        if not queries:
            raise InputError(
                f"{root}: has a folder train with classes, but none of queries; it must be called"
                f" {', '.join(QUERIES[:-1])} or {QUERIES[-1]}"
            )
        return train, queries[0]
    if queries:
        raise InputError(
            f"{root}: has a folder {queries[0].name} with classes, but no folder train with classes"
        )
    return None


def _split_already(classes: Sequence[Path], queries: Path, wrong: list[str]) -> Iterator[Row]:
    labels = {_normal(folder.name): label for label, folder in enumerate(classes)}
    for label, folder in enumerate(classes):
        yield from ((image, label, True) for image in _images(folder, wrong))
    for folder in _listed(queries)[0]:
        if (found := labels.get(_normal(folder.name))) is None:
            wrong.append(
                f"{in_a_line(str(folder))}: is a class of queries only; {classes[0].parent} must"
                " have a folder of that name with training images"
            )
        else:
            yield from ((image, found, False) for image in _images(folder, wrong))


def _images(folder: Path, wrong: list[str]) -> list[Path]:
    """The images of a class, by name; a line in `wrong` if there are none."""
    images = _listed(folder)[1]
    if not images:
        wrong.append(
            f"{in_a_line(str(folder))}: is a class without images; at least one is needed, with"
            f" the suffix {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        )
    return images


def _listed(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the images in a folder, in natural order, without those that are hidden."""
    folders, images = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    folders.append(Path(entry.path))
                elif entry.name.lower().endswith(SUFFIXES):
                    images.append(Path(entry.path))
    except OSError as error:
        raise InputError(f"{in_a_line(str(folder))}: cannot be read ({error.strerror})") from None
    return (
        sorted(folders, key=lambda path: natural_order(path.name)),
        sorted(images, key=lambda path: natural_order(path.name)),
    )


def _normal(name: str) -> str:
    """One form of a name: some file systems store an accent as a character of its own."""
    return unicodedata.normalize("NFC", name)


def _class_names(folders: Sequence[str]) -> tuple[str, ...]:
    """Names of folders as words: `001.Black_footed_Albatross` is "Black footed Albatross".

    A number before a full stop is left out. One before another separator is if it numbers the
    classes: each has one of its own, and names differ without it, unlike `2_of_hearts` and
    `3_of_hearts`.
    """
    numbers = {found[0] for folder in folders if (found := re.match(r"[0-9]+", folder))}
    names = [readable(re.sub(r"^[0-9]+[._ -]+(?=[^0-9])", "", folder)) for folder in folders]
    if not len(folders) == len(numbers) == len(set(names)):
        names = [readable(re.sub(r"^[0-9]+\. *(?=[^0-9])", "", folder)) for folder in folders]
    return tuple(name or folder for name, folder in zip(names, folders, strict=True))
