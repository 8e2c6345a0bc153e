"""Reading VegFru in the publisher's layout and in that of common copies."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from concepthash.data.readers import DatasetSpec, VegFru, open_images
from concepthash.errors import InputError

VEG = {
    "train": "Chinese_artichoke/v_14_01_0001.jpg 0\nChinese_kale/v_06_03_0007.jpg 1\n",
    "val": "Chinese_kale/v_06_03_0008.jpg 1\n",
    "test": "Chinese_artichoke/v_14_01_0002.jpg 0\nChinese_kale/v_06_03_0009.jpg 1\n",
}
FRU = {
    "train": "almond/f_07_01_0001.jpg 0\ngrape_white/f_01_10_0875.jpg 1\n",
    "val": "almond/f_07_01_0002.jpg 0\n",
    "test": "almond/f_07_01_0003.jpg 0\ngrape_white/f_01_10_0876.jpg 1\n",
}
UPPER = (
    "veg200_images/Chinese_artichoke/v_14_01_0001.jpg 13\n"
    "veg200_images/Chinese_kale/v_06_03_0007.jpg 3\n"
    "fru92_images/almond/f_07_01_0001.jpg 21\n"
    "fru92_images/grape_white/f_01_10_0875.jpg 15\n"
)


def in_one(split: str) -> str:
    """The list of vegetables and fruits; labels of fruits follow those of vegetables."""
    veg = [f"veg200_images/{line}\n" for line in VEG[split].splitlines()]
    fruits = [line.rsplit(" ", 1) for line in FRU[split].splitlines()]
    return "".join(veg + [f"fru92_images/{path} {int(label) + 2}\n" for path, label in fruits])


def write_images(root: Path) -> None:
    for split in VEG:
        for line in in_one(split).splitlines():
            file = root / line.rsplit(" ", 1)[0]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"not opened by the reader")


@pytest.fixture
def root(tmp_path) -> Path:
    """The publisher's folder, whose lists of both lie in the folder itself."""
    root = tmp_path / "vegfru-dataset"
    write_images(root)
    for folder, short, lists in (("veg200_lists", "veg", VEG), ("fru92_lists", "fru", FRU)):
        (root / folder).mkdir()
        for split, text in lists.items():
            (root / folder / f"{short}_{split}.txt").write_text(text)
    for split in VEG:
        (root / f"vegfru_{split}.txt").write_text(in_one(split))
    (root / "supvegfru_train.txt").write_text(UPPER)
    return root


def errors(root: Path, **settings: str) -> list[str]:
    """The lines of the InputError, with paths relative to the data set."""
    with pytest.raises(InputError) as caught:
        open_images(VegFru(root=root, **settings))
    return [line.replace(f"{root}/", "") for line in caught.value.lines]


def rewrite(file: Path, line: int, text: str) -> None:
    lines = file.read_text().splitlines()
    lines[line - 1] = text
    file.write_text("".join(f"{each}\n" for each in lines))


def test_vegetables_come_first_and_train_is_for_training_and_test_for_queries(root):
    images = open_images(VegFru(root=root))
    assert images.name == "VegFru"
    assert images.class_names == ("Chinese artichoke", "Chinese kale", "almond", "grape white")
    assert images.families == ("tuber vegetables", "brassica oleracea", "nuts", "berries")
    assert images.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert images.is_train.tolist() == [True] * 4 + [False] * 4
    assert images.paths[3] == root / "fru92_images/grape_white/f_01_10_0875.jpg"
    assert images.paths[4] == root / "veg200_images/Chinese_artichoke/v_14_01_0002.jpg"


def test_val_joins_train_if_the_study_says_so(root):
    images = open_images(VegFru(root=root, training="trainval"))
    assert images.labels.tolist() == [0, 1, 2, 3, 1, 2, 0, 1, 2, 3]
    assert images.is_train.tolist() == [True] * 6 + [False] * 4


@pytest.mark.parametrize("folder", [".", "vegfru_list"])
def test_the_lists_of_both_in_one_give_the_same_images(root, tmp_path, folder):
    copy = tmp_path / "copy"
    write_images(copy)
    (copy / folder).mkdir(exist_ok=True)
    for name in ("vegfru_train.txt", "vegfru_test.txt", "supvegfru_train.txt"):
        (copy / folder / name).write_bytes((root / name).read_bytes())
    ours, theirs = open_images(VegFru(root=copy)), open_images(VegFru(root=root))
    assert ours.fingerprint == theirs.fingerprint
    assert ours.class_names == theirs.class_names


def test_families_are_unknown_without_the_list_of_upper_classes(root):
    (root / "supvegfru_train.txt").unlink()
    assert open_images(VegFru(root=root)).families == ("", "", "", "")


def test_a_vegetable_and_a_fruit_of_one_name_are_told_apart(root):
    (root / "fru92_images/grape_white").rename(root / "fru92_images/Chinese_kale")
    for split in FRU:
        file = root / "fru92_lists" / f"fru_{split}.txt"
        file.write_text(file.read_text().replace("grape_white", "Chinese_kale"))
    names = open_images(VegFru(root=root)).class_names
    assert names[1::2] == ("Chinese kale (vegetable)", "Chinese kale (fruit)")


def test_root_may_be_the_folder_above_and_paths_may_have_spaces_and_crlf(root):
    folder = root / "veg200_images/süßer kohl"
    (root / "veg200_images/Chinese_kale").rename(folder)
    for split in VEG:
        file = root / "veg200_lists" / f"veg_{split}.txt"
        text = file.read_text().replace("Chinese_kale", "süßer kohl").replace("\n", "\r\n")
        file.write_bytes(text.encode())
    images = open_images(VegFru(root=root.parent))
    assert images.class_names[1] == "süßer kohl"
    assert images.paths[1] == folder / "v_06_03_0007.jpg"


