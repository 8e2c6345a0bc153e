"""Reading the layout of CUB-200-2011, and the errors for mistakes in it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from layouts import complaints, rewrite

from concepthash.data.image_set import ImageSet, check
from concepthash.data.readers import cub
from concepthash.errors import InputError

FILES = {
    "images.txt": (
        "1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg\n"
        "2 001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg\n"
        "3 002.Arctic_Tern/Arctic_Tern_0001.jpg\n"
        "4 002.Arctic_Tern/Arctic_Tern_0002.jpg\n"
    ),
    "classes.txt": "1 001.Black_footed_Albatross\n2 002.Arctic_Tern\n",
    "image_class_labels.txt": "1 1\n2 1\n3 2\n4 2\n",
    "train_test_split.txt": "1 0\n2 1\n3 1\n4 0\n",
    "parts/parts.txt": "1 back\n2 left wing\n",
    "parts/part_locs.txt": (
        "1 1 10.5 20.0 1\n1 2 0.0 0.0 0\n2 1 1.0 2.0 1\n2 2 3.0 4.0 1\n"
        "3 1 5.0 6.0 1\n3 2 7.0 8.0 1\n4 1 0.0 0.0 0\n4 2 9.0 9.5 1\n"
    ),
}


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "CUB_200_2011"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    for line in FILES["images.txt"].splitlines():
        image = folder / "images" / line.split()[1]
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(b"not opened by the reader")
    return folder


def errors(root: Path) -> list[str]:
    return complaints(lambda: cub.read(root), root)


def test_reader_gives_labels_splits_names_and_parts_of_all_files(root):
    images = cub.read(root)
    assert images.name == "CUB_200_2011"
    assert images.class_names == ("Black footed Albatross", "Arctic Tern")
    assert images.families == ("albatross", "tern")
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert images.labels.dtype == np.int64
    assert images.is_train.tolist() == [False, True, True, False]
    assert images.is_train.dtype == np.bool_
    assert images.paths[2] == root / "images/002.Arctic_Tern/Arctic_Tern_0001.jpg"
    assert images.part_names == ("back", "left wing")
    assert images.parts.dtype == np.float32
    assert images.parts.tolist() == [
        [[10.5, 20, 1], [0, 0, 0]],
        [[1, 2, 1], [3, 4, 1]],
        [[5, 6, 1], [7, 8, 1]],
        [[0, 0, 0], [9, 9.5, 1]],
    ]


def test_paths_are_absolute_if_the_root_is_relative(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    images = cub.read(Path("CUB_200_2011"))
    assert images.paths == cub.read(root).paths
    assert all(path.is_absolute() for path in images.paths)


def test_files_may_list_their_records_in_different_orders(root):
    in_order = cub.read(root)
    for name in ("classes.txt", "image_class_labels.txt", "train_test_split.txt"):
        lines = FILES[name].splitlines()
        (root / name).write_text("\n".join(reversed(lines)) + "\n\n")
    reversed_order = cub.read(root)
    assert reversed_order.class_names == in_order.class_names
    assert reversed_order.labels.tolist() == in_order.labels.tolist()
    assert reversed_order.is_train.tolist() == in_order.is_train.tolist()


def test_error_names_two_classes_with_one_name(root):
    rewrite(root / "classes.txt", 2, "2 002.Black_footed Albatross")
    assert errors(root) == [
        "classes.txt: class ids 1 (001.Black_footed_Albatross) and 2 (002.Black_footed Albatross)"
        " both have the name 'Black footed Albatross'; each class needs a name of its own"
    ]


def test_parts_are_optional(root):
    (root / "parts/parts.txt").unlink()
    (root / "parts/part_locs.txt").unlink()
    images = cub.read(root)
    assert images.part_names == ()
    assert images.parts is None


@pytest.mark.parametrize(
    ("name", "line", "text", "error"),
    [
        ("images.txt", 2, "2", "images.txt:2: has 1 fields, not 2: <image id> <path>"),
        (
            "images.txt", 2, "two a.jpg",
            "images.txt:2: image id is 'two', but must be a whole number of 1 or more",
        ),
        (
            "images.txt", 2, "1 a.jpg",
            "images.txt:2: image id 1 has an earlier line; each may have one",
        ),
        (
            "classes.txt", 1, "0 001.Black_footed_Albatross",
            "classes.txt:1: class id is '0', but must be a whole number of 1 or more",
        ),
        (
            "image_class_labels.txt", 3, "3 7",
            "image_class_labels.txt:3: class id is '7', but must be an id of classes.txt (1 to 2)",
        ),
        (
            "image_class_labels.txt", 4, "9 2",
            "image_class_labels.txt:4: image id is '9', but must be an id of images.txt (1 to 4)",
        ),
        (
            "train_test_split.txt", 1, "1 train",
            "train_test_split.txt:1: split is 'train', but must be 0 or 1",
        ),
        ("parts/parts.txt", 2, "2", "parts/parts.txt:2: has 1 fields, not 2: <part id> <part>"),
        (
            "parts/part_locs.txt", 5, "3 1 left 6.0 1",
            "parts/part_locs.txt:5: x is 'left', but must be a number of pixels, at most 1,000,000",
        ),
        (
            "parts/part_locs.txt", 5, "3 1 5.0 nan 1",
            "parts/part_locs.txt:5: y is 'nan', but must be a number of pixels, at most 1,000,000",
        ),
        (
            "parts/part_locs.txt", 8, "4 3 9.0 9.5 1",
            "parts/part_locs.txt:8: part id is '3', but must be an id of parts.txt (1 to 2)",
        ),
        (
            "parts/part_locs.txt", 8, "4 1 9.0 9.5 1",
            "parts/part_locs.txt:8: image id 4, part id 1 has an earlier line; each may have one",
        ),
        (
            "parts/part_locs.txt", 1, "1 1 10.5 20.0 yes",
            "parts/part_locs.txt:1: visible is 'yes', but must be 0 or 1",
        ),
    ],
)  # fmt: skip
def test_error_names_file_line_and_field_and_says_what_is_right(root, name, line, text, error):
    rewrite(root / name, line, text)
    assert error in errors(root)


def test_mistakes_in_several_files_are_reported_together(root):
    rewrite(root / "classes.txt", 2, "2")
    rewrite(root / "train_test_split.txt", 1, "1 2")
    rewrite(root / "train_test_split.txt", 3, "3 3")
    places = [line.split(": ")[0] for line in errors(root)]
    assert {"classes.txt:2", "train_test_split.txt:1", "train_test_split.txt:3"} <= set(places)


def test_a_thousand_mistakes_of_one_file_are_reported_in_eleven_lines(root):
    (root / "train_test_split.txt").write_text("1 x\n" * 1000)
    lines = errors(root)
    assert len(lines) == 11
    assert lines[-1] == "... and 990 more like these"


@pytest.mark.parametrize(
    "name", ["images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"]
)
def test_error_names_a_missing_or_empty_file(root, name):
    (root / name).write_text("")
    assert any(line.startswith(f"{name}: is empty; each line should be <") for line in errors(root))
    (root / name).unlink()
    assert f"{name}: no such file; the layout of CUB-200-2011 needs it" in errors(root)


NEEDED = "the layout of CUB-200-2011 needs"
# What stands in the place of a file, and what is said of it.
NO_FILES = {
    "/tmp": f"is no regular file; {NEEDED} one",
    "/dev/zero": f"is no regular file; {NEEDED} one",
    "pipe": f"is no regular file; {NEEDED} one",
    "terabytes": "has 4,398,046,511,104 bytes; at most 1,000,000,000 are read",
    "/nowhere": f"no such file; {NEEDED} it",
    "loop": "cannot be read (Too many levels of symbolic links); make it readable",
}


@pytest.mark.parametrize("name", ["images.txt", "classes.txt", "parts/parts.txt"])
def test_what_is_no_regular_file_is_refused_by_name(root, name):
    os.mkfifo(root / "pipe")
    (root / "terabytes").touch()
    os.truncate(root / "terabytes", 2**42)  # a hole: it takes no room
    (root / "loop").symlink_to("loop")
    for target, said in NO_FILES.items():
        (root / name).unlink()
        (root / name).symlink_to(root / target)
        assert f"{name}: {said}" in errors(root)


def test_parts_in_the_place_of_a_folder_are_refused(root):
    for file in (root / "parts").iterdir():
        file.unlink()
    (root / "parts").rmdir()
    (root / "parts").write_text("1 back\n")
    assert errors(root) == ["parts: is no folder; parts.txt and part_locs.txt lie in it"]


@pytest.mark.parametrize(
    ("name", "line", "text", "error"),
    [
        ("images.txt", 3, "3 a\0b.jpg", "a\\x00b.jpg: a path holds the control character '\\x00'"),
        ("images.txt", 3, f"3 {'x' * 300}.jpg", "a name in a path has at most 255 bytes, but one"),
        ("images.txt", 3, f"{'9' * 5000} a.jpg", "images.txt:3: image id is '999"),
        ("classes.txt", 2, "2 002.A\x1bC_Tern", "the class name 'A\\x1bC Tern' holds the control"),
        ("image_class_labels.txt", 3, f"3 {'9' * 5000}", "must be an id of classes.txt (1 to 2)"),
        ("parts/part_locs.txt", 5, "3 1 1e300 6.0 1", "parts/part_locs.txt:5: x is '1e300'"),
    ],
)
def test_names_and_numbers_that_no_file_or_picture_has_are_refused_in_a_line(
    root, name, line, text, error
):
    rewrite(root / name, line, text)
    lines = errors(root)
    assert any(error in said for said in lines), lines
    assert all(len(said) < 1000 and said.isprintable() for said in lines)


def test_parts_need_both_files(root):
    (root / "parts/part_locs.txt").unlink()
    assert errors(root) == [
        "parts/part_locs.txt: no such file; the layout of CUB-200-2011 needs it"
    ]


def test_error_names_an_image_without_a_label(root):
    (root / "image_class_labels.txt").write_text("1 1\n2 1\n3 2\n")
    assert errors(root) == [
        "image_class_labels.txt: has no line for image 4 (002.Arctic_Tern/Arctic_Tern_0002.jpg) "
        "of images.txt; each image needs one"
    ]


def test_error_names_a_file_that_is_not_utf8(root):
    (root / "classes.txt").write_bytes(b"1 001.\xff\xfe\n")
    assert any(line.startswith("classes.txt: is not UTF-8 text") for line in errors(root))


def test_error_names_a_missing_folder_and_the_folder_that_is_meant(root, tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such folder; the folder that holds"):
        cub.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no images.txt, but .*CUB_200_2011 has; name that"):
        cub.read(tmp_path)


# --- checks that all readers share ------------------------------------------------------------


def test_error_names_a_class_without_training_images(root):
    rewrite(root / "train_test_split.txt", 3, "3 0")
    assert errors(root) == [
        f"{root}: class 1 (Arctic Tern) has no training images; each class needs at least one"
    ]


def test_a_data_set_needs_queries(root):
    (root / "train_test_split.txt").write_text("1 1\n2 1\n3 1\n4 1\n")
    assert errors(root) == [f"{root}: all 4 images are for training; none is a query"]


def test_error_names_a_missing_image(root):
    (root / "images/002.Arctic_Tern/Arctic_Tern_0002.jpg").unlink()
    assert errors(root) == [
        f"images/002.Arctic_Tern/Arctic_Tern_0002.jpg: no such file; {root} lists it as an image"
    ]


def test_a_data_set_needs_images(tmp_path):
    empty = ImageSet(
        "none", tmp_path, (), np.zeros(0, np.int64), np.zeros(0, np.bool_), ("tern",), ("",)
    )
    with pytest.raises(InputError, match="holds no images; at least one a class is needed"):
        check(empty)
