"""What all data sets of a study file have in common: titles, descriptions, images of classes."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from concepthash import paperbirds
from concepthash.data.folders import cache_folder
from concepthash.data.readers import (
    Cub,
    Dataset,
    DatasetSpec,
    Folder,
    Manifest,
    Paperbirds,
    open_images,
)
from concepthash.errors import InputError
from concepthash.paperbirds import files

BIRDS = Paperbirds(name="paperbirds", species=4, families=2, train_images=2, test_images=1, size=32)
CUB = Cub(name="cub", root=Path("CUB_200_2011"))
EMOJI = Manifest(name="manifest", root=Path("emoji"), title="Emoji")
CARDS = Folder(name="folder", root=Path("cards"), title="Cards")


def with_(dataset: Dataset, **changes: object) -> Dataset:
    return dataset.model_copy(update=changes)


@pytest.mark.parametrize("dataset", [BIRDS, CUB, EMOJI, CARDS])
def test_name_in_a_study_file_selects_the_data_set(dataset):
    assert TypeAdapter(DatasetSpec).validate_python(dataset.model_dump()) == dataset


@pytest.mark.parametrize(
    ("dataset", "title", "words"),
    [
        (
            BIRDS,
            "paperbirds",
            "paperbirds (4 species in 2 families, 2 training and 1 test images each, 32 px,"
            " normal)",
        ),
        (CUB, "CUB-200-2011", "CUB-200-2011"),
        (EMOJI, "Emoji", "Emoji"),
        (
            CARDS,
            "Cards",
            "Cards (queries: a folder of its own, or else 30% of each class, drawn with seed 0)",
        ),
    ],
)
def test_title_and_description_name_the_data_set_but_not_its_folder(dataset, title, words):
    assert dataset.title == title
    assert dataset.describe() == words
    assert with_(dataset, num_classes=3).describe() == f"{words}, first 3 classes"


def test_paperbirds_needs_no_files_and_others_need_their_root():
    assert BIRDS.needs() == []
    assert CUB.needs() == [CUB.root]
    assert EMOJI.needs() == [EMOJI.root]
    assert CARDS.needs() == [CARDS.root]


@pytest.mark.parametrize("dataset", [CUB, EMOJI, CARDS])
def test_error_names_a_root_that_does_not_exist(dataset, tmp_path):
    root = tmp_path / "nowhere"
    with pytest.raises(InputError) as caught:
        open_images(with_(dataset, root=root))
    assert caught.value.lines == (
        f"dataset.root: {root}: no such file or folder; give the path of {dataset.title}",
    )


def test_num_classes_keeps_the_images_of_the_first_classes():
    whole, some = open_images(BIRDS), open_images(with_(BIRDS, num_classes=3))
    kept = np.flatnonzero(whole.labels < 3)
    assert some.class_names == whole.class_names[:3]
    assert some.families == whole.families[:3]
    assert some.labels.tolist() == whole.labels[kept].tolist()
    assert some.is_train.tolist() == whole.is_train[kept].tolist()
    assert some.paths == tuple(whole.paths[i] for i in kept)
    assert (some.parts == whole.parts[kept]).all()
    assert some.fingerprint != whole.fingerprint


def test_error_says_how_many_classes_there_are():
    with pytest.raises(InputError) as caught:
        open_images(with_(BIRDS, num_classes=5))
    assert caught.value.lines == (
        "dataset.num_classes: 5 is more than the 4 classes of paperbirds",
    )


def test_image_set_has_the_title_of_its_data_set(tmp_path):
    birds = open_images(BIRDS)
    rows = [
        f"{path},{label},{birds.class_names[label]},{'train' if train else 'query'}"
        for path, label, train in zip(birds.paths, birds.labels, birds.is_train, strict=True)
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,class_name,split", *rows]) + "\n")
    assert birds.name == "paperbirds"
    assert open_images(with_(CUB, root=birds.root)).name == "CUB-200-2011"
    assert open_images(with_(EMOJI, root=tmp_path)).name == "Emoji"


# --- paperbirds ------------------------------------------------------------------------------


def test_paperbirds_are_drawn_into_the_cache_once(monkeypatch):
    images = open_images(BIRDS)
    assert len(images) == 4 * (2 + 1)
    assert cache_folder() in images.root.parents
    monkeypatch.setattr(files, "draw_image", lambda *_: pytest.fail("an image was drawn"))
    assert open_images(BIRDS).paths == images.paths


def test_paperbirds_of_other_settings_are_in_another_folder():
    folder = BIRDS.folder()
    assert with_(BIRDS, seed=1).folder() != folder
    assert with_(BIRDS, difficulty="hard").folder() != folder
    assert with_(BIRDS, num_classes=2).folder() == folder


def test_two_processes_at_once_draw_each_paperbird_once(tmp_path, monkeypatch):
    log = tmp_path / "drawn.txt"
    birds = with_(BIRDS, root=tmp_path / "birds")
    species = paperbirds.species_of(paperbirds.PaperbirdsSettings(species=4, families=2))
    expected = [each.name for each in species for _ in range(2 + 1)]

    def logged(settings, species, split, number):
        with log.open("a") as file:
            file.write(f"{species.name}\n")
        time.sleep(0.05)  # so that the other process comes before this one is done
        return paperbirds.draw_image(settings, species, split, number)

    monkeypatch.setattr(files, "draw_image", logged)
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)

    def read() -> None:
        start.wait(timeout=30)
        open_images(birds)

    processes = [context.Process(target=read) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(log.read_text().splitlines()) == sorted(expected)
