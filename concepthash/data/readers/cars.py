"""Stanford Cars (Krause et al., 2013), http://ai.stanford.edu/~jkrause/cars/car_dataset.html.

As published, in the arrangement that torchvision expects and whose reader it is read by:

    stanford_cars/
      devkit/cars_meta.mat                class_names: AM General Hummer SUV 2000
      devkit/cars_train_annos.mat         annotations: bbox_x1, _y1, _x2, _y2, class, fname
      cars_test_annos_withlabels.mat      the same of the queries
      cars_train/, cars_test/             00001.jpg, ...

or re-packed by its authors, with all images in one folder:

    cars_annos.mat                        class_names; annotations: relative_im_path, bbox_x1,
                                          _y1, _x2, _y2, class, test (1 for queries)
    car_ims/                              000001.jpg, ...

The devkit's README describes the fields; `class` counts from 1. 8,144 training and 8,041 query
images of 196 classes. A class is make, model and year; its family is the make: the first word of
the name, or the first two of AM General, Aston Martin and Land Rover. A folder for each class in
train/ and test/ is read by `folder`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from concepthash.data.image_set import ImageSet, check
from concepthash.data.problems import shortened
from concepthash.data.readers.base import InFolder
from concepthash.data.readers.files import folder_of, path_problem
from concepthash.data.readers.names import readable, shared_names
from concepthash.data.readers.tables import MAX_PIXELS
from concepthash.data.readers.torchvision_splits import read_splits
from concepthash.errors import InputError
from concepthash.spec_base import in_a_line

FOLDER = "stanford_cars"
SIDES = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2")
TWO_WORDS = ("AM General", "Aston Martin", "Land Rover")


class Cars(InFolder):
    """Stanford Cars as published, or re-packed as cars_annos.mat and car_ims."""

    title: ClassVar[str] = "Stanford Cars"
    published: ClassVar[str] = "196 classes, 8,144 training and 8,041 query images"

    name: Literal["cars"] = "cars"
    root: Path
    """The folder stanford_cars, or the one above it."""

    def read(self) -> ImageSet:
        return read(self.root)


class Car(NamedTuple):
    """What an annotation says of an image."""

    path: str
    label: int
    is_train: bool
    box: tuple[float, ...]


def read(root: Path) -> ImageSet:
    """Read the images of `root`, the folder stanford_cars or the one above it.

    Labels are those of the devkit less 1. Raises InputError with a line for each mistake.
    """
    root = folder_of(root, "devkit/cars_meta.mat", "cars_annos.mat")
    wrong: list[str] = []
    if repacked := not (root / "devkit").is_dir() or (root / "car_ims").is_dir():
        names = _class_names(root / "cars_annos.mat", wrong)
        cars = _cars(root / "cars_annos.mat", None, len(names), wrong)
    else:
        names = _class_names(root / "devkit/cars_meta.mat", wrong)
        cars = _cars(root / "devkit/cars_train_annos.mat", "cars_train", len(names), wrong)
        cars += _cars(root / "cars_test_annos_withlabels.mat", "cars_test", len(names), wrong)
    if wrong:
        raise InputError(*wrong)

    if repacked:
        paths = tuple(root / car.path for car in cars)
        labels = np.array([car.label for car in cars], np.int64)
        is_train = np.array([car.is_train for car in cars], np.bool_)
    else:
        from torchvision.datasets import StanfordCars

        paths, labels, is_train = read_splits(StanfordCars, root, FOLDER, ("train", "test"))
    return check(
        ImageSet(
            name=root.name,
            root=root,
            paths=paths,
            labels=labels,
            is_train=is_train,
            class_names=tuple(names),
            families=tuple(_make(name) for name in names),
            boxes=np.array([car.box for car in cars], np.float32),
        )
    )


def _make(name: str) -> str:
    return next((make for make in TWO_WORDS if name.startswith(make)), name.split()[0])


def _class_names(path: Path, wrong: list[str]) -> list[str]:
    names = _variable(path, "class_names", wrong)
    bad = [n for n, name in enumerate(names, 1) if not (isinstance(name, str) and name.strip())]
    wrong += shortened(f"{path}: class_names({n}) is no name; each must be text" for n in bad)
    if bad:
        return []
    readable_names = [readable(name) for name in names]
    shared = shared_names(readable_names, [str(n) for n in range(1, len(names) + 1)])
    wrong += shortened(f"{path}: {mistake}" for mistake in shared)
    return readable_names


def _cars(path: Path, folder: str | None, classes: int, wrong: list[str]) -> list[Car]:
    """The annotations of a file; without a `folder`, each says path and split itself."""
    rows = _variable(path, "annotations", wrong)
    needed = (*SIDES, "class", *(("fname",) if folder else ("relative_im_path", "test")))
    missing = [] if not len(rows) else [f for f in needed if f not in (rows.dtype.names or ())]
    wrong += [f"{path}: annotations have no field {field}; each needs it" for field in missing]
    if missing:
        return []
    cars: list[Car] = []
    earlier: set[str] = set()
    mistakes = []
    for n, row in enumerate(rows, start=1):
        path_of = row["fname"] if folder else row["relative_im_path"]
        bad = list(_mistakes(row, path_of, folder, classes))
        if not bad and path_of in earlier:
            bad = [f"{in_a_line(path_of)} has an earlier annotation; each image may have one"]
        mistakes += [f"{path}: annotations({n}): {mistake}" for mistake in bad]
        if not bad:
            earlier.add(path_of)
            is_train = folder == "cars_train" if folder else row["test"] == 0
            box = tuple(float(row[side]) for side in SIDES)
            cars.append(Car(path_of, int(row["class"]) - 1, bool(is_train), box))
    wrong += shortened(mistakes)
    return cars


def _mistakes(row: Any, path: Any, folder: str | None, classes: int) -> Iterator[str]:
    """What is wrong with an annotation, and what is right."""
    if not isinstance(path, str) or not path:
        yield "has no name of a file; each needs one"
    elif problem := path_problem(path):
        yield f"the path {in_a_line(path)} {problem}"
    # `classes` is 0 if the names could not be read, which is reported already.
    if classes and not (_is_whole(row["class"]) and 1 <= row["class"] <= classes):
        yield f"class is {in_a_line(str(row['class']))}, but must be 1 to {classes}"
    if not folder and not (_is_whole(row["test"]) and row["test"] in (0, 1)):
        yield f"test is {in_a_line(str(row['test']))}, but must be 0 or 1"
    for side in SIDES:
        if not (_is_whole(row[side]) and abs(row[side]) <= MAX_PIXELS):
            yield f"{side} is {in_a_line(str(row[side]))}, but must be a whole number of pixels"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer)


def _variable(path: Path, name: str, wrong: list[str]) -> Any:
    """A variable of a MATLAB file, (N,); empty if it cannot be read."""
    from scipy.io import loadmat

    if not path.is_file():
        found = "is no regular file" if path.exists() else "no such file"
        wrong.append(f"{path}: {found}; the layout of Stanford Cars needs a MATLAB file here")
        return np.array([])
    try:
        variables = loadmat(path, squeeze_me=True, variable_names=[name])
    except Exception as error:  # scipy raises many types for broken files
        reason = (str(error) or type(error).__name__).splitlines()[0]
        wrong.append(f"{path}: is no MATLAB file of version 5 to 7 ({in_a_line(reason)})")
        return np.array([])
    if name not in variables or not np.size(variables[name]):
        wrong.append(f"{path}: has no variable {name}, or an empty one; it needs it")
        return np.array([])
    return np.atleast_1d(variables[name])
