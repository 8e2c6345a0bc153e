"""Reading a folder with a folder for each class, and the errors for mistakes in it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from concepthash.data.decode import FORMATS
from concepthash.data.readers import DatasetSpec, Folder, open_images
from concepthash.data.readers.folder import SUFFIXES
from concepthash.errors import InputError


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "Größe und Ähnlichkeit"


def fill(root: Path, *files: str) -> Path:
    """Files below `root`; one that ends with / is an empty folder."""
    for file in files:
        path = root / file
        if file.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"not opened by the reader")
    return root


def many(*classes: str, count: int = 10) -> list[str]:
    return [f"{name}/{number}.jpg" for name in classes for number in range(count)]


def found(root: Path, **fields: object) -> list[tuple[str, str, bool]]:
    """Path below root, class name, and whether it is for training, of each image in order."""
    images = open_images(Folder(root=root, **fields))
    return [
        (path.relative_to(images.root).as_posix(), images.class_names[label], bool(train))
        for path, label, train in zip(images.paths, images.labels, images.is_train, strict=True)
    ]


def errors(root: Path, **fields: object) -> list[str]:
    """The lines of the InputError, with paths relative to the folder above the data set."""
    with pytest.raises(InputError) as caught:
        open_images(Folder(root=root, **fields))
    return [line.replace(f"{root.parent}/", "") for line in caught.value.lines]


# --- split into folders ----------------------------------------------------------------------


def test_images_of_train_are_for_training_and_those_of_query_are_queries(root):
    fill(root, "query/hen/1.jpg", "train/hen/2.jpg", "train/frog/3.png", "train/hen/1.jpg")
    assert found(root) == [
        ("train/frog/3.png", "frog", True),
        ("train/hen/1.jpg", "hen", True),
        ("train/hen/2.jpg", "hen", True),
        ("query/hen/1.jpg", "hen", False),
    ]


@pytest.mark.parametrize("there", [["query", "test", "val"], ["test", "val"], ["val"]])
def test_queries_are_in_the_first_of_query_test_and_val(root, there):
    fill(root, "train/hen/1.jpg", *(f"{name}/hen/2.jpg" for name in there))
    assert found(root)[1:] == [(f"{there[0]}/hen/2.jpg", "hen", False)]


@pytest.mark.parametrize(("field", "value"), [("query_share", 0.5), ("split_seed", 1)])
def test_settings_of_a_drawn_split_are_refused_where_folders_split(root, field, value):
    fill(root, "train/hen/1.jpg", "test/hen/1.jpg")
    assert errors(root, **{field: value}) == [
        f"dataset.{field}: has no effect, for {root.name} is split already, into train and test;"
        " take it out"
    ]


def test_a_class_of_queries_only_is_refused_and_one_of_training_only_is_not(root):
    fill(root, "train/hen/1.jpg", "train/frog/1.jpg", "query/hen/1.jpg", "query/owl/1.jpg")
    assert errors(root) == [
        f"{root.name}/query/owl: is a class of queries only; {root.name}/train must have a folder"
        " of that name with training images"
    ]


def test_one_half_of_a_split_is_refused(root, tmp_path):
    assert errors(fill(root, "train/hen/1.jpg", "queries/hen/1.jpg")) == [
        f"{root.name}: has a folder train with classes, but none of queries; it must be called"
        " query, test or val"
    ]
    other = fill(tmp_path / "other", "test/hen/1.jpg", "training/hen/1.jpg")
    assert errors(other) == [
        "other: has a folder test with classes, but no folder train with classes"
    ]


def test_a_folder_called_train_that_holds_images_is_a_class(root):
    fill(root, *many("train", "plane", "test"))
    assert {name for _, name, _ in found(root)} == {"train", "plane", "test"}


# --- split here ------------------------------------------------------------------------------


def queries(root: Path, **fields: object) -> list[str]:
    return [path for path, _, train in found(root, **fields) if not train]


@pytest.mark.parametrize(
    ("images", "share", "expected"),
    [(10, 0.3, 3), (20, 0.3, 6), (2, 0.01, 1), (2, 0.99, 1), (3, 0.99, 2), (10, 0.5, 5)],
)
def test_each_class_gives_its_share_of_queries_and_keeps_a_training_image(
    root, images, share, expected
):
    fill(root, *many("frog", "hen", count=images))
    counts = Counter(path.split("/")[0] for path in queries(root, query_share=share))
    assert counts == {"frog": expected, "hen": expected}


def test_a_single_image_is_for_training(root):
    fill(root, "frog/1.jpg", *many("hen"))
    assert {path.split("/")[0] for path in queries(root)} == {"hen"}


def test_the_split_depends_on_the_seed_and_the_class_alone(root):
    fill(root, *many("frog", "hen", count=30))
    chosen = queries(root)
    assert queries(root, split_seed=1) != chosen
    frog, hen = ({Path(p).name for p in chosen if p.startswith(c)} for c in ("frog", "hen"))
    assert frog != hen
    fill(root, *many("cow", count=30))
    assert [path for path in queries(root) if not path.startswith("cow")] == chosen


def test_an_image_that_is_added_moves_at_most_one_other(root):
    fill(root, *many("hen", count=30))
    before = set(queries(root))
    fill(root, "hen/new.jpg")
    assert len(before ^ set(queries(root))) <= 2


def test_the_split_is_the_same_on_every_machine(root):
    fill(root, *many("frog", "hen", count=5))
    assert queries(root) == ["frog/0.jpg", "frog/4.jpg", "hen/2.jpg", "hen/3.jpg"]


def test_the_split_does_not_depend_on_how_a_file_system_stores_accents(root, tmp_path):
    names = many("été", "île", count=20)
    composed = queries(fill(root, *(unicodedata.normalize("NFC", name) for name in names)))
    other = fill(tmp_path / "other", *(unicodedata.normalize("NFD", name) for name in names))
    assert [unicodedata.normalize("NFC", path) for path in queries(other)] == composed


# --- classes and images ----------------------------------------------------------------------


def test_classes_and_images_are_in_natural_order(root):
    for name in ("class 10", "class 2", "Class 1"):
        fill(root, f"train/{name}/10.jpg", f"train/{name}/9.jpg", f"test/{name}/1.jpg")
    assert [path for path, _, train in found(root) if train] == [
        f"train/{name}/{number}.jpg"
        for name in ("Class 1", "class 2", "class 10")
        for number in (9, 10)
    ]


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["001.Black_footed_Albatross", "Hen"], ("Black footed Albatross", "Hen")),
        (["0_frog", "1-hen", "10 polar_bear"], ("frog", "hen", "polar bear")),
        (["2_of_hearts", "2_of_spades"], ("2 of hearts", "2 of spades")),
        (["2_of_hearts", "3_of_hearts"], ("2 of hearts", "3 of hearts")),
        (["3d_printer", "747", "x_1"], ("3d printer", "747", "x 1")),
    ],
)
def test_class_names_are_the_words_of_folders_without_their_numbering(root, folders, names):
    images = open_images(Folder(root=fill(root, *many(*folders))))
    assert images.class_names == names
    assert images.families == ("",) * len(names)
    assert images.parts is None


def test_two_folders_of_one_name_are_refused(root):
    fill(root, *many("001.Tree_frog", "Tree frog", "hen"))
    assert errors(root) == [
        f"{root.name}: classes 001.Tree_frog and Tree frog both have the name 'Tree frog'; each"
        " class needs a name of its own"
    ]


def test_hidden_and_other_files_are_no_images(root):
    fill(root, *many("hen", "frog", count=2), "hen/.hidden.jpg", "hen/notes.txt", "hen/more/3.jpg")
    fill(root, ".thumbnails/1.jpg", "loose.jpg", "frog/UPPER.JPEG")
    assert sorted(path for path, _, _ in found(root)) == [
        "frog/0.jpg",
        "frog/1.jpg",
        "frog/UPPER.JPEG",
        "hen/0.jpg",
        "hen/1.jpg",
    ]


def test_the_suffixes_are_those_of_formats_that_can_be_decoded():
    known = Image.registered_extensions()
    assert {known[suffix] for suffix in SUFFIXES} == set(FORMATS)


def test_classes_without_images_are_refused_by_path(root):
    fill(root, "hen/", "frog/notes.txt", *many("owl"))
    assert errors(root) == [
        f"{root.name}/{name}: is a class without images; at least one is needed, with the suffix"
        " .jpg, .jpeg, .png, .webp, .bmp, .tif, .tiff or .gif"
        for name in ("frog", "hen")
    ]


@pytest.mark.parametrize("files", [[".git/HEAD"], ["loose.jpg", "notes.txt"]], ids=str)
def test_a_root_without_folders_is_refused(root, files):
    fill(root, *files)
    assert errors(root) == [
        f"{root.name}: has no folders; one for each class is needed, with its images"
    ]


def test_a_root_that_is_a_file_is_refused(root):
    fill(root.parent, root.name)
    assert errors(root) == [
        f"{root.name}: is no folder; one with a folder for each class is needed"
    ]


def test_classes_of_one_image_each_leave_no_query_and_are_refused(root):
    fill(root, "frog/1.jpg", "hen/1.jpg")
    assert errors(root) == [f"{root.name}: all 2 images are for training; none is a query"]


# --- in a study file -------------------------------------------------------------------------


def test_title_is_part_of_the_report_and_the_split_is_told():
    dataset = Folder(root=Path("cards"), title="Cards", query_share=0.25, split_seed=3)
    assert dataset.describe() == (
        "Cards (queries: a folder of its own, or else 25% of each class, drawn with seed 3)"
    )


@pytest.mark.parametrize(
    "wrong", [{"query_share": 0}, {"query_share": 1}, {"split_seed": -1}, {"title": ""}]
)
def test_a_share_of_nothing_or_all_is_refused(wrong):
    with pytest.raises(ValidationError):
        TypeAdapter(DatasetSpec).validate_python({"name": "folder", "root": Path("x"), **wrong})
