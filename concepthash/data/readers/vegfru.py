"""VegFru (Hou et al., 2017), https://github.com/ustc-vim/vegfru: vegetables and fruits.

    veg200_lists/veg_train.txt     path below veg200_images/, label (0 to 199); also veg_val.txt
                                   and veg_test.txt
    fru92_lists/fru_train.txt      path below fru92_images/, label (0 to 91); the same
    veg200_images/, fru92_images/  Chinese_artichoke/v_14_01_0001.jpg, ...
    vegfru_train.txt               the lists of both in one: path with veg200_images/ or
                                   fru92_images/, label (0 to 291); common copies of the data have
                                   these only, in the folder vegfru_list
    supvegfru_train.txt            beside it: the same path, number of its upper class (0 to 24)

292 classes of 25 upper classes with 29,200 images in train, 14,600 in val and 116,931 in test. The
upper classes are the families; without supvegfru_train.txt families are not known. Work on
fine-grained hashing trains on train and leaves val out; the data set's own paper trains on both
for its results on test (table 5), which the setting `training` allows. There are no parts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from concepthash.data.image_set import ImageSet, check
from concepthash.data.problems import shortened
from concepthash.data.readers.base import InFolder
from concepthash.data.readers.files import folder_of, path_problem, text_of
from concepthash.data.readers.names import readable, shared_names, told_apart
from concepthash.errors import InputError
from concepthash.spec_base import in_a_line

Training = Literal["train", "trainval"]

UPPER_CLASSES = (  # in the order of table 1 of the paper's supplementary material
    "alliaceous vegetables", "aquatic vegetables", "beans", "brassica oleracea", "bud seedlings",
    "cabbages", "eggplants", "green leafy vegetables", "melons", "mushrooms", "mustards",
    "perennials", "root vegetables", "tuber vegetables", "wild vegetables",
    "berries", "citrus fruits", "collective fruits", "cucurbits", "drupes", "litchis", "nuts",
    "persimmons and jujubes", "pomes", "other fruits",
)  # fmt: skip


class VegFru(InFolder):
    """VegFru in the publisher's layout."""

    title: ClassVar[str] = "VegFru"

    name: Literal["vegfru"] = "vegfru"
    root: Path
    """The folder of veg200_images and fru92_images, or the one above it."""
    training: Training = "train"
    """Training images and database: `train`, as in work on hashing, or train and val together."""

    def title_and_settings(self) -> str:
        images = {"train": "29,200 training", "trainval": "43,800 training (train and val)"}
        return f"{self.title} (292 classes, {images[self.training]} and 116,931 query images)"

    def read(self) -> ImageSet:
        return read(self.root, self.training)


_FORM = "<class folder>/<image> <label>, such as almond/f_01_01_0001.jpg 0"


class _Row(NamedTuple):
    where: str
    """File and line."""
    path: str
    """Relative to the data set's folder."""
    label: tuple[int, int]
    """The number of the list, since each list counts from 0, and the label in it."""

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


def read(root: Path, training: Training = "train") -> ImageSet:
    """Read the images of `root`; classes are in the order of their labels, vegetables first.

    Raises InputError with a line for each mistake: file, line, what is wrong, what is right.
    """
    root = folder_of(root, "veg200_images", "fru92_images")
    wrong: list[str] = []
    splits = ("train", "val") if training == "trainval" else ("train",)
    train = [row for split in splits for row in _rows(root, split, wrong)]
    rows = train + _rows(root, "test", wrong)
    class_folders = _checked_classes(rows, wrong)
    families = _families(root, wrong)
    if wrong:
        raise InputError(*wrong)
    labels = {label: index for index, label in enumerate(sorted(class_folders))}
    folders = [class_folders[label] for label in labels]
    class_names = told_apart(
        [readable(folder.rpartition("/")[2]) for folder in folders],
        ["vegetable" if folder.startswith("veg") else "fruit" for folder in folders],
    )
    if shared := shared_names(class_names, folders):
        raise InputError(*shortened(f"{root}: {line}" for line in shared))
    return check(
        ImageSet(
            name=root.name,
            root=root,
            paths=tuple(root / row.path for row in rows),
            labels=np.array([labels[row.label] for row in rows], np.int64),
            is_train=np.arange(len(rows)) < len(train),
            class_names=class_names,
            families=tuple(families.get(folder, "") for folder in folders),
        )
    )


