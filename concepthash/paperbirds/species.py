"""The settings of a paperbirds data set and its species; nothing is drawn here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import dist

import numpy as np

from concepthash.errors import InputError
from concepthash.paperbirds.patches import PATTERNS, Colour, Fill
from concepthash.paperbirds.scene import NUISANCES
from concepthash.paperbirds.shapes import SHAPES

FAMILIES = tuple(SHAPES)
DIFFICULTIES = tuple(NUISANCES)
PARTITIONS = 4  # species of different partitions are never the same
MAX_SIBLINGS = 200  # species of one family, at most

ATTRIBUTES_EACH = 3  # parts in which a species differs from its family
_ADJECTIVES = {
    "crown": "crowned", "beak": "billed", "throat": "throated", "back": "backed",
    "wing": "winged", "breast": "breasted", "belly": "bellied", "tail": "tailed",
}  # fmt: skip
_PATTERNED = {"wing": ("stripe", "bar", "spot"), "breast": ("stripe", "bar", "spot"),
              "belly": ("bar", "spot"), "tail": ("bar",)}  # fmt: skip
COLOURS: Mapping[str, Colour] = {
    "red": (206, 44, 40), "orange": (240, 130, 28), "yellow": (250, 212, 52),
    "green": (44, 148, 72), "blue": (40, 104, 206), "violet": (134, 66, 178),
    "pink": (244, 132, 172), "white": (252, 252, 250), "black": (28, 28, 34),
    "brown": (124, 74, 40), "grey": (138, 146, 154),
}  # fmt: skip
# Colours of the families; no species is named after them.
_MUTED: Mapping[str, Colour] = {
    "olive": (118, 124, 72), "moss": (152, 156, 98), "slate": (84, 98, 116),
    "mist": (172, 184, 196), "cream": (246, 236, 212), "buff": (222, 192, 146),
    "rufous": (166, 92, 54), "umber": (112, 88, 68), "charcoal": (60, 62, 70),
    "teal": (46, 124, 128), "leaf": (92, 160, 80), "lime": (162, 196, 98),
    "ochre": (220, 164, 62), "peach": (234, 168, 112), "rose": (216, 140, 124),
}  # fmt: skip
_PLACES = ("crown", "face", "throat", "back", "wing", "breast", "belly", "tail", "beak", "leg")
_PLUMAGES = {  # in the order of _PLACES
    "warbler": "olive moss cream olive slate cream cream slate charcoal umber",
    "owl": "rufous buff cream rufous umber buff cream umber charcoal buff",
    "duck": "umber buff buff umber slate buff cream umber ochre ochre",
    "heron": "slate cream cream slate slate cream cream slate ochre umber",
    "woodpecker": "charcoal cream cream charcoal charcoal buff buff charcoal slate slate",
    "hummingbird": "teal teal cream teal slate cream mist teal charcoal charcoal",
    "gull": "cream cream cream mist mist cream cream cream ochre rose",
    "parrot": "leaf lime lime leaf leaf lime lime leaf buff slate",
    "tern": "charcoal cream cream mist mist cream cream mist charcoal charcoal",
    "sparrow": "rufous buff cream umber umber buff cream umber ochre rose",
    "kingfisher": "teal cream cream teal teal peach peach teal charcoal rose",
    "toucan": "charcoal cream cream charcoal charcoal cream charcoal charcoal ochre slate",
}


@dataclass(frozen=True)
class PaperbirdsSettings:
    """Settings of one data set; the defaults give 40 species, 1,200 images of 64 x 64.

    `difficulty` is one of DIFFICULTIES, described in the package. `partition` (0 to 3) selects
    species: data sets of different partitions share families, colours and parts but no species,
    whatever their other settings. A larger number of species or images adds some and changes none
    of the others. Raises InputError with a line for each value out of range.
    """

    species: int = 40
    families: int = 8
    train_images: int = 20  # of each species: training set and database
    test_images: int = 10  # of each species: queries
    size: int = 64  # pixels a side
    seed: int = 0
    difficulty: str = "normal"
    partition: int = 0

    def __post_init__(self) -> None:
        wrong = [
            *self._broken("families", 1, len(FAMILIES)),
            *self._broken("train_images", 1, 10_000),
            *self._broken("test_images", 1, 10_000),
            *self._broken("size", 32, 1024),
            *self._broken("seed", 0, 2**32 - 1),
            *self._broken("partition", 0, PARTITIONS - 1),
        ]
        if not self._broken("families", 1, len(FAMILIES)):
            most = MAX_SIBLINGS * self.families
            wrong += self._broken("species", self.families, most, f" with families={self.families}")
        if self.difficulty not in DIFFICULTIES:
            allowed = ", ".join(DIFFICULTIES)
            wrong.append(
                f"paperbirds: difficulty must be one of {allowed}, but got {self.difficulty!r}"
            )
        if wrong:
            raise InputError(*wrong)

    def _broken(self, field: str, low: int, high: int, given: str = "") -> list[str]:
        value = getattr(self, field)
        if type(value) is int and low <= value <= high:  # not isinstance: True is an int
            return []
        return [f"paperbirds: {low} <= {field} <= {high} must hold{given}, but got {value!r}"]


@dataclass(frozen=True)
class Species:
    """A species, and the parts in which it differs from the other birds of its family."""

    name: str
    family: str
    attributes: tuple[tuple[str, str], ...]  # part, and its colour or pattern

    @property
    def title(self) -> str:
        """The name as CUB-200-2011 writes one: Red-crowned_Stripe-winged_Yellow-bellied_Warbler."""
        return "_".join(word.capitalize() for word in self.name.split())


@cache
def species_of(settings: PaperbirdsSettings) -> tuple[Species, ...]:
    """The species in the order of their labels, family by family."""
    each, over = divmod(settings.species, settings.families)
    return tuple(
        species
        for number, family in enumerate(FAMILIES[: settings.families])
        for species in _siblings(family, each + (number < over), settings)
    )


def plumage_of(species: Species) -> dict[str, Fill]:
    """The fill of each part: the species' attribute, or else the family's colour."""
    plumage = {place: Fill(colour) for place, colour in _family_colours(species.family).items()}
    for part, value in species.attributes:
        if value in PATTERNS:
            plumage[part] = plumage[part]._replace(pattern=value)
        else:
            plumage[part] = Fill(COLOURS[value])
    return plumage


# How often a new species is an earlier one of its family with one attribute changed.
_LIKE_A_SIBLING = {"easy": 0.0, "normal": 0.6, "hard": 0.9}


def _siblings(family: str, count: int, settings: PaperbirdsSettings) -> list[Species]:
    rng = np.random.default_rng([settings.seed, settings.partition, FAMILIES.index(family)])
    alike = _LIKE_A_SIBLING[settings.difficulty]
    found: dict[str, Species] = {}
    while len(found) < count:
        if found and rng.random() < alike:
            known = list(found.values())[rng.integers(len(found))]
            values = dict(known.attributes)
            part = list(values)[rng.integers(len(values))]
            values[part] = _any_value(family, part, rng)
        else:
            parts = _combinations()[rng.integers(len(_combinations()))]
            values = {part: _any_value(family, part, rng) for part in parts}
        species = _named(family, values)
        if _partition(species) == settings.partition:
            found.setdefault(species.name, species)
    return list(found.values())


def _named(family: str, values: Mapping[str, str]) -> Species:
    attributes = tuple((part, values[part]) for part in _ADJECTIVES if part in values)
    words = [f"{value}-{_ADJECTIVES[part]}" for part, value in attributes]
    return Species(" ".join([*words, family]), family, attributes)


def _partition(species: Species) -> int:
    """From the name alone, so that a species is in the same partition under all settings."""
    return hashlib.sha256(species.name.encode()).digest()[-1] % PARTITIONS


def _any_value(family: str, part: str, rng: np.random.Generator) -> str:
    patterns = _PATTERNED.get(part, ())
    if patterns and rng.random() < 0.4:
        return patterns[rng.integers(len(patterns))]
    colours = _colours_seen_on(family, part)
    return colours[rng.integers(len(colours))]


@cache
def _combinations() -> tuple[tuple[str, ...], ...]:
    return tuple(combinations(_ADJECTIVES, ATTRIBUTES_EACH))


@cache
def _colours_seen_on(family: str, part: str) -> tuple[str, ...]:
    """The colours that differ clearly from the family's own colour of this part."""
    own = _family_colours(family)[part]
    return tuple(name for name, colour in COLOURS.items() if dist(colour, own) > 80)


def _family_colours(family: str) -> dict[str, Colour]:
    names = _PLUMAGES[family].split()
    return {place: _MUTED[name] for place, name in zip(_PLACES, names, strict=True)}
