"""From a data set's specification to its images."""

from __future__ import annotations

import numpy as np
from builds import BIRDS, complaint

from concepthash.build import dataset_root, open_images
from concepthash.data.cache import cache_folder
from concepthash.spec import CubSpec, ManifestSpec


def test_a_generated_set_is_drawn_on_first_use_and_then_found_again():
    images = open_images(BIRDS)
    assert images.name == "paperbirds"
    assert len(images) == 4 * (2 + 1)
    assert images.root == dataset_root(BIRDS)
    assert cache_folder() in images.root.parents
    drawn = images.paths[0].stat().st_mtime_ns
    assert open_images(BIRDS).paths[0].stat().st_mtime_ns == drawn


def test_other_settings_are_another_set_and_fewer_classes_the_same():
    root = dataset_root(BIRDS)
    assert dataset_root(BIRDS.model_copy(update={"seed": 1})) != root
    assert dataset_root(BIRDS.model_copy(update={"difficulty": "hard"})) != root
    assert dataset_root(BIRDS.model_copy(update={"num_classes": 2})) == root


def test_a_root_of_ones_own_is_used(tmp_path):
    here = BIRDS.model_copy(update={"root": tmp_path / "birds", "species": 2, "families": 1})
    assert (tmp_path / "birds") in open_images(here).paths[0].parents


def test_the_first_classes_alone():
    whole = open_images(BIRDS)
    some = open_images(BIRDS.model_copy(update={"num_classes": 3}))
    kept = np.flatnonzero(whole.labels < 3)
    assert some.class_names == whole.class_names[:3]
    assert some.families == whole.families[:3]
    assert some.labels.tolist() == whole.labels[kept].tolist()
    assert some.is_train.tolist() == whole.is_train[kept].tolist()
    assert some.paths == tuple(whole.paths[i] for i in kept)
    assert (some.parts == whole.parts[kept]).all()
    assert some.fingerprint != whole.fingerprint


def test_more_classes_than_there_are():
    assert complaint(open_images, BIRDS.model_copy(update={"num_classes": 5})) == (
        "dataset.num_classes: 5 is more than the 4 classes of paperbirds"
    )


def test_a_folder_that_is_not_there(tmp_path):
    root = tmp_path / "nowhere"
    assert complaint(open_images, CubSpec(name="cub", root=root)) == (
        f"dataset.root: {root}: no such folder; give where cub lies"
    )


def test_a_manifest_has_the_name_that_its_study_gives(tmp_path):
    birds = open_images(BIRDS)
    rows = [
        f"{path},{label},{birds.class_names[label]},,,{'train' if train else 'query'}"
        for path, label, train in zip(birds.paths, birds.labels, birds.is_train, strict=True)
    ]
    header = "path,label,class_name,family,style,split"
    (tmp_path / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
    spec = ManifestSpec(name="manifest", root=tmp_path, title="birds again")
    images = open_images(spec)
    assert images.name == "birds again"
    assert images.labels.tolist() == birds.labels.tolist()
