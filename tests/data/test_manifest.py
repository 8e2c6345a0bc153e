"""Reading a data set described by a CSV file, and the errors for mistakes in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from concepthash.data.readers import manifest
from concepthash.errors import InputError

HEADER = "path,label,class_name,family,style,split"
ROWS = (
    "images/frog/noto.png,0,frog,amphibian,noto,train",
    "images/frog/twemoji.png,0,frog,amphibian,twemoji,query",
    "images/hen/noto.png,1,hen,bird,noto,train",
    "images/hen/twemoji.png,1,hen,bird,twemoji,query",
)


def folder_with(tmp_path: Path, *lines: str) -> Path:
    """A folder whose manifest has these lines; every image of ROWS exists."""
    for row in ROWS:
        image = tmp_path / row.split(",")[0]
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(b"not opened by the reader")
    (tmp_path / "manifest.csv").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


def errors(root: Path) -> list[str]:
    """The lines of the InputError, with paths relative to the data set."""
    with pytest.raises(InputError) as caught:
        manifest.read(root)
    return [line.removeprefix(f"{root}/") for line in caught.value.lines]


def test_reader_gives_paths_labels_splits_names_and_families(tmp_path):
    images = manifest.read(folder_with(tmp_path, HEADER, *ROWS))
    assert images.name == tmp_path.name
    assert images.paths[1] == tmp_path / "images/frog/twemoji.png"
    assert images.labels.tolist() == [0, 0, 1, 1]
    assert images.labels.dtype == np.int64
    assert images.is_train.tolist() == [True, False, True, False]
    assert images.class_names == ("frog", "hen")
    assert images.families == ("amphibian", "bird")
    assert images.parts is None


def test_root_may_be_the_path_of_a_csv_file(tmp_path, monkeypatch):
    folder_with(tmp_path, HEADER, *ROWS)
    (tmp_path / "manifest.csv").rename(tmp_path / "emoji.csv")
    monkeypatch.chdir(tmp_path)
    images = manifest.read(Path("emoji.csv"))
    assert images.name == "emoji"
    assert images.paths[0] == tmp_path / "images/frog/noto.png"


def test_classes_are_in_the_order_of_their_labels(tmp_path):
    images = manifest.read(folder_with(tmp_path, HEADER, *reversed(ROWS)))
    assert images.class_names == ("frog", "hen")
    assert images.labels.tolist() == [1, 1, 0, 0]


def test_family_and_style_are_optional_and_other_columns_ignored(tmp_path):
    rows = []
    for row in ROWS:
        path, label, name, _, _, split = row.split(",")
        rows.append(f"{split},{name},{label},blue,{path}")
    images = manifest.read(folder_with(tmp_path, "split,class_name,label,colour,path", *rows))
    assert images.families == ("", "")
    assert images.class_names == ("frog", "hen")


def test_a_quoted_name_may_hold_a_comma(tmp_path):
    rows = [row.replace(",hen,", ',"hen, red",') for row in ROWS]
    assert manifest.read(folder_with(tmp_path, HEADER, *rows)).class_names == ("frog", "hen, red")


@pytest.mark.parametrize(
    ("line", "text", "error"),
    [
        (
            3, "images/frog/twemoji.png,frog,frog,amphibian,twemoji,query",
            "manifest.csv:3: label is 'frog', but must be a whole number of 0 or more",
        ),
        (
            3, "images/frog/twemoji.png,-1,frog,amphibian,twemoji,query",
            "manifest.csv:3: label is '-1', but must be a whole number of 0 or more",
        ),
        (
            3, "images/frog/twemoji.png,0.5,frog,amphibian,twemoji,query",
            "manifest.csv:3: label is '0.5', but must be a whole number of 0 or more",
        ),
        (
            3, "images/frog/twemoji.png,,frog,amphibian,twemoji,query",
            "manifest.csv:3: label is '', but must be a whole number of 0 or more",
        ),
        (
            5, "images/hen/twemoji.png,1,hen,bird,twemoji,test",
            "manifest.csv:5: split is 'test', but must be train or query",
        ),
        (
            5, ",1,hen,bird,twemoji,query",
            "manifest.csv:5: path is empty, but each image needs one",
        ),
        (
            5, "images/hen/twemoji.png,1,,bird,twemoji,query",
            "manifest.csv:5: class_name is empty, but each image needs one",
        ),
        (
            5, "images/hen/noto.png,1,hen,bird,noto,query",
            "manifest.csv:5: path images/hen/noto.png has an earlier line; "
            "each image may have one",
        ),
        (
            5, "images/hen/twemoji.png,1,rooster,bird,twemoji,query",
            "manifest.csv:5: label 1 has the class_name 'rooster', but 'hen' in an earlier "
            "line; a label has one",
        ),
        (
            5, "images/hen/twemoji.png,1,hen,fowl,twemoji,query",
            "manifest.csv:5: label 1 has the family 'fowl', but 'bird' in an earlier line; "
            "a label has one",
        ),
        (
            5, "images/hen/twemoji.png,3,duck,bird,twemoji,train",
            "manifest.csv: label 2 has no images; the 3 labels must be 0 to 2, "
            "but the highest is 3",
        ),
    ],
)  # fmt: skip
def test_error_names_file_line_and_column_and_says_what_is_right(tmp_path, line, text, error):
    lines = [HEADER, *ROWS]
    lines[line - 1] = text
    assert errors(folder_with(tmp_path, *lines)) == [error]


def test_error_names_two_labels_with_one_class_name(tmp_path):
    rows = [row.replace(",hen,", ",frog,") for row in ROWS]
    assert errors(folder_with(tmp_path, HEADER, *rows)) == [
        "manifest.csv:4: labels 0 and 1 both have the class_name 'frog'; each label needs a name"
        " of its own"
    ]


def test_mistakes_of_several_kinds_are_reported_together(tmp_path):
    rows = [
        "images/frog/noto.png,zero,frog,amphibian,noto,train",
        "images/frog/twemoji.png,0,,amphibian,twemoji,validation",
    ]
    assert errors(folder_with(tmp_path, HEADER, *rows)) == [
        "manifest.csv:2: label is 'zero', but must be a whole number of 0 or more",
        "manifest.csv:3: split is 'validation', but must be train or query",
        "manifest.csv:3: class_name is empty, but each image needs one",
    ]


def test_error_names_a_missing_column_and_the_existing_ones(tmp_path):
    assert errors(folder_with(tmp_path, "path,label,name", "a.png,0,frog")) == [
        "manifest.csv:1: column class_name is missing; there are: path, label, name",
        "manifest.csv:1: column split is missing; there are: path, label, name",
    ]


def test_error_names_a_file_without_images(tmp_path):
    assert errors(folder_with(tmp_path)) == [
        "manifest.csv: is empty; the first line should be path,label,class_name,split"
    ]
    assert errors(folder_with(tmp_path, HEADER)) == [
        "manifest.csv: has no images below its first line; at least one is needed"
    ]


@pytest.mark.parametrize("line", [b"a,b,c,d,e,f,g,h\n", b"\xff\xfe,0,frog,,,train\n"])
def test_error_names_a_file_that_is_not_csv_in_utf8(tmp_path, line):
    root = folder_with(tmp_path)
    (root / "manifest.csv").write_bytes(HEADER.encode() + b"\n" + line)
    (error,) = errors(root)
    assert error.startswith("manifest.csv: cannot be read as CSV in UTF-8: ")


def test_error_names_a_missing_folder_or_file(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no such file or folder; a CSV file with the"):
        manifest.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"manifest\.csv: no such file; a CSV file with the"):
        manifest.read(tmp_path)


def test_error_names_a_missing_image(tmp_path):
    root = folder_with(tmp_path, HEADER, *ROWS)
    (root / "images/hen/noto.png").unlink()
    assert errors(root) == [f"images/hen/noto.png: no such file; {root} lists it as an image"]
