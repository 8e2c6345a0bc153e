"""FGVC-Aircraft (Maji et al., 2013), https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft, 2013b.

    fgvc-aircraft-2013b/data/
      variants.txt                            variant, a class: 737-200
      images_variant_{trainval,test}.txt      image, variant: 1025794 707-320
      images_manufacturer_{trainval,test}.txt image, manufacturer: 1025794 Boeing
      images_box.txt                          image, xmin, ymin, xmax, ymax      (optional)
      images/                                 1025794.jpg, ...

Each line is one record; a space separates its fields. 6,667 training (trainval) and 3,333 query
images of 100 classes, the variants; labels follow variants.txt, as in torchvision, whose reader
reads the lists of variants once they are known to be right. The family of a class is its
manufacturer, of 30: 54 of the 70 "families" of the data set, such as "Boeing 717", have one variant
only. Boxes are as published; the README counts pixels from 1. It also asks to cut off the lowest 20
pixels of each image, a line with the photographer's name, which is not done here.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from concepthash.data.image_set import ImageSet, check
from concepthash.data.problems import shortened
from concepthash.data.readers.base import InFolder
from concepthash.data.readers.files import folder_of
from concepthash.data.readers.names import readable, shared_names
from concepthash.data.readers.tables import (
    Field,
    below,
    one_of,
    pixels,
    read_table,
    text,
)
from concepthash.data.readers.torchvision_splits import read_splits
from concepthash.errors import InputError

FOLDER = "fgvc-aircraft-2013b"
SPLITS = ("trainval", "test")


class Aircraft(InFolder):
    """FGVC-Aircraft in the publisher's layout; classes are variants, families manufacturers."""

    title: ClassVar[str] = "FGVC-Aircraft"
    published: ClassVar[str] = "100 classes, 6,667 training and 3,333 query images"

    name: Literal["aircraft"] = "aircraft"
    root: Path
    """The folder fgvc-aircraft-2013b, or the one above it."""

    def read(self) -> ImageSet:
        return read(self.root)


def read(root: Path) -> ImageSet:
    """Read the images of `root`, the folder fgvc-aircraft-2013b or the one above it.

    Raises InputError with a line for each mistake: file, line, what is wrong, what is right.
    """
    root = folder_of(root, "data/variants.txt")
    data = root / "data"
    wrong: list[str] = []
    variants = list(read_table(data / "variants.txt", [Field("variant", text)], wrong))
    variant_of, maker_of = _labels(data, variants, wrong)
    boxes = _boxes(data / "images_box.txt", variant_of, wrong)
    if wrong:
        raise InputError(*wrong)

    makers = dict.fromkeys(variants, "")
    for image, variant in variant_of.items():
        makers[variant] = makers[variant] or maker_of[image]
        if maker_of[image] != makers[variant]:
            wrong.append(
                f"{data}: image {image} of the variant {variant} has the manufacturer"
                f" {maker_of[image]}, but an earlier one {makers[variant]}; a variant has one"
            )
    class_names = tuple(_class_name(variant, maker) for variant, maker in makers.items())
    shared = shared_names(class_names, variants)
    wrong = shortened(wrong) + shortened(f"{data / 'variants.txt'}: {line}" for line in shared)
    if wrong:
        raise InputError(*wrong)

    from torchvision.datasets import FGVCAircraft

    paths, labels, is_train = read_splits(FGVCAircraft, root, FOLDER, SPLITS)
    return check(
        ImageSet(
            name=root.name,
            root=root,
            paths=paths,
            labels=labels,
            is_train=is_train,
            class_names=class_names,
            families=tuple(makers.values()),
            boxes=None if boxes is None else np.array([boxes[p.stem] for p in paths], np.float32),
        )
    )


def _labels(
    data: Path, variants: Collection[str], wrong: list[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The variants and the manufacturers of all images."""
    variant_of: dict[str, str] = {}
    maker_of: dict[str, str] = {}
    variant = Field("variant", one_of(variants, "variants.txt"))
    for split in SPLITS:
        path = data / f"images_variant_{split}.txt"
        found = read_table(path, [Field("image", below("images")), variant], wrong)
        wrong += shortened(
            f"{path}: image {image} is in images_variant_{SPLITS[0]}.txt, too; it may be in one"
            for image in found
            if image in variant_of
        )
        variant_of |= {image: name for image, (name,) in found.items()}
        path = data / f"images_manufacturer_{split}.txt"
        image = Field("image", one_of(found, f"images_variant_{split}.txt"))
        makers = read_table(path, [image, Field("manufacturer", text)], wrong, needed=found)
        maker_of |= {image: readable(name) for image, (name,) in makers.items()}
    return variant_of, maker_of


def _class_name(variant: str, maker: str) -> str:
    """`737-200` of Boeing is the class "Boeing 737-200"; `Cessna 172` says its maker already."""
    maker = re.sub(r"( Aircraft)?( Company| Corporation)?$", "", maker)
    named = not maker or variant.lower().startswith(maker.split()[0].lower())
    return readable(variant if named else f"{maker} {variant}")


def _boxes(
    path: Path, images: Collection[str], wrong: list[str]
) -> dict[str, tuple[Any, ...]] | None:
    """x0, y0, x1, y1 by image; None without the file."""
    if not path.exists():
        return None
    sides = [Field(side, pixels) for side in ("xmin", "ymin", "xmax", "ymax")]
    return read_table(path, [Field("image", text), *sides], wrong, needed=images)