def test_description_says_the_published_sizes_and_what_trains():
    assert VegFru(root=Path("x")).describe() == (
        "VegFru (292 classes, 29,200 training and 116,931 query images)"
    )
    assert (
        "43,800 training (train and val)" in VegFru(root=Path("x"), training="trainval").describe()
    )


FORM = "<class folder>/<image> <label>, such as almond/f_01_01_0001.jpg 0"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", f"veg200_lists/veg_train.txt: is empty; each line should be {FORM}"),
        ("Chinese_kale/1.jpg", f"is 'Chinese_kale/1.jpg', but must be {FORM}"),
        ("Chinese_kale/1.jpg one", f"is 'Chinese_kale/1.jpg one', but must be {FORM}"),
        ("1.jpg 1", f"is '1.jpg 1', but must be {FORM}"),
        (
            "../../kale/1.jpg 1",
            "'../../kale/1.jpg' leads out of the data set's folder; take out '..'",
        ),
        (
            "/kale/1.jpg 1",
            "'/kale/1.jpg' is an absolute path, but must be relative to the data set's folder",
        ),
        (
            "Chinese_artichoke/v_14_01_0001.jpg 0",
            "veg200_images/Chinese_artichoke/v_14_01_0001.jpg is in veg200_lists/veg_train.txt:1,"
            " too; each is in one",
        ),
        (
            "Chinese_kale/v_06_03_0007.jpg 0",
            "label 0 is of the folder veg200_images/Chinese_kale, but in an earlier line"
            " veg200_images/Chinese_artichoke has label 0; each has one of the other",
        ),
        (
            "Chinese_artichoke/v_14_01_0009.jpg 2",
            "label 2 is of the folder veg200_images/Chinese_artichoke, but in an earlier line"
            " veg200_images/Chinese_artichoke has label 0; each has one of the other",
        ),
    ],
)  # fmt: skip
def test_error_names_file_and_line_and_says_what_is_right(root, line, error):
    file = root / "veg200_lists/veg_train.txt"
    if line:
        rewrite(file, 2, line)
        assert errors(root)[0] == f"veg200_lists/veg_train.txt:2: {error}"
    else:
        file.write_text("\n")
        assert errors(root)[0] == error


def test_two_vegetables_of_one_name_are_refused(root):
    for split in VEG:
        file = root / "veg200_lists" / f"veg_{split}.txt"
        text = file.read_text().replace("Chinese_kale", "Chinese artichoke")
        file.write_text(text)
    assert errors(root) == [
        f"{root}: classes veg200_images/Chinese_artichoke and veg200_images/Chinese artichoke both"
        " have the name 'Chinese artichoke (vegetable)'; each class needs a name of its own"
    ]


def test_an_image_for_training_that_is_a_query_too_is_refused(root):
    rewrite(root / "fru92_lists/fru_test.txt", 1, "almond/f_07_01_0001.jpg 0")
    assert errors(root) == [
        "fru92_lists/fru_test.txt:1: fru92_images/almond/f_07_01_0001.jpg is in"
        " fru92_lists/fru_train.txt:1, too; each is in one"
    ]


def test_a_label_that_skips_is_refused(root):
    for split in FRU:
        file = root / "fru92_lists" / f"fru_{split}.txt"
        file.write_text(file.read_text().replace("jpg 1", "jpg 2"))
    assert errors(root) == [
        "fru92_lists/fru_train.txt: label 1 has no image; labels must be 0 to 1, but the highest is"
        " 2"
    ]


def test_an_upper_class_out_of_range_or_a_second_one_is_refused(root):
    (root / "supvegfru_train.txt").write_text(
        UPPER + "fru92_images/almond/f_07_01_0004.jpg 15\nfru92_images/almond/f_07_01_0005.jpg 25\n"
    )
    assert errors(root) == [
        "supvegfru_train.txt:5: fru92_images/almond is of the upper class berries, but of nuts in"
        " an earlier line; a class has one",
        "supvegfru_train.txt:6: upper class is 25, but must be 0 to 24",
    ]


def test_mistakes_of_all_files_are_reported_together_ten_of_a_kind(root):
    (root / "veg200_lists/veg_train.txt").write_text("x\n" * 1000)
    (root / "veg200_lists/veg_test.txt").unlink()
    (root / "veg200_lists/veg_test.txt").mkdir()
    (root / "fru92_lists/fru_train.txt").write_bytes(b"\xff\xfe 0\n")
    (root / "fru92_lists/fru_test.txt").unlink()
    lines = errors(root)
    assert lines[9:11] == [
        f"veg200_lists/veg_train.txt:10: is 'x', but must be {FORM}",
        "... and 990 more like these",
    ]
    assert lines[11].startswith("fru92_lists/fru_train.txt: is not UTF-8 text (")
    assert lines[12:] == [
        "veg200_lists/veg_test.txt: is a folder, but must be a text file",
        "fru92_lists/fru_test.txt: no such file; the data set's layout needs it",
    ]


def test_error_names_an_image_that_is_not_there(root):
    (root / "fru92_images/almond/f_07_01_0003.jpg").unlink()
    assert errors(root) == [
        f"fru92_images/almond/f_07_01_0003.jpg: no such file; {root} lists it as an image"
    ]


def test_a_folder_without_images_is_refused(tmp_path):
    assert errors(tmp_path) == [
        f"{tmp_path}: has no veg200_images or fru92_images, nor has a folder in it"
    ]


def test_a_study_names_it_vegfru():
    dataset = TypeAdapter(DatasetSpec).validate_python({"name": "vegfru", "root": Path("v")})
    assert dataset == VegFru(root=Path("v"))
