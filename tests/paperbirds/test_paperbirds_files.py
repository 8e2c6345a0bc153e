"""Files of a paperbirds data set, in the layout of CUB-200-2011."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from concepthash.data.readers import cub
from concepthash.errors import InputError
from concepthash.paperbirds import PARTS, PaperbirdsSettings, draw_image, files, species_of, write

SMALL = PaperbirdsSettings(species=6, families=3, train_images=2, test_images=1, size=48)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write(SMALL, tmp_path_factory.mktemp("sets") / "small")


def lines(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text().splitlines()]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_settings_give_the_same_bytes_in_another_process(written, tmp_path):
    other = tmp_path / "small"
    program = (
        "import sys; from pathlib import Path\n"
        "from concepthash.paperbirds import PaperbirdsSettings, write\n"
        f"write({SMALL!r}, Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, str(other)], check=True, env=environment)
    assert bytes_of(other) == bytes_of(written)


def test_files_have_the_layout_of_cub(written):
    assert {p.name for p in written.iterdir()} == {
        "images.txt", "image_class_labels.txt", "classes.txt", "train_test_split.txt",
        "bounding_boxes.txt", "parts", "images", "paperbirds.json",
    }  # fmt: skip
    images = lines(written / "images.txt")
    ids = [str(i) for i in range(1, 19)]
    assert [number for number, _ in images] == ids
    for file in ("image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt"):
        assert [line[0] for line in lines(written / file)] == ids
    classes = dict(lines(written / "classes.txt"))
    assert list(classes) == ["1", "2", "3", "4", "5", "6"]
    for (_, path), (_, label) in zip(
        images, lines(written / "image_class_labels.txt"), strict=True
    ):
        assert path.split("/")[0] == classes[label]
        assert classes[label].startswith(f"{int(label):03d}.")
        with Image.open(written / "images" / path) as image:
            assert image.size == (48, 48)
    split = Counter(
        (label, train)
        for (_, label), (_, train) in zip(
            lines(written / "image_class_labels.txt"),
            lines(written / "train_test_split.txt"),
            strict=True,
        )
    )
    assert set(split.values()) == {1, 2}
    assert all(split[label, "1"] == 2 and split[label, "0"] == 1 for label in classes)
    on_disk = {str(p.relative_to(written / "images")) for p in written.rglob("*.png")}
    assert on_disk == {path for _, path in images}
    parts = lines(written / "parts" / "parts.txt")
    assert [name for _, name in parts] == list(PARTS)
    places = lines(written / "parts" / "part_locs.txt")
    assert [(i, p) for i, p, *_ in places] == [(i, p) for i in ids for p, _ in parts]
    for image, _, x, y, visible in places:
        left, top, width, height = map(
            float, lines(written / "bounding_boxes.txt")[int(image) - 1][1:]
        )
        if visible == "1":
            assert left - 0.1 <= float(x) <= left + width + 0.1
            assert top - 0.1 <= float(y) <= top + height + 0.1
        else:
            assert (x, y, visible) == ("0.0", "0.0", "0")


def test_cub_reader_gives_names_families_and_splits_of_the_species(written):
    images = cub.read(written)
    species = species_of(SMALL)
    assert [name.lower() for name in images.class_names] == [s.name for s in species]
    assert images.families == tuple(s.family for s in species)
    assert len(images) == 18
    assert images.is_train.sum() == 12
    assert images.part_names == PARTS
    assert images.class_names[0].split()[0][0].isupper()


def test_existing_data_set_is_not_drawn_again(written, monkeypatch):
    monkeypatch.setattr(files, "draw_image", lambda *_: pytest.fail("an image was drawn"))
    assert write(SMALL, written) == written


def test_folder_with_other_files_is_refused_and_unchanged(written, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists and holds other files"):
        write(SMALL, mine)
    assert [p.name for p in mine.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="name another folder"):
        write(dataclasses.replace(SMALL, seed=9), written)


def test_interrupted_writing_leaves_no_files(tmp_path, monkeypatch):
    drawn = []

    def interrupted(*arguments):
        drawn.append(arguments)
        if len(drawn) == 5:
            raise KeyboardInterrupt
        return draw_image(*arguments)

    monkeypatch.setattr(files, "draw_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(SMALL, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_folder_is_complete_when_it_appears(written, tmp_path, monkeypatch):
    root, rename, renamed = tmp_path / "set", os.rename, []

    def watched(source, target):
        assert not root.exists()
        assert bytes_of(Path(source)) == bytes_of(written)
        renamed.append((Path(source).parent, Path(target)))
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", watched)
    write(SMALL, root)
    assert renamed == [
        (tmp_path, root)
    ]  # in the same folder: a rename is atomic only within a file system


def test_folder_written_by_another_process_meanwhile_is_kept(written, tmp_path, monkeypatch):
    """The other process ends between the last image and the rename."""
    root = tmp_path / "set"
    rename = os.rename

    def beaten(source, target):
        monkeypatch.setattr(files.os, "rename", rename)
        write(SMALL, root)
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", beaten)
    write(SMALL, root)
    assert bytes_of(root) == bytes_of(written)
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
