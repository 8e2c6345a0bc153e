"""Paperbirds: a pure function from settings to files in the layout of CUB-200-2011."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from concepthash.data import cub
from concepthash.data.paperbirds import (
    DIFFICULTIES,
    FAMILIES,
    PARTITIONS,
    PARTS,
    Paperbirds,
    Species,
    draw_image,
    files,
    species_of,
    write,
)
from concepthash.data.paperbirds.scene import NUISANCES, draw
from concepthash.data.paperbirds.shapes import SHAPES
from concepthash.data.paperbirds.species import plumage_of
from concepthash.errors import InputError

SMALL = Paperbirds(species=6, families=3, train_images=2, test_images=1, size=48)


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


def sibling_pairs(species: tuple[Species, ...]):
    return [(a, b) for a, b in combinations(species, 2) if a.family == b.family]


def differing_parts(a: Species, b: Species) -> set[str]:
    return {part for part, _ in set(a.attributes) ^ set(b.attributes)}


# --- the same again ---------------------------------------------------------------------------


def test_the_same_settings_give_the_same_bytes_in_another_process(written, tmp_path):
    other = tmp_path / "small"
    program = (
        "import sys; from pathlib import Path\n"
        "from concepthash.data.paperbirds import Paperbirds, write\n"
        f"write({SMALL!r}, Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program, str(other)], check=True, env=environment)
    assert bytes_of(other) == bytes_of(written)


def test_an_image_depends_neither_on_the_number_of_others_nor_on_their_order():
    more = dataclasses.replace(SMALL, species=30, train_images=9, test_images=5)
    few, many = species_of(SMALL), species_of(more)
    assert set(few) < set(many)
    first, last = few[0], few[-1]
    in_order = [draw_image(SMALL, s, "test", 0).image.tobytes() for s in (first, last)]
    reversed_order = [draw_image(more, s, "test", 0).image.tobytes() for s in (last, first)]
    assert in_order == reversed_order[::-1]


def test_seed_number_and_split_each_make_another_image():
    species = species_of(SMALL)[0]
    images = [
        draw_image(SMALL, species, "train", 0),
        draw_image(SMALL, species, "train", 1),
        draw_image(SMALL, species, "test", 0),
        draw_image(dataclasses.replace(SMALL, seed=1), species, "train", 0),
    ]
    assert len({drawing.image.tobytes() for drawing in images}) == 4


def test_numpys_global_generator_is_neither_read_nor_moved():
    species = species_of(SMALL)[0]
    np.random.seed(1)
    before = draw_image(SMALL, species, "train", 0).image.tobytes()
    drawn = np.random.random()
    np.random.seed(1)
    assert np.random.random() == drawn
    np.random.seed(2)
    assert draw_image(SMALL, species, "train", 0).image.tobytes() == before


def test_the_drawings_are_those_of_this_version():
    """If this fails on purpose, raise PAPERBIRDS_VERSION and note the new colours here."""
    assert files.PAPERBIRDS_VERSION == 1
    calm = Paperbirds(difficulty="easy")
    image = draw_image(calm, species_of(calm)[0], "train", 0).image
    seen = np.asarray(image.resize((3, 3), Image.Resampling.BOX)).reshape(9, 3)
    noted = [
        [126, 155, 100], [126, 159, 103], [126, 162, 105],
        [136, 149, 115], [126, 115, 121], [139, 161, 119],
        [152, 169, 114], [155, 168, 118], [150, 167, 115],
    ]  # fmt: skip
    # Another build of Pillow or NumPy may round otherwise.
    assert np.abs(seen.astype(int) - noted).max() <= 2, seen.tolist()


# --- species ----------------------------------------------------------------------------------


@given(
    species=st.integers(12, 200),
    families=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
    difficulty=st.sampled_from(DIFFICULTIES),
    partition=st.integers(0, PARTITIONS - 1),
)
@settings(max_examples=25, deadline=None)
def test_names_are_unique_and_say_exactly_the_attributes(
    species, families, seed, difficulty, partition
):
    chosen = species_of(
        Paperbirds(
            species=species,
            families=families,
            seed=seed,
            difficulty=difficulty,
            partition=partition,
        )
    )
    assert len({s.name for s in chosen}) == species
    assert (
        len({s.attributes for s in chosen if s.family == chosen[0].family})
        == Counter(s.family for s in chosen)[chosen[0].family]
    )
    said = {
        "crown": "crowned", "beak": "billed", "throat": "throated", "back": "backed",
        "wing": "winged", "breast": "breasted", "belly": "bellied", "tail": "tailed",
    }  # fmt: skip
    for s in chosen:
        words = [f"{value}-{said[part]}" for part, value in s.attributes]
        assert s.name == " ".join([*words, s.family])
    sizes = Counter(s.family for s in chosen).values()
    assert len(sizes) == families
    assert max(sizes) - min(sizes) <= 1


def test_partitions_have_no_species_in_common_whatever_else_is_set():
    sets = [
        {s.name for difficulty in DIFFICULTIES for seed in (0, 5) for s in species_of(
            Paperbirds(species=200, families=8, seed=seed, difficulty=difficulty, partition=p)
        )}
        for p in range(PARTITIONS)
    ]  # fmt: skip
    for one, other in combinations(sets, 2):
        assert not one & other
    words = [{word for name in names for word in name.split()} for names in sets]
    assert all(len(words[0] & other) > 0.9 * len(words[0]) for other in words[1:])


def test_siblings_are_more_alike_the_harder_the_set():
    def nearest(difficulty: str) -> float:
        """The mean number of parts in which a species differs from its likest sibling."""
        species = species_of(Paperbirds(species=120, families=12, difficulty=difficulty))
        return float(np.mean([
            min(len(differing_parts(a, b)) for b in species if b.family == a.family and b != a)
            for a in species
        ]))  # fmt: skip

    assert nearest("hard") < nearest("normal") < nearest("easy")
    assert nearest("hard") < 1.5
    assert nearest("easy") > 2


def test_there_is_room_for_two_hundred_species():
    assert len(species_of(Paperbirds(species=200, size=224))) == 200
    assert len(FAMILIES) >= 10


# --- pictures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_a_shape_and_its_species_are_colours_on_it(family):
    everyone = species_of(Paperbirds(species=24, families=12, difficulty="easy"))
    a, b = [s for s in everyone if s.family == family]
    calm = NUISANCES["easy"]
    one, other = (
        draw(SHAPES[family], plumage_of(s), calm, 64, np.random.default_rng(3)) for s in (a, b)
    )
    assert one.box == other.box
    np.testing.assert_array_equal(one.parts, other.parts)
    assert one.image.tobytes() != other.image.tobytes()
    for stranger in set(FAMILIES) - {family}:
        drawn = draw(SHAPES[stranger], plumage_of(a), calm, 64, np.random.default_rng(3))
        assert not np.array_equal(drawn.parts, one.parts)


# What a person would call these colours: which channel is how much above which.
LOOKS = {
    "red": lambda r, g, b: r > 1.8 * g and r > 1.8 * b,
    "orange": lambda r, g, b: r > 1.25 * g > 1.25 * b and g > 1.5 * b,
    "yellow": lambda r, g, b: r > 150 and g > 140 and min(r, g) > 1.7 * b,
    "green": lambda r, g, b: g > 1.3 * r and g > 1.3 * b,
    "blue": lambda r, g, b: b > 1.4 * r and b > 1.3 * g,
    "violet": lambda r, g, b: b > 1.3 * g and r > 1.2 * g,
    "pink": lambda r, g, b: r > 1.2 * g and b > g,
    "white": lambda r, g, b: min(r, g, b) > 185,
    "black": lambda r, g, b: max(r, g, b) < 90,
    "brown": lambda r, g, b: r > 1.2 * g > 1.2 * b and r < 170,
    "grey": lambda r, g, b: max(r, g, b) - min(r, g, b) < 60,
}


def test_the_colour_in_the_name_is_found_where_the_part_is():
    calm = Paperbirds(species=120, families=12, size=96, difficulty="easy")
    looked, wrong = 0, []
    for species in species_of(calm):
        drawing = draw_image(calm, species, "train", 0)
        pixels = np.asarray(drawing.image).astype(int)
        places = dict(zip(PARTS, drawing.parts, strict=True))
        for part, value in species.attributes:
            x, y, visible = places[part]
            if value in LOOKS and visible:
                looked += 1
                colour = pixels[int(y), int(x)]
                if not LOOKS[value](*colour):
                    wrong.append((species.name, part, colour.tolist()))
    assert looked > 150
    # A thin beak may mix with what is behind it.
    assert len(wrong) <= 0.02 * looked, wrong


def test_a_pattern_is_dark_and_light_next_to_each_other():
    calm = Paperbirds(species=120, families=12, size=96, difficulty="easy")
    wings = PARTS.index("wing")

    def spread(species: Species) -> float:
        drawing = draw_image(calm, species, "train", 0)
        x, y, _ = drawing.parts[wings].astype(int)
        return float(np.asarray(drawing.image.convert("L"))[y - 6 : y + 7, x - 6 : x + 7].std())

    patterned = [s for s in species_of(calm) if dict(s.attributes).get("wing") in ("stripe", "bar")]
    plain = [s for s in species_of(calm) if "wing" not in dict(s.attributes)]
    assert min(map(spread, patterned)) > np.median([spread(s) for s in plain])


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_parts_and_boxes_stay_in_the_image_and_parts_in_the_box(difficulty):
    some = Paperbirds(species=24, families=12, difficulty=difficulty)
    seen = []
    for species in species_of(some):
        for number in range(5):
            drawing = draw_image(some, species, "train", number)
            assert drawing.image.size == (64, 64)
            assert drawing.image.mode == "RGB"
            x, y, width, height = drawing.box
            assert 0 <= x < x + width <= 64
            assert 0 <= y < y + height <= 64
            visible = drawing.parts[:, 2] == 1
            seen.append(visible)
            px, py = drawing.parts[visible, :2].T
            assert np.all((x <= px) & (px <= x + width) & (y <= py) & (py <= y + height))
            assert not drawing.parts[~visible].any()
    share = np.mean(seen, axis=0)
    if difficulty == "easy":
        assert np.all(share == 1)
    else:
        assert share.min() > 0.5
        assert share.mean() < 0.99


def test_what_a_leaf_hides_is_not_visible():
    """The same bird with and without something in front: hidden parts look different."""
    always = dataclasses.replace(NUISANCES["easy"], hidden=1.0)
    never = dataclasses.replace(always, hidden=0.0)
    species = species_of(Paperbirds())[0]
    hidden = 0
    for seed in range(12):
        with_leaf, without = (
            draw(SHAPES[species.family], plumage_of(species), n, 64, np.random.default_rng(seed))
            for n in (always, never)
        )
        gone = (without.parts[:, 2] == 1) & (with_leaf.parts[:, 2] == 0)
        hidden += gone.sum()
        assert np.all(without.parts[:, 2] >= with_leaf.parts[:, 2])
        before, after = (np.asarray(d.image).astype(int) for d in (without, with_leaf))
        x, y = without.parts[gone, :2].astype(int).T
        # Light is drawn after the leaf, so the rest of the two pictures differs a little too.
        assert np.all(np.abs(before[y, x] - after[y, x]).sum(axis=1) > 10)
    assert hidden > 5


# --- files ------------------------------------------------------------------------------------


def test_the_layout_is_that_of_cub(written):
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


def test_the_reader_gives_back_names_families_and_splits(written):
    images = cub.read(written)
    species = species_of(SMALL)
    assert [name.lower() for name in images.class_names] == [s.name for s in species]
    assert images.families == tuple(s.family for s in species)
    assert len(images) == 18
    assert images.is_train.sum() == 12
    assert images.part_names == PARTS
    assert images.class_names[0].split()[0][0].isupper()


def test_writing_again_draws_nothing(written, monkeypatch):
    monkeypatch.setattr(files, "draw_image", lambda *_: pytest.fail("an image was drawn"))
    assert write(SMALL, written) == written


def test_a_folder_with_something_else_is_left_alone(written, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds something else than these paperbirds"):
        write(SMALL, mine)
    assert [p.name for p in mine.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="name another folder"):
        write(dataclasses.replace(SMALL, seed=9), written)


def test_an_interrupted_generator_leaves_nothing(tmp_path, monkeypatch):
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


def test_the_folder_appears_all_at_once(written, tmp_path, monkeypatch):
    root, rename, renamed = tmp_path / "set", os.rename, []

    def watched(source, target):
        assert not root.exists()
        assert bytes_of(Path(source)) == bytes_of(written)
        renamed.append((Path(source).parent, Path(target)))
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", watched)
    write(SMALL, root)
    assert renamed == [(tmp_path, root)]  # from the same folder, hence the same disk


def test_two_processes_at_once_both_end_well(written, tmp_path):
    root = tmp_path / "set"
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=write, args=(SMALL, root)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert bytes_of(root) == bytes_of(written)
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_the_slower_of_two_writers_keeps_the_fasters_files(written, tmp_path, monkeypatch):
    """The other one ends between our last image and our rename."""
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


# --- settings ---------------------------------------------------------------------------------


def test_every_setting_that_breaks_a_law_is_reported_with_the_law_and_the_value():
    with pytest.raises(InputError) as caught:
        Paperbirds(species=3, families=5, train_images=0, size=16, difficulty="brutal", partition=4)
    assert caught.value.lines == (
        "paperbirds: 1 <= train_images <= 10000 must hold, but got train_images=0",
        "paperbirds: 32 <= size <= 1024 must hold, but got size=16",
        "paperbirds: 0 <= partition <= 3 must hold, but got partition=4",
        "paperbirds: 5 <= species <= 1000 must hold with families=5, but got species=3",
        "paperbirds: difficulty must be one of easy, normal, hard, but got difficulty='brutal'",
    )


@pytest.mark.parametrize("wrong", [True, 8.0, "8", None])
def test_only_whole_numbers_count(wrong):
    with pytest.raises(InputError, match="families"):
        Paperbirds(families=wrong)


def test_settings_are_values():
    assert Paperbirds() == Paperbirds()
    assert len({Paperbirds(), Paperbirds(), Paperbirds(seed=1)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Paperbirds().seed = 1
