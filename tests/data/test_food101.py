"""Reading Food-101 in the publisher's layout, beside torchvision's own reader."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from layouts import complaints
from PIL import Image
from torchvision.datasets import Food101 as Torchvision

from concepthash.data.readers import DatasetSpec, Food101, open_images

# The publisher's files are one line without a line feed at its end, classes in no order.
TRAIN = {"pho": ["pho/1001", "pho/1002"], "apple_pie": ["apple_pie/1005649"]}
TEST = {"pho": ["pho/2001"], "apple_pie": ["apple_pie/1011328", "apple_pie/101251"]}


def write(root: Path, train: object = TRAIN, test: object = TEST) -> Path:
    (root / "meta").mkdir(parents=True, exist_ok=True)
    for split, lists in (("train", train), ("test", test)):
        (root / "meta" / f"{split}.json").write_text(json.dumps(lists))
    for lists in (TRAIN, TEST):
        for image in (image for images in lists.values() for image in images):
            file = root / "images" / f"{image}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6)).save(file)
    return root


@pytest.fixture
def root(tmp_path) -> Path:
    return write(tmp_path / "Größe und Ähnlichkeit" / "food-101")


def errors(root: Path) -> list[str]:
    return complaints(lambda: open_images(Food101(root=root)), root)


def test_paths_labels_and_split_are_those_of_torchvision(root):
    images = open_images(Food101(root=root))
    for split, train in (("train", True), ("test", False)):
        theirs = Torchvision(root.parent, split)
        rows = [i for i in range(len(images)) if images.is_train[i] == train]
        assert [images.paths[i] for i in rows] == theirs._image_files
        assert [images.labels[i] for i in rows] == theirs._labels
    assert len(images) == 6


def test_class_names_are_words_with_a_capital_and_families_are_unknown(root):
    images = open_images(Food101(root=root))
    assert images.name == "Food-101"
    assert images.class_names == ("Apple pie", "Pho")
    assert images.families == ("", "")
    assert images.parts is None


def test_root_is_the_folder_food_101_or_the_one_above(root):
    assert open_images(Food101(root=root.parent)).paths == open_images(Food101(root=root)).paths


def test_description_says_the_published_sizes():
    assert Food101(root=Path("x")).describe() == (
        "Food-101 (101 classes, 75,750 training and 25,250 query images)"
    )


def test_error_says_which_name_the_folder_must_have(tmp_path):
    root = write(tmp_path / "food")
    assert errors(root) == [
        f"{root}: must have the publisher's name, food-101; rename it, or make a link of that name"
        " to it"
    ]


def test_a_folder_without_the_index_is_refused(tmp_path):
    assert errors(tmp_path) == [f"{tmp_path}: has no meta/train.json, nor has a folder in it"]


@pytest.mark.parametrize(
    ("train", "test", "error"),
    [
        (["pho"], TEST, 'meta/train.json: must be an object {"class": ["class/image", ...], ...}'),
        (
            {"pho": "pho/1001"}, TEST,
            "meta/train.json: 'pho' must have a list of images, [\"pho/...\", ...]",
        ),
        (
            {**TRAIN, "pho": ["pie/1"]}, TEST,
            "meta/train.json: 'pie/1' of 'pho' must be 'pho/' and a number",
        ),
        (
            {**TRAIN, "pho": [1001]}, TEST,
            "meta/train.json: 1001 of 'pho' must be 'pho/' and a number",
        ),
        (
            {**TRAIN, "pho": ["pho/../../../etc/passwd"]}, TEST,
            "meta/train.json: 'pho/../../../etc/passwd' leads out of the data set's folder; take"
            " out '..'",
        ),
        (
            {**TRAIN, "pho": ["pho/1001", "pho/1001"]}, TEST,
            "meta/train.json: 'pho/1001' is listed twice; each image may be once",
        ),
        (
            TRAIN, {**TEST, "pho": ["pho/1001"]},
            "meta/test.json: 'pho/1001' is listed also in train.json; each image may be once",
        ),
        (
            {**TRAIN, "Pho": ["Pho/1001"]}, {**TEST, "Pho": ["Pho/2001"]},
            "meta/train.json: classes Pho and pho both have the name 'Pho'; each class needs a name"
            " of its own",
        ),
        (
            TRAIN, {"pho": ["pho/2001"]},
            "meta/test.json: has no class 'apple_pie', but train.json has; both need the same"
            " classes",
        ),
    ],
)  # fmt: skip
def test_error_names_file_and_entry_and_says_what_is_right(tmp_path, train, test, error):
    assert errors(write(tmp_path / "food-101", train, test)) == [error]


def test_mistakes_of_both_files_are_reported_together(tmp_path):
    root = write(tmp_path / "food-101", {"pho": ["x/1"] * 30}, "{")
    lines = errors(root)
    assert lines[:1] == ["meta/train.json: 'x/1' of 'pho' must be 'pho/' and a number"]
    assert lines[10:] == [
        "... and 20 more like these",
        'meta/test.json: must be an object {"class": ["class/image", ...], ...}',
    ]


def test_error_names_the_line_that_is_not_json(root):
    (root / "meta/train.json").write_text('{"pho": ["pho/1001",\r\n "pho/1002"\r\n')
    assert errors(root) == ["meta/train.json:3: is not JSON (Expecting ',' delimiter, column 1)"]


def test_error_names_a_file_that_is_missing_a_folder_or_not_utf8(root):
    (root / "meta/test.json").unlink()
    assert errors(root) == ["meta/test.json: no such file; the data set's layout needs it"]
    (root / "meta/test.json").mkdir()
    assert errors(root) == ["meta/test.json: is a folder, but must be a text file"]
    (root / "meta/train.json").write_bytes(b'{"cr\xe8me": []}')
    assert errors(root)[0].startswith("meta/train.json: is not UTF-8 text (")


def test_error_names_an_image_that_is_not_there(root):
    (root / "images/pho/2001.jpg").unlink()
    assert errors(root) == [f"images/pho/2001.jpg: no such file; {root} lists it as an image"]


def test_a_study_names_it_food101():
    from pydantic import TypeAdapter

    dataset = TypeAdapter(DatasetSpec).validate_python({"name": "food101", "root": Path("food")})
    assert dataset == Food101(root=Path("food"))
