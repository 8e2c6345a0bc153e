"""Images of paperbirds: what decides them, what they show, and their annotations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from concepthash.paperbirds import (
    DIFFICULTIES,
    FAMILIES,
    PAPERBIRDS_VERSION,
    PARTS,
    PaperbirdsSettings,
    Species,
    draw_image,
    species_of,
)
from concepthash.paperbirds.scene import NUISANCES, draw
from concepthash.paperbirds.shapes import SHAPES
from concepthash.paperbirds.species import plumage_of

SMALL = PaperbirdsSettings(species=6, families=3, train_images=2, test_images=1, size=48)
LARGE_BIRDS = PaperbirdsSettings(species=120, families=12, size=96, difficulty="easy")


def test_image_does_not_depend_on_number_and_order_of_the_others():
    more = dataclasses.replace(SMALL, species=30, train_images=9, test_images=5)
    few, many = species_of(SMALL), species_of(more)
    assert set(few) < set(many)
    first, last = few[0], few[-1]
    in_order = [draw_image(SMALL, s, "test", 0).image.tobytes() for s in (first, last)]
    reversed_order = [draw_image(more, s, "test", 0).image.tobytes() for s in (last, first)]
    assert in_order == reversed_order[::-1]


def test_images_differ_by_number_split_and_seed():
    species = species_of(SMALL)[0]
    images = [
        draw_image(SMALL, species, "train", 0),
        draw_image(SMALL, species, "train", 1),
        draw_image(SMALL, species, "test", 0),
        draw_image(dataclasses.replace(SMALL, seed=1), species, "train", 0),
    ]
    assert len({drawing.image.tobytes() for drawing in images}) == 4


def test_images_have_the_recorded_colours_of_this_version():
    """After an intended change raise PAPERBIRDS_VERSION and record the new colours here."""
    assert PAPERBIRDS_VERSION == 1
    easy = PaperbirdsSettings(difficulty="easy")
    image = draw_image(easy, species_of(easy)[0], "train", 0).image
    seen = np.asarray(image.resize((3, 3), Image.Resampling.BOX)).reshape(9, 3)
    recorded = [
        [126, 155, 100], [126, 159, 103], [126, 162, 105],
        [136, 149, 115], [126, 115, 121], [139, 161, 119],
        [152, 169, 114], [155, 168, 118], [150, 167, 115],
    ]  # fmt: skip
    # Other builds of Pillow or NumPy may round differently.
    assert np.abs(seen.astype(int) - recorded).max() <= 2, seen.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_species_of_a_family_share_their_shape_and_families_do_not(family):
    everyone = species_of(PaperbirdsSettings(species=24, families=12, difficulty="easy"))
    a, b = [s for s in everyone if s.family == family]
    easy = NUISANCES["easy"]
    one, other = (
        draw(SHAPES[family], plumage_of(s), easy, 64, np.random.default_rng(3)) for s in (a, b)
    )
    assert one.box == other.box
    np.testing.assert_array_equal(one.parts, other.parts)
    assert one.image.tobytes() != other.image.tobytes()
    for other_family in set(FAMILIES) - {family}:
        drawn = draw(SHAPES[other_family], plumage_of(a), easy, 64, np.random.default_rng(3))
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


def test_part_has_the_colour_in_the_name_of_the_species():
    looked, wrong = 0, []
    for species in species_of(LARGE_BIRDS):
        drawing = draw_image(LARGE_BIRDS, species, "train", 0)
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
    # A thin beak may mix with the background.
    assert len(wrong) <= 0.02 * looked, wrong


def test_patterned_wing_has_more_contrast_than_plain_ones():
    wings = PARTS.index("wing")

    def spread(species: Species) -> float:
        drawing = draw_image(LARGE_BIRDS, species, "train", 0)
        x, y, _ = drawing.parts[wings].astype(int)
        return float(np.asarray(drawing.image.convert("L"))[y - 6 : y + 7, x - 6 : x + 7].std())

    patterned = [
        s for s in species_of(LARGE_BIRDS) if dict(s.attributes).get("wing") in ("stripe", "bar")
    ]
    plain = [s for s in species_of(LARGE_BIRDS) if "wing" not in dict(s.attributes)]
    assert min(map(spread, patterned)) > np.median([spread(s) for s in plain])


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_box_is_in_the_image_and_visible_parts_are_in_the_box(difficulty):
    some = PaperbirdsSettings(species=24, families=12, difficulty=difficulty)
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


def test_part_behind_a_leaf_is_not_visible():
    """The same bird with and without a leaf: the pixels of hidden parts differ."""
    always = dataclasses.replace(NUISANCES["easy"], hidden=1.0)
    never = dataclasses.replace(always, hidden=0.0)
    species = species_of(PaperbirdsSettings())[0]
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
        # Light is drawn after the leaf, so that all other pixels differ a little, too.
        assert np.all(np.abs(before[y, x] - after[y, x]).sum(axis=1) > 10)
    assert hidden > 5
