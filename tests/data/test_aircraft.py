"""Reading FGVC-Aircraft in the publisher's layout, beside torchvision's own reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layouts import complaints, rewrite
from PIL import Image
from pydantic import TypeAdapter
from torchvision.datasets import FGVCAircraft

from concepthash.data.readers import Aircraft, DatasetSpec, open_images

# Lines of the archive's files, which are longer.
FILES = {
    "variants.txt": "737-200\nBoeing 717\nDC-3\nF-16A/B\n",
    "images_variant_trainval.txt": (
        "1025794 737-200\n1340192 Boeing 717\n0056978 DC-3\n0698580 F-16A/B\n0450014 737-200\n"
    ),
    "images_variant_test.txt": "0481847 DC-3\n1514522 737-200\n0810608 Boeing 717\n",
    "images_manufacturer_trainval.txt": (
        "1025794 Boeing\n1340192 Boeing\n0056978 Douglas Aircraft Company\n"
        "0698580 Lockheed Martin\n0450014 Boeing\n"
    ),
    "images_manufacturer_test.txt": (
        "0481847 Douglas Aircraft Company\n1514522 Boeing\n0810608 Boeing\n"
    ),
    "images_box.txt": (
        "1025794 3 144 998 431\n0481847 73 220 1198 508\n1514522 7 217 1196 551\n"
        "1340192 83 155 964 462\n0810608 19 146 986 443\n0056978 1 129 891 436\n"
        "0698580 8 164 996 435\n0450014 29 396 1268 634\n"
    ),
}


def write(root: Path) -> Path:
    (root / "data/images").mkdir(parents=True)
    for name, content in FILES.items():
        (root / "data" / name).write_bytes(content.encode())
    for line in FILES["images_box.txt"].splitlines():
        Image.new("RGB", (8, 6)).save(root / "data/images" / f"{line.split()[0]}.jpg")
    return root


@pytest.fixture
def root(tmp_path) -> Path:
    return write(tmp_path / "Größe und Ähnlichkeit" / "fgvc-aircraft-2013b")


def errors(root: Path) -> list[str]:
    return complaints(lambda: open_images(Aircraft(root=root)), root / "data")


def test_paths_labels_and_split_are_those_of_torchvision(root):
    images = open_images(Aircraft(root=root))
    for split, train in (("trainval", True), ("test", False)):
        theirs = FGVCAircraft(root.parent, split)
        rows = np.flatnonzero(images.is_train == train)
        assert [str(images.paths[i]) for i in rows] == theirs._image_files
        assert images.labels[rows].tolist() == theirs._labels
    assert len(images) == 8


def test_class_names_say_the_manufacturer_once_and_families_are_manufacturers(root):
    images = open_images(Aircraft(root=root))
    assert images.name == "FGVC-Aircraft"
    assert images.class_names == (
        "Boeing 737-200",
        "Boeing 717",
        "Douglas DC-3",
        "Lockheed Martin F-16A/B",
    )
    assert images.families == ("Boeing", "Boeing", "Douglas Aircraft Company", "Lockheed Martin")


def test_boxes_are_those_of_the_images_and_optional(root):
    images = open_images(Aircraft(root=root))
    assert images.boxes.dtype == np.float32
    assert images.paths[1].stem == "1340192"
    assert images.boxes[1].tolist() == [83, 155, 964, 462]
    (root / "data/images_box.txt").unlink()
    assert open_images(Aircraft(root=root)).boxes is None


def test_root_is_the_folder_or_the_one_above_or_a_link_to_it(root, tmp_path):
    images = open_images(Aircraft(root=root))
    assert open_images(Aircraft(root=root.parent)).paths == images.paths
    moved = root.rename(tmp_path / "aircraft")
    root.symlink_to(moved)
    assert open_images(Aircraft(root=root)).paths == images.paths


def test_lines_may_end_as_on_windows(root):
    whole = open_images(Aircraft(root=root))
    for name, content in FILES.items():
        (root / "data" / name).write_bytes(content.replace("\n", "\r\n").encode())
    again = open_images(Aircraft(root=root))
    assert again.paths == whole.paths
    assert again.class_names == whole.class_names
    assert again.labels.tolist() == whole.labels.tolist()


def test_name_in_a_study_selects_it_and_the_description_tells_the_published_sizes():
    spec = TypeAdapter(DatasetSpec).validate_python({"name": "aircraft", "root": Path("x")})
    assert spec == Aircraft(root=Path("x"))
    assert spec.describe() == "FGVC-Aircraft (100 classes, 6,667 training and 3,333 query images)"


def test_a_renamed_folder_is_refused_with_the_name_it_must_have(tmp_path):
    root = write(tmp_path / "aircraft")
    assert errors(root) == [
        f"{root}: must have the publisher's name, fgvc-aircraft-2013b; rename it, or make a link of"
        " that name to it"
    ]


@pytest.mark.parametrize(
    ("name", "line", "text", "error"),
    [
        (
            "variants.txt", 2, "737-200",
            "variants.txt:2: variant 737-200 has an earlier line; each may have one",
        ),
        (
            "variants.txt", 2, "",
            "variants.txt:2: variant is '', but must be one or more characters",
        ),
        (
            "images_variant_trainval.txt", 2, "1340192",
            "images_variant_trainval.txt:2: has 1 fields, not 2: <image> <variant>",
        ),
        (
            "images_variant_trainval.txt", 2, "1340192 Boeing 718",
            "images_variant_trainval.txt:2: variant is 'Boeing 718', but must be in variants.txt",
        ),
        (
            "images_variant_trainval.txt", 2, "1025794 Boeing 717",
            "images_variant_trainval.txt:2: image 1025794 has an earlier line; each may have one",
        ),
        (
            "images_variant_test.txt", 1, "../../../secret DC-3",
            "images_variant_test.txt:1: image is '../../../secret', but must be a path below"
            " images/, without '..'",
        ),
        (
            "images_variant_test.txt", 1, "0056978 DC-3",
            "images_variant_test.txt: image 0056978 is in images_variant_trainval.txt, too; it may"
            " be in one",
        ),
        (
            "images_manufacturer_test.txt", 1, "99 Boeing",
            "images_manufacturer_test.txt:1: image is '99', but must be in images_variant_test.txt",
        ),
        (
            "images_box.txt", 1, "1025794 3 144 998 inf",
            "images_box.txt:1: ymax is 'inf', but must be a number of pixels, at most 1,000,000",
        ),
    ],
)  # fmt: skip
def test_error_names_file_line_and_field_and_says_what_is_right(root, name, line, text, error):
    rewrite(root / "data" / name, line, text)
    assert error in errors(root)


@pytest.mark.parametrize("name", FILES)
def test_error_names_a_list_that_is_a_folder_or_in_another_encoding(root, name):
    (root / "data" / name).write_bytes("Größe".encode("latin-1"))
    assert any(line.startswith(f"{name}: is not UTF-8 text") for line in errors(root))
    (root / "data" / name).unlink()
    (root / "data" / name).mkdir()
    assert f"{name}: is no regular file, but must be a text file" in errors(root)


@pytest.mark.parametrize(
    "name", [n for n in FILES if n.startswith("images_") and n != "images_box.txt"]
)
def test_error_names_a_missing_list(root, name):
    (root / "data" / name).unlink()
    assert any(line.startswith(f"{name}: no such file") for line in errors(root))


def test_error_names_an_image_without_manufacturer_or_box(root):
    for name in ("images_manufacturer_test.txt", "images_box.txt"):
        (root / "data" / name).write_text("".join(FILES[name].splitlines(keepends=True)[:-1]))
    assert errors(root) == [
        "images_manufacturer_test.txt: has no line for image 0810608; each needs one",
        "images_box.txt: has no line for image 0450014; each needs one",
    ]


def test_error_names_a_variant_of_two_manufacturers(root):
    rewrite(root / "data" / "images_manufacturer_trainval.txt", 5, "0450014 Airbus")
    assert errors(root) == [
        f"{root}/data: image 0450014 of the variant 737-200 has the manufacturer Airbus, but an"
        " earlier one Boeing; a variant has one"
    ]


def test_error_names_a_missing_image_and_a_class_without_training_images(root):
    (root / "data/images/0481847.jpg").unlink()
    rewrite(root / "data" / "images_variant_trainval.txt", 4, "0698580 737-200")
    rewrite(root / "data" / "images_manufacturer_trainval.txt", 4, "0698580 Boeing")
    assert errors(root) == [
        f"{root}: class 3 (F-16A/B) has no training images; each class needs at least one",
        f"images/0481847.jpg: no such file; {root} lists it as an image",
    ]


def test_what_torchvision_alone_cannot_read_is_refused_with_its_reason(root):
    file = root / "data/variants.txt"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())  # a byte-order mark
    (line,) = errors(root)
    assert line.startswith(f"{root}: torchvision cannot read it (KeyError: '737-200')")
