"""The birds of iNaturalist 2021 (Van Horn et al., 2021), https://github.com/visipedia/inat_comp.

    train.json, train_mini.json, val.json     indexes in the form of COCO:
        images         {"id": 7, "file_name": "val/03689_.../01f4dc67.jpg", ...}
        annotations    {"id": 7, "image_id": 7, "category_id": 3689}
        categories     {"id": 3689, "name": "Psaltriparus minimus", "common_name": "Bushtit",
                        "class": "Aves", "family": "Aegithalidae", ...}
    train/, train_mini/, val/                 the images

The classes are the 1,486 species of the category class Aves by their common names, the families
those of the taxonomy. train has 414,847 of their images, train_mini 74,300 (50 a species); the
queries are the 14,860 of val (10 a species), since the labels of the test images are not public.
There are no parts. torchvision's reader lists folders and knows no common names, so that the
indexes are read here: the 500,000 images of all classes in train_mini.json in 5 s, with 0.4 GB of
memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from concepthash.data.image_set import ImageSet, check
from concepthash.data.problems import shortened
from concepthash.data.readers.base import InFolder
from concepthash.data.readers.files import folder_of, json_of, path_problem
from concepthash.data.readers.names import readable, shared_names, told_apart
from concepthash.errors import InputError
from concepthash.spec_base import in_a_line

Training = Literal["train", "train_mini"]


class InatBirds(InFolder):
    """The birds of iNaturalist 2021, by its index files."""

    title: ClassVar[str] = "iNaturalist 2021 birds"

    name: Literal["inat_birds"] = "inat_birds"
    root: Path
    """The folder of val.json, or the one above it."""
    training: Training = "train"
    """The index of training images and database; `train_mini` has 50 images of each species."""

    def title_and_settings(self) -> str:
        images = {"train": "414,847 training", "train_mini": "74,300 training (train_mini)"}
        return f"{self.title} (1,486 classes, {images[self.training]} and 14,860 query images)"

    def read(self) -> ImageSet:
        return read(self.root, self.training)


class _Bird(NamedTuple):
    common_name: str
    name: str
    family: str


class _Image(NamedTuple):
    id: int
    file_name: str


class _Annotation(NamedTuple):
    image: int
    category: int


def read(root: Path, training: Training = "train") -> ImageSet:
    """Read the images of birds in the folder `root`; classes are in the order of category ids.

    Raises InputError with a line for each mistake: file, entry, what is wrong, what is right.
    """
    root = folder_of(root, "val.json")
    wrong: list[str] = []
    birds, train = _index(root / f"{training}.json", wrong)
    birds_of_val, queries = _index(root / "val.json", wrong)
    if not wrong:
        wrong += shortened(
            f"{root / 'val.json'}: category {number} differs from {training}.json; both must have"
            " the same birds"
            for number in sorted(birds.keys() | birds_of_val.keys())
            if birds.get(number) != birds_of_val.get(number)
        )
        wrong += shortened(
            f"{root / 'val.json'}: {path} is in {training}.json, too; each image is in one"
            for path in queries
            if path in train
        )
    if wrong:
        raise InputError(*wrong)
    order = sorted(birds)
    labels = {category: label for label, category in enumerate(order)}
    categories = [*train.values(), *queries.values()]
    class_names = told_apart(
        [birds[category].common_name for category in order],
        [birds[category].name for category in order],
    )
    if shared := shared_names(class_names, list(map(str, order))):
        raise InputError(*shortened(f"{root / 'val.json'}: {line}" for line in shared))
    return check(
        ImageSet(
            name=root.name,
            root=root,
            paths=tuple(root / path for path in (*train, *queries)),
            labels=np.array([labels[category] for category in categories], np.int64),
            is_train=np.arange(len(categories)) < len(train),
            class_names=class_names,
            families=tuple(birds[category].family for category in order),
        )
    )


def _index(file: Path, wrong: list[str]) -> tuple[dict[int, _Bird], dict[str, int]]:
    """The birds by category id, and the category of each image of a bird, by its path.

    Mistakes are appended to `wrong`.
    """
    index = json_of(file, wrong, _lean)
    if index is None:
        return {}, {}
    parts = ("images", "annotations", "categories")
    if not isinstance(index, dict) or not all(isinstance(index.get(p), list) for p in parts):
        wrong.append(f"{file}: must be an object with the lists {', '.join(parts)}")
        return {}, {}
    mistakes: list[str] = []
    birds, others = _birds(file, index["categories"], mistakes)
    category_of: dict[int, int] = {}
    for number, entry in enumerate(index["annotations"]):
        where = f"annotations[{number}]"
        if not isinstance(entry, _Annotation) or not all(isinstance(n, int) for n in entry):
            mistakes.append(f'{file}: {where} must be {{"image_id": 7, "category_id": 3689, ...}}')
        elif entry.category not in birds and entry.category not in others:
            mistakes.append(
                f"{file}: category_id of {where} is {entry.category}, but must be an id of"
                " categories"
            )
        elif entry.image in category_of:
            mistakes.append(f"{file}: {where} is the second of image {entry.image}; each has one")
        elif entry.category in birds:
            category_of[entry.image] = entry.category
    paths: dict[str, int] = {}
    for number, entry in enumerate(index["images"]):
        where = f"images[{number}]"
        if not isinstance(entry, _Image) or [type(v) for v in entry] != [int, str]:
            mistakes.append(f'{file}: {where} must be {{"id": 7, "file_name": "val/...", ...}}')
        elif entry.id in category_of:
            category = category_of.pop(entry.id)
            if problem := path_problem(entry.file_name):
                mistakes.append(f"{file}: {where}: {in_a_line(entry.file_name)!r} {problem}")
            elif entry.file_name in paths:
                mistakes.append(f"{file}: {where}: {entry.file_name} is of an earlier image, too")
            else:
                paths[entry.file_name] = category
    wrong += shortened(mistakes)
    if not mistakes:
        wrong += shortened(
            f"{file}: image_id {image} of annotations is no id of images; each needs an image"
            for image in category_of
        )
        images, annotations = len(index["images"]), len(index["annotations"])
        if images != annotations:
            wrong.append(
                f"{file}: has {images} images and {annotations} annotations; each image needs one"
            )
    return birds, paths


def _lean(fields: dict[str, Any]) -> Any:
    """What is read of a JSON object: of 2.7 million images, nothing else stays in memory."""
    if "file_name" in fields:
        return _Image(fields.get("id", -1), fields["file_name"])
    if "image_id" in fields:
        return _Annotation(fields["image_id"], fields.get("category_id", -1))
    return fields


def _birds(
    file: Path, categories: list[Any], mistakes: list[str]
) -> tuple[dict[int, _Bird], set[int]]:
    """The birds by id, and the ids of all other categories."""
    birds: dict[int, _Bird] = {}
    others: set[int] = set()
    for number, entry in enumerate(categories):
        where = f"{file}: categories[{number}]"
        texts = ("name", "class", "family")
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("id"), int)
            or not all(isinstance(entry.get(text), str) for text in texts)
        ):
            mistakes.append(f"{where} needs a whole number as id, and the texts {', '.join(texts)}")
        elif entry["id"] in birds or entry["id"] in others:
            mistakes.append(f"{where} has the id {entry['id']} of an earlier one; each has its own")
        elif entry["class"] == "Aves":
            common_name = readable(str(entry.get("common_name") or entry["name"]))
            birds[entry["id"]] = _Bird(common_name, entry["name"], entry["family"])
        else:
            others.add(entry["id"])
    if not birds and not mistakes:
        mistakes.append(f"{file}: has no category of the class Aves")
    return birds, others
