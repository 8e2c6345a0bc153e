"""Reading a data set described by a CSV file, and the errors for mistakes in it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from layouts import complaints

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
    return complaints(lambda: manifest.read(root), root)


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


def test_without_labels_classes_are_in_the_natural_order_of_their_names(tmp_path):
    names = ["card 10", "card 2", "Ace", "älg", "card 2", "card 10", "Ace", "älg"]
    lines = [f"{i}.png,{name},{'train' if i < 4 else 'query'}" for i, name in enumerate(names)]
    root = folder_with(tmp_path, "path,class_name,split", *lines)
    for i in range(8):
        (root / f"{i}.png").touch()
    images = manifest.read(root)
    assert images.class_names == ("Ace", "card 2", "card 10", "älg")
    assert images.labels.tolist() == [2, 1, 0, 3, 1, 2, 0, 3]


def test_without_labels_the_images_are_the_same_set(tmp_path):
    whole = manifest.read(folder_with(tmp_path, HEADER, *ROWS))
    rows = []
    for row in ROWS:
        path, _, name, family, style, split = row.split(",")
        rows.append(f"{path},{name},{family},{style},{split}")
    without = manifest.read(folder_with(tmp_path, HEADER.replace("label,", ""), *rows))
    assert without.fingerprint == whole.fingerprint


def test_paths_may_have_spaces_accents_backslashes_and_lines_may_end_as_on_windows(tmp_path):
    rows = [row.replace("images/hen/", "images\\Große Hühner\\") for row in ROWS]
    root = folder_with(tmp_path)
    (root / "images/hen").rename(root / "images/Große Hühner")
    text = "\r\n".join([HEADER, *rows, ""])
    (root / "manifest.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    images = manifest.read(root)
    assert images.paths[2] == root / "images/Große Hühner/noto.png"
    assert images.labels.tolist() == [0, 0, 1, 1]


def test_an_absolute_path_may_lie_anywhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/hen.png").touch()
    root = tmp_path / "set"
    root.mkdir()
    rows = [*ROWS[:3], f"{tmp_path}/elsewhere/hen.png,1,hen,bird,x,query"]
    assert manifest.read(folder_with(root, HEADER, *rows)).paths[3].name == "hen.png"


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
            5, "images/frog/../hen/./noto.png,1,hen,bird,noto,query",
            "manifest.csv:5: path images/frog/../hen/./noto.png has an earlier line; "
            "each image may have one",
        ),
        (
            5, "..\\..\\etc\\passwd,1,hen,bird,noto,query",
            "manifest.csv:5: path ../../etc/passwd leads out of the file's folder; give a path "
            "below it, or an absolute one",
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
        "manifest.csv: is empty; the first line should be path,class_name,split"
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


@pytest.mark.parametrize("kind", ["folder", "pipe", "terabytes", "endless", "broken link"])
def test_what_is_no_regular_file_is_refused_by_name(tmp_path, kind):
    file = folder_with(tmp_path, HEADER, *ROWS) / "manifest.csv"
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "terabytes":
        file.touch()
        os.truncate(file, 2**42)  # a hole: it takes no room
    else:
        file.symlink_to("/dev/zero" if kind == "endless" else "/nowhere")
    (said,) = errors(tmp_path)
    regular = "no such file" if kind == "broken link" else "is no regular file"
    assert said.startswith(
        f"manifest.csv: {'has 4,398,046,511,104 bytes' if kind == 'terabytes' else regular}; "
    )


@pytest.mark.parametrize(
    "row",
    [
        '"images/frog/\nnoto.png",0,frog,amphibian,noto,train',
        f"{'x' * 300}.png,0,frog,amphibian,noto,train",
        'images/frog/noto.png,0,"fr\nog",amphibian,noto,train',
        'images/frog/noto.png,0,frog,"a\x1b[31m",noto,train',
        f"images/frog/noto.png,{'9' * 5000},frog,amphibian,noto,train",
    ],
    ids=["path with a line break", "long path", "name", "family", "long number"],
)
def test_control_characters_and_long_values_are_refused_in_a_line(tmp_path, row):
    lines = errors(folder_with(tmp_path, HEADER, row, *ROWS[1:]))
    assert all(len(said) < 1000 and said.isprintable() for said in lines), lines
