"""NABirds (Van Horn et al., CVPR 2015), https://dl.allaboutbirds.org/nabirds, v0 of June 2015.

    images.txt               image id (a UUID), path below images/
    classes.txt              class id, name: 295 Common Eider (Adult male)
    hierarchy.txt            class id, id of its parent
    image_class_labels.txt   image id, class id
    train_test_split.txt     image id, 1 for training and database, 0 for queries
    bounding_boxes.txt       image id, x, y, width, height           (optional)
    parts/parts.txt          part id, name                           (optional, with the next)
    parts/part_locs.txt      image id, part id, x, y, visible

Each line is one record; a space separates its fields. The layout is that of the README in the
archive. 23,929 training and 24,633 query images of 555 classes: the leaves of a hierarchy of 1,011
nodes, so that most ids of classes.txt have no images. Above a leaf is its species, above that a
group such as "Wood-Warblers", the family.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from concepthash.data.image_set import ImageSet, check
from concepthash.data.problems import shortened
from concepthash.data.readers.base import InFolder
from concepthash.data.readers.files import folder_of
from concepthash.data.readers.names import readable, shared_names
from concepthash.data.readers.tables import (
    Field,
    below,
    bit,
    count,
    one_of,
    pixels,
    read_table,
    text,
)
from concepthash.errors import InputError


class NABirds(InFolder):
    """NABirds in the publisher's layout."""

    title: ClassVar[str] = "NABirds"
    published: ClassVar[str] = "555 classes, 23,929 training and 24,633 query images"

    name: Literal["nabirds"] = "nabirds"
    root: Path
    """The folder nabirds, or the one above it."""

    def read(self) -> ImageSet:
        return read(self.root)


def read(root: Path) -> ImageSet:
    """Read the images of `root`, the folder nabirds or the one above it.

    Labels are 0 to C - 1, in the order of the ids of the classes that have images. Raises
    InputError with a line for each mistake: file, line, what is wrong, what is right.
    """
    root = folder_of(root, "hierarchy.txt")
    wrong: list[str] = []
    paths = read_table(
        root / "images.txt",
        [Field("image id", text), Field("path", below("images"), distinct=True)],
        wrong,
    )
    classes = read_table(
        root / "classes.txt", [Field("class id", count), Field("name", text)], wrong
    )
    image_id = _image_id(paths)
    class_id = Field("class id", one_of(classes, "classes.txt", count))
    parent_id = class_id._replace(name="parent id")
    parents = read_table(root / "hierarchy.txt", [class_id, parent_id], wrong)
    class_of = read_table(
        root / "image_class_labels.txt", [image_id, class_id], wrong, needed=paths
    )
    split = read_table(
        root / "train_test_split.txt", [image_id, Field("split", bit)], wrong, needed=paths
    )
    boxes = _boxes(root / "bounding_boxes.txt", paths, wrong)
    part_names, parts = _parts(root / "parts", paths, wrong)
    if wrong:
        raise InputError(*wrong)

    used = sorted({number for (number,) in class_of.values()})
    label_of = {number: label for label, number in enumerate(used)}
    class_names = tuple(_class_name(classes[number][0]) for number in used)
    families = [_family(number, classes, parents) for number in used]
    wrong += shortened(
        f"{root / 'hierarchy.txt'}: class {number} ({name}) has no parent of its parent; above each"
        " class with images are its species and its family"
        for number, name, family in zip(used, class_names, families, strict=True)
        if family is None
    )
    shared = shared_names(class_names, [str(number) for number in used])
    wrong += shortened(f"{root / 'classes.txt'}: {mistake}" for mistake in shared)
    if wrong:
        raise InputError(*wrong)
    return check(
        ImageSet(
            name=root.name,
            root=root,
            paths=tuple(root / "images" / path for (path,) in paths.values()),
            labels=np.array([label_of[class_of[image][0]] for image in paths], np.int64),
            is_train=np.array([split[image][0] for image in paths], np.bool_),
            class_names=class_names,
            families=tuple(family or "" for family in families),
            part_names=part_names,
            parts=parts,
            boxes=boxes,
        )
    )


def _class_name(name: str) -> str:
    """`Orchard Oriole (Female/Juvenile )` is the class "Orchard Oriole (Female or Juvenile)"."""
    return re.sub(r" (?=\))", "", readable(name.replace("/", " or ")))


def _family(number: int, classes: Mapping[int, Any], parents: Mapping[int, Any]) -> str | None:
    """The name of the node above a class's species; None if there is none."""
    species = parents.get(number)
    family = species and parents.get(species[0])
    return readable(classes[family[0]][0]) if family else None


def _image_id(images: Collection[str]) -> Field:
    return Field("image id", one_of(images, "images.txt"))


def _boxes(path: Path, images: Collection[str], wrong: list[str]) -> NDArray[np.float32] | None:
    """x0, y0, x1, y1 in pixels (N, 4); None without the file."""
    if not path.exists():
        return None
    sides = [Field(side, pixels) for side in ("x", "y", "width", "height")]
    boxes = read_table(path, [_image_id(images), *sides], wrong, needed=images)
    if wrong:
        return None
    x, y, width, height = np.array([boxes[image] for image in images], np.float32).T
    return np.stack([x, y, x + width, y + height], axis=1)


def _parts(
    folder: Path, images: Collection[str], wrong: list[str]
) -> tuple[tuple[str, ...], NDArray[np.float32] | None]:
    """The names of the P parts, and x, y, visible (N, P, 3); (), None without annotated parts."""
    if not (folder / "parts.txt").exists() and not (folder / "part_locs.txt").exists():
        return (), None
    names = read_table(folder / "parts.txt", [Field("part id", count), Field("part", text)], wrong)
    part_id = Field("part id", one_of(names, "parts.txt", count))
    place = [Field("x", pixels), Field("y", pixels), Field("visible", bit)]
    places = read_table(
        folder / "part_locs.txt", [_image_id(images), part_id, *place], wrong, keys=2
    )
    row = {image: index for index, image in enumerate(images)}
    column = {number: index for index, number in enumerate(sorted(names))}
    parts = np.zeros((len(row), len(column), 3), np.float32)
    if not wrong:
        for (image, part), found in places.items():
            parts[row[image], column[part]] = found
    return tuple(names[number][0] for number in column), parts
