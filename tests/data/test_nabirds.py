"""Reading the layout of NABirds, and the errors for mistakes in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layouts import complaints, rewrite
from PIL import Image
from pydantic import TypeAdapter

from concepthash.data.readers import DatasetSpec, NABirds, open_images

A = "0000139e-21dc-4d0c-bfe1-4cae3c85c829"
B = "0000d9fc-4e02-4c06-a0af-a55cfb16b12b"
C = "00019306-9d83-4334-b255-a447742edce3"
D = "0001afd4-99a1-4a67-b940-d419413e23b3"

# Lines of the archive's files, with ids of fewer classes.
FILES = {
    "images.txt": (
        f"{A} 0817/0000139e21dc4d0cbfe14cae3c85c829.jpg\n"
        f"{B} 0860/0000d9fc4e024c06a0afa55cfb16b12b.jpg\n"
        f"{C} 0860/000193069d834334b255a447742edce3.jpg\n"
        f"{D} 0817/Größe und Ähnlichkeit.jpg\n"
    ),
    "classes.txt": (
        "0 Birds\n1 Ducks, Geese, and Swans\n22 Perching Birds\n205 Blue-winged Teal\n"
        "227 Blackbirds and Allies\n704 Orchard Oriole\n"
        "817 Orchard Oriole (Female/Juvenile )\n860 Blue-winged Teal  (Male)\n"
    ),
    "hierarchy.txt": "1 0\n22 0\n205 1\n227 22\n704 227\n817 704\n860 205\n",
    "image_class_labels.txt": f"{A} 817\n{B} 860\n{C} 860\n{D} 817\n",
    "train_test_split.txt": f"{A} 0\n{B} 0\n{C} 1\n{D} 1\n",
    "bounding_boxes.txt": (
        f"{A} 83 59 128 228\n{B} 328 88 163 298\n{C} 174 367 219 378\n{D} 307 179 492 224\n"
    ),
    "sizes.txt": f"{A} 296 341\n{B} 640 427\n{C} 730 1024\n{D} 1024 680\n",
    "parts/parts.txt": "0 bill\n1 left eye\n",
    "parts/part_locs.txt": (
        f"{A} 0 83 61 1\n{A} 1 0 0 0\n{B} 0 328 90 1\n{B} 1 330 95 1\n{C} 0 180 370 1\n"
    ),
}


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "nabirds"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode())
    for line in FILES["images.txt"].splitlines():
        image = folder / "images" / line.split(" ", 1)[1]
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(image)
    return folder


def errors(root: Path) -> list[str]:
    return complaints(lambda: open_images(NABirds(root=root)), root)


def test_classes_are_the_leaves_with_images_in_the_order_of_their_ids(root):
    images = open_images(NABirds(root=root))
    assert images.name == "NABirds"
    assert images.labels.tolist() == [0, 1, 1, 0]
    assert images.labels.dtype == np.int64
    assert images.is_train.tolist() == [False, False, True, True]
    assert images.paths[0] == root / "images/0817/0000139e21dc4d0cbfe14cae3c85c829.jpg"
    assert images.paths[3] == root / "images/0817/Größe und Ähnlichkeit.jpg"


def test_class_names_are_readable_and_families_are_the_groups_above_the_species(root):
    images = open_images(NABirds(root=root))
    assert images.class_names == ("Orchard Oriole (Female or Juvenile)", "Blue-winged Teal (Male)")
    assert images.families == ("Blackbirds and Allies", "Ducks, Geese, and Swans")


def test_parts_and_boxes_are_in_pixels_and_a_part_without_a_line_is_not_visible(root):
    images = open_images(NABirds(root=root))
    assert images.part_names == ("bill", "left eye")
    assert images.parts.dtype == images.boxes.dtype == np.float32
    assert images.parts.tolist() == [
        [[83, 61, 1], [0, 0, 0]],
        [[328, 90, 1], [330, 95, 1]],
        [[180, 370, 1], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0]],
    ]
    assert images.boxes[:2].tolist() == [[83, 59, 211, 287], [328, 88, 491, 386]]
    first = open_images(NABirds(root=root, num_classes=2)).first_classes(1)
    assert first.boxes.tolist() == [[83, 59, 211, 287], [307, 179, 799, 403]]


def test_parts_and_boxes_are_optional(root):
    for name in ("parts/parts.txt", "parts/part_locs.txt", "bounding_boxes.txt"):
        (root / name).unlink()
    images = open_images(NABirds(root=root))
    assert images.part_names == ()
    assert images.parts is None
    assert images.boxes is None


def test_root_is_the_folder_nabirds_or_the_one_above(root):
    assert open_images(NABirds(root=root.parent)).paths == open_images(NABirds(root=root)).paths


def test_lines_may_end_as_on_windows(root):
    whole = open_images(NABirds(root=root))
    for name, content in FILES.items():
        (root / name).write_bytes(content.replace("\n", "\r\n").encode())
    again = open_images(NABirds(root=root))
    assert again.fingerprint == whole.fingerprint
    assert again.class_names == whole.class_names
    assert again.paths == whole.paths


def test_name_in_a_study_selects_it_and_the_description_tells_the_published_sizes():
    spec = TypeAdapter(DatasetSpec).validate_python({"name": "nabirds", "root": Path("x")})
    assert spec == NABirds(root=Path("x"))
    assert spec.describe() == "NABirds (555 classes, 23,929 training and 24,633 query images)"


@pytest.mark.parametrize(
    ("name", "line", "text", "error"),
    [
        ("images.txt", 2, B, "images.txt:2: has 1 fields, not 2: <image id> <path>"),
        ("images.txt", 2, "", "images.txt:2: has 1 fields, not 2: <image id> <path>"),
        (
            "images.txt", 2, f"{A} 0860/a.jpg",
            f"images.txt:2: image id {A} has an earlier line; each may have one",
        ),
        (
            "images.txt", 2, f"{B} 0817/0000139e21dc4d0cbfe14cae3c85c829.jpg",
            "images.txt:2: path 0817/0000139e21dc4d0cbfe14cae3c85c829.jpg has an earlier line; each"
            " may have one",
        ),
        (
            "images.txt", 2, f"{B} ../../secret.jpg",
            "images.txt:2: path is '../../secret.jpg', but must be a path below images/, without"
            " '..'",
        ),
        (
            "images.txt", 2, f"{B} /etc/passwd",
            "images.txt:2: path is '/etc/passwd', but must be a path below images/, without '..'",
        ),
        (
            "classes.txt", 3, "-1 Birds",
            "classes.txt:3: class id is '-1', but must be a whole number of 0 or more",
        ),
        (
            "hierarchy.txt", 3, "205 99",
            "hierarchy.txt:3: parent id is '99', but must be in classes.txt",
        ),
        (
            "image_class_labels.txt", 3, f"{C} 818",
            "image_class_labels.txt:3: class id is '818', but must be in classes.txt",
        ),
        (
            "image_class_labels.txt", 3, "0001 817",
            "image_class_labels.txt:3: image id is '0001', but must be in images.txt",
        ),
        (
            "train_test_split.txt", 1, f"{A} train",
            "train_test_split.txt:1: split is 'train', but must be 0 or 1",
        ),
        (
            "bounding_boxes.txt", 1, f"{A} 83 nan 128 228",
            "bounding_boxes.txt:1: y is 'nan', but must be a number of pixels, at most 1,000,000",
        ),
        (
            "parts/part_locs.txt", 2, f"{A} 0 0 0 0",
            f"parts/part_locs.txt:2: image id {A}, part id 0 has an earlier line; each may have"
            " one",
        ),
        (
            "parts/part_locs.txt", 2, f"{A} 2 0 0 0",
            "parts/part_locs.txt:2: part id is '2', but must be in parts.txt",
        ),
    ],
)  # fmt: skip
def test_error_names_file_line_and_field_and_says_what_is_right(root, name, line, text, error):
    rewrite(root / name, line, text)
    assert error in errors(root)


def test_mistakes_of_several_files_are_reported_together_ten_of_each(root):
    rewrite(root / "classes.txt", 2, "2")
    (root / "train_test_split.txt").write_text(f"{A} x\n" * 1000)
    lines = errors(root)
    assert "classes.txt:2: has 1 fields, not 2: <class id> <name>" in lines
    assert sum(line.startswith("train_test_split.txt:") for line in lines) == 10
    assert "... and 990 more like these" in lines


@pytest.mark.parametrize(
    "name", ["images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"]
)
def test_error_names_an_index_that_is_missing_empty_a_folder_or_in_another_encoding(root, name):
    (root / name).write_bytes("Größe".encode("latin-1"))
    assert any(line.startswith(f"{name}: is not UTF-8 text") for line in errors(root))
    (root / name).write_bytes(b"\n")
    assert any(line.startswith(f"{name}: is empty; each line should be <") for line in errors(root))
    (root / name).unlink()
    assert any(line.startswith(f"{name}: no such file") for line in errors(root))
    (root / name).mkdir()
    assert f"{name}: is no regular file, but must be a text file" in errors(root)


@pytest.mark.parametrize(
    "name", ["image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt"]
)
def test_error_names_an_image_without_a_line_in_another_file(root, name):
    (root / name).write_text("".join(FILES[name].splitlines(keepends=True)[:-1]))
    assert errors(root) == [f"{name}: has no line for image id {D}; each needs one"]


def test_error_names_a_class_without_a_family(root):
    (root / "hierarchy.txt").write_text(FILES["hierarchy.txt"].replace("205 1\n", ""))
    assert errors(root) == [
        "hierarchy.txt: class 860 (Blue-winged Teal (Male)) has no parent of its parent; above each"
        " class with images are its species and its family"
    ]


def test_error_names_two_classes_with_one_name(root):
    rewrite(root / "classes.txt", 8, "860 Orchard Oriole (Female/Juvenile)")
    assert errors(root) == [
        "classes.txt: classes 817 and 860 both have the name 'Orchard Oriole (Female or Juvenile)';"
        " each class needs a name of its own"
    ]


def test_error_names_a_missing_image(root):
    (root / "images/0817/Größe und Ähnlichkeit.jpg").unlink()
    assert errors(root) == [
        f"images/0817/Größe und Ähnlichkeit.jpg: no such file; {root} lists it as an image"
    ]


def test_error_says_where_the_layout_is_expected(tmp_path):
    assert errors(tmp_path) == [f"{tmp_path}: has no hierarchy.txt, nor has a folder in it"]