def _rows(root: Path, split: str, wrong: list[str]) -> list[_Row]:
    """The records of a split, vegetables first. Mistakes are appended to `wrong`."""
    lists = [
        (root / "veg200_lists" / f"veg_{split}.txt", "veg200_images/"),
        (root / "fru92_lists" / f"fru_{split}.txt", "fru92_images/"),
    ]
    in_one = _file_of_both(root, f"vegfru_{split}.txt")
    if in_one and not any(file.parent.exists() for file, _ in lists):
        lists = [(in_one, "")]
    return [
        _Row(where, folder + path, (number, label))
        for number, (file, folder) in enumerate(lists)
        for where, path, label in _records(file, wrong)
    ]


def _file_of_both(root: Path, name: str) -> Path | None:
    """A list of vegetables and fruits, which some copies of the data have in vegfru_list."""
    places = (root / name, root / "vegfru_list" / name)
    return next((file for file in places if file.exists()), None)


def _records(file: Path, wrong: list[str]) -> list[tuple[str, str, int]]:
    """Place, path and number of each line; a path may have spaces."""
    text = text_of(file, wrong)
    if text is None:
        return []
    records, mistakes = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        where = f"{file}:{number}"
        path, _, label = line.strip().rpartition(" ")
        if not line.strip():
            continue
        if "/" not in path or not re.fullmatch("[0-9]{1,6}", label):
            mistakes.append(f"{where}: is {in_a_line(line.strip())!r}, but must be {_FORM}")
        elif problem := path_problem(path):
            mistakes.append(f"{where}: {in_a_line(path)!r} {problem}")
        else:
            records.append((where, path, int(label)))
    if not records and not mistakes:
        mistakes.append(f"{file}: is empty; each line should be {_FORM}")
    wrong += shortened(mistakes)
    return records


def _checked_classes(rows: list[_Row], wrong: list[str]) -> dict[tuple[int, int], str]:
    """The folder of each label. An image in two lines, or a label that skips, is a mistake."""
    first: dict[str, str] = {}
    folders: dict[tuple[int, int], str] = {}
    labels: dict[str, tuple[int, int]] = {}
    mistakes = []
    for row in rows:
        if row.path in first:
            mistakes.append(f"{row.where}: {row.path} is in {first[row.path]}, too; each is in one")
        first.setdefault(row.path, row.where)
        folder = folders.setdefault(row.label, row.folder)
        label = labels.setdefault(row.folder, row.label)
        if folder != row.folder or label != row.label:
            earlier = (folder, row.label[1]) if folder != row.folder else (row.folder, label[1])
            mistakes.append(
                f"{row.where}: label {row.label[1]} is of the folder {row.folder}, but in an"
                f" earlier line {earlier[0]} has label {earlier[1]}; each has one of the other"
            )
    for number in {number for number, _ in folders}:
        known = sorted(label for source, label in folders if source == number)
        skipped = next((index for index, label in enumerate(known) if label != index), None)
        if skipped is not None:
            file = next(row.where for row in rows if row.label[0] == number).rpartition(":")[0]
            mistakes.append(
                f"{file}: label {skipped} has no image; labels must be 0 to {len(known) - 1}, but"
                f" the highest is {known[-1]}"
            )
    wrong += shortened(mistakes)
    return folders


def _families(root: Path, wrong: list[str]) -> dict[str, str]:
    """The upper class of each class folder; empty if the data has no supvegfru_train.txt."""
    file = _file_of_both(root, "supvegfru_train.txt")
    families: dict[str, str] = {}
    mistakes = []
    for where, path, number in _records(file, wrong) if file else []:
        if number >= len(UPPER_CLASSES):
            mistakes.append(f"{where}: upper class is {number}, but must be 0 to 24")
            continue
        folder, name = path.rpartition("/")[0], UPPER_CLASSES[number]
        if families.setdefault(folder, name) != name:
            mistakes.append(
                f"{where}: {folder} is of the upper class {name}, but of {families[folder]} in an"
                " earlier line; a class has one"
            )
    wrong += shortened(mistakes)
    return families
