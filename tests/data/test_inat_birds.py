"""Reading the birds of iNaturalist 2021 by its index files."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from layouts import complaints
from pydantic import TypeAdapter
from torchvision.datasets import INaturalist

from concepthash.data.readers import DatasetSpec, InatBirds, open_images


def category(number: int, name: str, common_name: str | None, tree: str) -> dict[str, Any]:
    """A category with the publisher's fields, in the publisher's order."""
    kingdom, phylum, class_, order, family = tree.split()
    genus, epithet = name.split()
    return {
        "id": number,
        "name": name,
        "common_name": common_name,
        "supercategory": "Birds" if class_ == "Aves" else "Insects",
        "kingdom": kingdom,
        "phylum": phylum,
        "class": class_,
        "order": order,
        "family": family,
        "genus": genus,
        "specific_epithet": epithet,
        "image_dir_name": f"{number:05d}_{tree.replace(' ', '_')}_{genus}_{epithet}",
    }


CATEGORIES = [
    category(0, "Apis mellifera", "Western Honey Bee", "Animalia Arthropoda Insecta Hym Apidae"),
    category(1, "Rallus elegans", "King Rail", "Animalia Chordata Aves Gruiformes Rallidae"),
    category(2, "Rallus crepitans", "King Rail", "Animalia Chordata Aves Gruiformes Rallidae"),
    category(3, "Parus major", "", "Animalia Chordata Aves Passeriformes Paridae"),
]


def index(split: str, of_category: list[int], first_id: int) -> dict[str, Any]:
    """An index with an image of each category in `of_category`."""
    images, annotations = [], []
    for number, of in enumerate(of_category, start=first_id):
        name = f"{split}/{CATEGORIES[of]['image_dir_name']}/{number:04d}.jpg"
        images.append(
            {
                "id": number, "width": 500, "height": 375, "file_name": name, "license": 0,
                "rights_holder": "Ana Núñez", "date": "2012-07-09 19:02:39+00:00",
                "latitude": 43.8, "longitude": -121.3, "location_uncertainty": None,
            }
        )  # fmt: skip
        annotations.append({"id": number, "image_id": number, "category_id": of})
    return {
        "info": {"year": 2021, "version": "2021.02.26"},
        "images": images,
        "categories": CATEGORIES,
        "annotations": annotations,
        "licenses": [{"id": 0, "name": "CC BY-NC-ND", "url": "http://creativecommons.org/"}],
    }


MINI = index("train_mini", [3, 0, 1, 2, 1], 0)
VAL = index("val", [0, 1, 2, 3], 2686843)


def write(root: Path, **indexes: dict[str, Any]) -> Path:
    root.mkdir(exist_ok=True)
    for split, content in {"train_mini": MINI, "val": VAL, **indexes}.items():
        (root / f"{split}.json").write_text(json.dumps(content))
        for image in content["images"]:
            file = root / str(image["file_name"])
            if ".." not in file.parts:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"not opened by the reader")
    return root


@pytest.fixture
def root(tmp_path) -> Path:
    return write(tmp_path / "iNat 2021 – Vögel")


def mini(root: Path) -> InatBirds:
    return InatBirds(root=root, training="train_mini")


def errors(root: Path) -> list[str]:
    return complaints(lambda: open_images(mini(root)), root)


def test_only_birds_are_read_and_val_has_the_queries(root):
    images = open_images(mini(root))
    assert images.name == "iNaturalist 2021 birds"
    assert images.labels.tolist() == [2, 0, 1, 0, 0, 1, 2]
    assert images.is_train.tolist() == [True] * 4 + [False] * 3
    assert images.paths[0] == root / MINI["images"][0]["file_name"]
    assert images.families == ("Rallidae", "Rallidae", "Paridae")
    assert images.parts is None


def test_class_names_are_common_names_and_scientific_ones_where_these_do_not_tell(root):
    assert open_images(mini(root)).class_names == (
        "King Rail (Rallus elegans)",
        "King Rail (Rallus crepitans)",
        "Parus major",
    )


def test_images_and_species_are_those_that_torchvision_lists(root, tmp_path):
    (tmp_path / "2021_train_mini").symlink_to(root / "train_mini")
    theirs = INaturalist(tmp_path, version="2021_train_mini", target_type="class")
    birds = theirs.categories_index["class"]["Aves"]
    expected = {
        root / "train_mini" / theirs.all_categories[number] / file
        for number, file in theirs.index
        if theirs.categories_map[number]["class"] == birds
    }
    images = open_images(mini(root))
    assert {images.paths[i] for i in range(len(images)) if images.is_train[i]} == expected
    assert {path.parent.name for path in expected} == {
        each["image_dir_name"] for each in CATEGORIES[1:]
    }


def test_the_whole_training_set_is_the_default(root):
    write(root, train=index("train", [1, 1, 2, 3], 10))
    images = open_images(InatBirds(root=root.parent))
    assert images.labels.tolist() == [0, 0, 1, 2, 0, 1, 2]
    assert all(path.is_file() for path in images.paths)


def test_description_says_the_published_sizes_and_what_trains():
    assert InatBirds(root=Path("x")).describe() == (
        "iNaturalist 2021 birds (1,486 classes, 414,847 training and 14,860 query images)"
    )
    assert "74,300 training (train_mini)" in mini(Path("x")).describe()


def changed(source: dict[str, Any], part: str, number: int, **fields: Any) -> dict[str, Any]:
    content = copy.deepcopy(source)
    content[part][number].update(fields)
    return content


IMAGE_FORM = '{"id": 7, "file_name": "val/...", ...}'
ANNOTATION_FORM = '{"image_id": 7, "category_id": 3689, ...}'


@pytest.mark.parametrize(
    ("part", "number", "fields", "error"),
    [
        ("images", 2, {"id": "2"}, f"images[2] must be {IMAGE_FORM}"),
        ("images", 2, {"file_name": None}, f"images[2] must be {IMAGE_FORM}"),
        (
            "images", 2, {"file_name": "../../x.jpg"},
            "images[2]: '../../x.jpg' leads out of the data set's folder; take out '..'",
        ),
        (
            "images", 2, {"file_name": MINI["images"][0]["file_name"]},
            f"images[2]: {MINI['images'][0]['file_name']} is of an earlier image, too",
        ),
        ("annotations", 2, {"image_id": [1]}, f"annotations[2] must be {ANNOTATION_FORM}"),
        (
            "annotations", 2, {"category_id": 99},
            "category_id of annotations[2] is 99, but must be an id of categories",
        ),
        (
            "annotations", 4, {"image_id": 2},
            "annotations[4] is the second of image 2; each has one",
        ),
        (
            "annotations", 2, {"image_id": 77},
            "image_id 77 of annotations is no id of images; each needs an image",
        ),
        (
            "categories", 2, {"family": None},
            "categories[2] needs a whole number as id, and the texts name, class, family",
        ),
        (
            "categories", 2, {"id": 1},
            "categories[2] has the id 1 of an earlier one; each has its own",
        ),
    ],
)  # fmt: skip
def test_error_names_file_and_entry_and_says_what_is_right(root, part, number, fields, error):
    write(root, train_mini=changed(MINI, part, number, **fields))
    assert errors(root)[0] == f"train_mini.json: {error}"


def test_train_and_val_need_the_same_birds(root):
    write(root, val=changed(VAL, "categories", 3, common_name="Great Tit"))
    assert errors(root) == [
        "val.json: category 3 differs from train_mini.json; both must have the same birds"
    ]


def test_two_categories_of_one_species_are_refused(root):
    twice = {"name": "Rallus elegans"}
    write(
        root,
        train_mini=changed(MINI, "categories", 2, **twice),
        val=changed(VAL, "categories", 2, **twice),
    )
    assert errors(root) == [
        "val.json: classes 1 and 2 both have the name 'King Rail (Rallus elegans)'; each class"
        " needs a name of its own"
    ]


def test_an_image_for_training_that_is_a_query_too_is_refused(root):
    shared = MINI["images"][2]["file_name"]
    write(root, val=changed(VAL, "images", 1, file_name=shared))
    assert errors(root) == [f"val.json: {shared} is in train_mini.json, too; each image is in one"]


def test_an_image_without_an_annotation_is_refused(root):
    content = copy.deepcopy(MINI)
    content["annotations"].pop()
    write(root, train_mini=content)
    assert errors(root) == ["train_mini.json: has 5 images and 4 annotations; each image needs one"]


def test_an_index_of_another_form_is_refused(root):
    (root / "train_mini.json").write_text("[1]")
    (root / "val.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    assert errors(root) == [
        "train_mini.json: must be an object with the lists images, annotations, categories",
        "val.json: has no category of the class Aves",
    ]


def test_an_index_that_is_missing_or_not_json_is_refused(root):
    (root / "train_mini.json").unlink()
    (root / "val.json").write_text('{"images":\r\n[1,,2]}')
    assert errors(root) == [
        "train_mini.json: no such file; the data set's layout needs it",
        "val.json:2: is not JSON (Expecting value, column 4)",
    ]


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000])
def test_an_index_that_python_cannot_hold_is_refused(root, text):
    (root / "val.json").write_text(text)
    assert errors(root)[0].startswith("val.json: is not an index of images (")


def test_error_names_an_image_that_is_not_there(root):
    path = root / VAL["images"][1]["file_name"]
    path.unlink()
    assert errors(root) == [f"{path.relative_to(root)}: no such file; {root} lists it as an image"]


def test_a_study_names_it_inat_birds():
    dataset = TypeAdapter(DatasetSpec).validate_python({"name": "inat_birds", "root": Path("i")})
    assert dataset == InatBirds(root=Path("i"))
