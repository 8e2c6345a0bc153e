"""Reading Stanford Cars as published, beside torchvision's own reader, and re-packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import complaints
from PIL import Image
from pydantic import TypeAdapter
from scipy.io import savemat
from torchvision.datasets import StanfordCars

from concepthash.data.readers import Cars, DatasetSpec, open_images

NAMES = ["AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012"]
FIELDS = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname"]
TRAIN = [
    (39, 116, 569, 375, 2, "00001.jpg"),
    (36, 116, 868, 587, 3, "00002.jpg"),
    (85, 109, 601, 381, 1, "00003.jpg"),
    (14, 5, 390, 250, 2, "Größe und Ähnlichkeit.jpg"),
]
TEST = [
    (30, 52, 246, 147, 1, "00001.jpg"),
    (100, 19, 576, 203, 3, "00002.jpg"),
    (51, 105, 968, 659, 2, "00003.jpg"),
]
PACKED_FIELDS = ["relative_im_path", *FIELDS[:5], "test"]
PACKED = [
    ("car_ims/000001.jpg", 112, 7, 853, 717, 1, 0),
    ("car_ims/000002.jpg", 48, 24, 441, 202, 1, 1),
    ("car_ims/000003.jpg", 7, 4, 277, 180, 2, 1),
    ("car_ims/000004.jpg", 33, 50, 197, 150, 2, 0),
    ("car_ims/000005.jpg", 5, 8, 83, 58, 3, 0),
]


def save(file: Path, fields: list[str] | None, rows: list[Any], names: list[str] | None) -> None:
    """A MATLAB file with the variables of the devkit: structs of 1 x N, cells of text."""
    variables: dict[str, Any] = {}
    if fields:
        array = np.zeros((1, len(rows)), dtype=[(field, object) for field in fields])
        for n, row in enumerate(rows):
            array[0, n] = row
        variables["annotations"] = array
    if names:
        variables["class_names"] = np.array([names], dtype=object)
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, variables)


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "Größe und Ähnlichkeit" / "stanford_cars"
    save(root / "devkit/cars_meta.mat", None, [], NAMES)
    save(root / "devkit/cars_train_annos.mat", FIELDS, TRAIN, None)
    save(root / "cars_test_annos_withlabels.mat", FIELDS, TEST, None)
    for folder, rows in (("cars_train", TRAIN), ("cars_test", TEST)):
        (root / folder).mkdir()
        for row in rows:
            Image.new("RGB", (8, 6)).save(root / folder / row[-1])
    return root


@pytest.fixture
def packed(tmp_path) -> Path:
    root = tmp_path / "cars196"
    save(root / "cars_annos.mat", PACKED_FIELDS, PACKED, NAMES)
    (root / "car_ims").mkdir()
    for row in PACKED:
        Image.new("RGB", (8, 6)).save(root / row[0])
    return root


def errors(root: Path) -> list[str]:
    return complaints(lambda: open_images(Cars(root=root)), root)


def test_paths_labels_and_split_are_those_of_torchvision(root):
    images = open_images(Cars(root=root))
    for split, train in (("train", True), ("test", False)):
        theirs = StanfordCars(root.parent, split)
        rows = np.flatnonzero(images.is_train == train)
        assert [(str(images.paths[i]), images.labels[i]) for i in rows] == theirs._samples
    assert images.labels.tolist() == [1, 2, 0, 1, 0, 2, 1]
    assert images.boxes[1].tolist() == [36, 116, 868, 587]
    assert images.boxes[4].tolist() == [30, 52, 246, 147]


def test_images_re_packed_into_one_folder_are_read_with_their_split(packed):
    images = open_images(Cars(root=packed))
    assert images.paths[2] == packed / "car_ims/000003.jpg"
    assert images.labels.tolist() == [0, 0, 1, 1, 2]
    assert images.is_train.tolist() == [True, False, False, True, True]
    assert images.boxes.dtype == np.float32
    assert images.boxes[0].tolist() == [112, 7, 853, 717]


def test_class_names_are_the_publishers_and_families_are_makes(root, packed):
    for folder in (root, packed):
        images = open_images(Cars(root=folder))
        assert images.name == "Stanford Cars"
        assert images.class_names == tuple(NAMES)
        assert images.families == ("AM General", "Acura", "Ram")


def test_root_is_the_folder_or_the_one_above(root, packed):
    for folder in (root, packed):
        (folder.parent / "readme.txt").touch()
        assert len(open_images(Cars(root=folder))) in (7, 5)
    assert open_images(Cars(root=root.parent)).paths == open_images(Cars(root=root)).paths


def test_name_in_a_study_selects_it_and_the_description_tells_the_published_sizes():
    spec = TypeAdapter(DatasetSpec).validate_python({"name": "cars", "root": Path("x")})
    assert spec == Cars(root=Path("x"))
    assert spec.describe() == "Stanford Cars (196 classes, 8,144 training and 8,041 query images)"


def test_a_renamed_folder_is_refused_with_the_name_it_must_have(root):
    moved = root.rename(root.parent / "cars")
    assert errors(moved) == [
        f"{moved}: must have the publisher's name, stanford_cars; rename it, or make a link of that"
        " name to it"
    ]


@pytest.mark.parametrize(
    ("row", "mistake"),
    [
        ((1, 2, 3, 4, 0, "a.jpg"), "class is 0, but must be 1 to 3"),
        ((1, 2, 3, 4, 4, "a.jpg"), "class is 4, but must be 1 to 3"),
        ((1, 2, 3, 4, 1.5, "a.jpg"), "class is 1.5, but must be 1 to 3"),
        ((1, "two", 3, 4, 1, "a.jpg"), "bbox_y1 is two, but must be a whole number of pixels"),
        ((1, 2, 3, 4, 1, ""), "has no name of a file; each needs one"),
        (
            (1, 2, 3, 4, 1, "../secret.jpg"),
            "the path ../secret.jpg leads out of the data set's folder; take out '..'",
        ),
        (
            (1, 2, 3, 4, 1, "00001.jpg"),
            "00001.jpg has an earlier annotation; each image may have one",
        ),
    ],
)
def test_error_names_file_and_annotation_and_says_what_is_right(root, row, mistake):
    save(root / "devkit/cars_train_annos.mat", FIELDS, [TRAIN[0], row, *TRAIN[1:]], None)
    assert errors(root) == [f"devkit/cars_train_annos.mat: annotations(2): {mistake}"]


def test_error_names_a_split_that_is_neither_0_nor_1(packed):
    save(packed / "cars_annos.mat", PACKED_FIELDS, [(*PACKED[0][:-1], 2), *PACKED[1:]], NAMES)
    assert errors(packed) == ["cars_annos.mat: annotations(1): test is 2, but must be 0 or 1"]


def test_unlabelled_annotations_of_the_queries_are_refused(root):
    fields = [field for field in FIELDS if field != "class"]
    rows = [(*row[:4], row[5]) for row in TEST]
    save(root / "cars_test_annos_withlabels.mat", fields, rows, None)
    assert errors(root) == [
        "cars_test_annos_withlabels.mat: annotations have no field class; each needs it"
    ]


def test_missing_and_broken_files_are_named_together(root):
    (root / "devkit/cars_train_annos.mat").write_text("not MATLAB")
    (root / "cars_test_annos_withlabels.mat").unlink()
    lines = errors(root)
    assert lines[0].startswith("devkit/cars_train_annos.mat: is no MATLAB file of version 5 to 7 (")
    assert lines[1:] == [
        "cars_test_annos_withlabels.mat: no such file; the layout of Stanford Cars needs a MATLAB"
        " file here"
    ]


def test_a_file_without_the_variable_or_a_folder_in_its_place_is_named(root):
    save(root / "devkit/cars_train_annos.mat", None, [], NAMES)
    (root / "devkit/cars_meta.mat").unlink()
    (root / "devkit/cars_meta.mat").mkdir()
    assert errors(root) == [
        "devkit/cars_meta.mat: is no regular file; the layout of Stanford Cars needs a MATLAB file"
        " here",
        "devkit/cars_train_annos.mat: has no variable annotations, or an empty one; it needs it",
    ]


def test_error_names_two_classes_with_one_name(root):
    save(root / "devkit/cars_meta.mat", None, [], [NAMES[0], NAMES[1], NAMES[1]])
    assert errors(root) == [
        "devkit/cars_meta.mat: classes 2 and 3 both have the name 'Acura RL Sedan 2012'; each class"
        " needs a name of its own"
    ]


def test_error_names_a_missing_image_and_a_class_without_training_images(packed):
    (packed / "car_ims/000002.jpg").unlink()
    save(packed / "cars_annos.mat", PACKED_FIELDS, PACKED[:4], NAMES)
    assert errors(packed) == [
        f"{packed}: class 2 (Ram C/V Cargo Van Minivan 2012) has no training images; each class"
        " needs at least one",
        f"car_ims/000002.jpg: no such file; {packed} lists it as an image",
    ]
