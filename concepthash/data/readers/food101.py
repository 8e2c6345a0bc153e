"""Food-101 (Bossard et al., 2014), https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101.

    food-101/meta/train.json    {"apple_pie": ["apple_pie/1005649", ...], ...}
    food-101/meta/test.json     the same for the queries
    food-101/images/            apple_pie/1005649.jpg, ...

75,750 training images and 25,250 queries of 101 classes, of each 750 and 250. It has neither
families nor parts. torchvision's reader reads the two lists once they are known to be right.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from concepthash.data.image_set import ImageSet, check
from concepthash.data.problems import shortened
from concepthash.data.readers.base import InFolder
from concepthash.data.readers.files import folder_of, json_of, path_problem
from concepthash.data.readers.names import readable, shared_names
from concepthash.data.readers.torchvision_splits import read_splits
from concepthash.errors import InputError

SPLITS = ("train", "test")


class Food101(InFolder):
    """Food-101 in the publisher's layout."""

    title: ClassVar[str] = "Food-101"
    published: ClassVar[str] = "101 classes, 75,750 training and 25,250 query images"

    name: Literal["food101"] = "food101"
    root: Path
    """The folder food-101, or the one above it."""

    def read(self) -> ImageSet:
        return read(self.root)


def read(root: Path) -> ImageSet:
    """Read the images of `root`, the folder food-101 or the one above it.

    Labels are 0 to C - 1 in the alphabetical order of classes, as in torchvision. Raises
    InputError with a line for each mistake.
    """
    root = folder_of(root, "meta/train.json")
    classes = _checked_classes(root)
    from torchvision.datasets import Food101 as Torchvision

    images = read_splits(Torchvision, root, "food-101", SPLITS)
    return check(
        ImageSet(
            name=root.name,
            root=root,
            paths=images.paths,
            labels=images.labels,
            is_train=images.is_train,
            class_names=tuple(map(_class_name, classes)),
            families=("",) * len(classes),
        )
    )


def _checked_classes(root: Path) -> list[str]:
    """The classes of meta/train.json and meta/test.json, in the order of their labels.

    Raises InputError with a line for each mistake in these files.
    """
    wrong: list[str] = []
    classes: dict[str, set[str]] = {}
    first: dict[str, Path] = {}
    for split in SPLITS:
        file = root / "meta" / f"{split}.json"
        lists = json_of(file, wrong)
        if lists is None:
            continue
        if not isinstance(lists, dict) or not lists:
            wrong.append(f'{file}: must be an object {{"class": ["class/image", ...], ...}}')
            continue
        classes[split] = set(lists)
        mistakes = []
        for name, images in lists.items():
            if not isinstance(images, list) or not images:
                mistakes.append(f'{file}: {name!r} must have a list of images, ["{name}/...", ...]')
                continue
            for image in images:
                if not isinstance(image, str) or not image.startswith(f"{name}/"):
                    mistakes.append(f"{file}: {image!r} of {name!r} must be '{name}/' and a number")
                elif problem := path_problem(image):
                    mistakes.append(f"{file}: {image!r} {problem}")
                elif image in first:
                    again = "twice" if first[image] == file else f"also in {first[image].name}"
                    mistakes.append(f"{file}: {image!r} is listed {again}; each image may be once")
                else:
                    first[image] = file
        wrong += shortened(mistakes)
    if len(classes) == 2 and not wrong:
        for here, there in (SPLITS, SPLITS[::-1]):
            wrong += shortened(
                f"{root / 'meta' / f'{there}.json'}: has no class {name!r}, but {here}.json has;"
                " both need the same classes"
                for name in sorted(classes[here] - classes[there])
            )
    if wrong:
        raise InputError(*wrong)
    ordered = sorted(classes["train"])
    if shared := shared_names([_class_name(name) for name in ordered], ordered):
        raise InputError(*shortened(f"{root / 'meta/train.json'}: {line}" for line in shared))
    return ordered


def _class_name(name: str) -> str:
    """The class in words, as in meta/labels.txt: `apple_pie` is "Apple pie"."""
    return readable(name).capitalize()
