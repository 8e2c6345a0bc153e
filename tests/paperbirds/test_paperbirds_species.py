"""The species of paperbirds and the settings that decide them."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.errors import InputError
from concepthash.paperbirds import DIFFICULTIES, PARTITIONS, PaperbirdsSettings, Species, species_of


def differing_parts(a: Species, b: Species) -> set[str]:
    return {part for part, _ in set(a.attributes) ^ set(b.attributes)}


@given(
    species=st.integers(12, 200),
    families=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
    difficulty=st.sampled_from(DIFFICULTIES),
    partition=st.integers(0, PARTITIONS - 1),
)
@settings(max_examples=25, deadline=None)
def test_names_are_unique_and_list_the_attributes(species, families, seed, difficulty, partition):
    chosen = species_of(
        PaperbirdsSettings(
            species=species,
            families=families,
            seed=seed,
            difficulty=difficulty,
            partition=partition,
        )
    )
    assert len({s.name for s in chosen}) == species
    adjectives = {
        "crown": "crowned", "beak": "billed", "throat": "throated", "back": "backed",
        "wing": "winged", "breast": "breasted", "belly": "bellied", "tail": "tailed",
    }  # fmt: skip
    for s in chosen:
        words = [f"{value}-{adjectives[part]}" for part, value in s.attributes]
        assert s.name == " ".join([*words, s.family])
    sizes = Counter(s.family for s in chosen).values()
    assert len(sizes) == families
    assert max(sizes) - min(sizes) <= 1


def test_partitions_have_no_species_in_common_under_any_settings():
    sets = [
        {
            species.name
            for difficulty in DIFFICULTIES
            for seed in (0, 5)
            for species in species_of(
                PaperbirdsSettings(
                    species=200, seed=seed, difficulty=difficulty, partition=partition
                )
            )
        }
        for partition in range(PARTITIONS)
    ]
    for one, other in combinations(sets, 2):
        assert not one & other
    words = [{word for name in names for word in name.split()} for names in sets]
    assert all(len(words[0] & other) > 0.9 * len(words[0]) for other in words[1:])


def test_species_of_a_family_are_more_alike_the_higher_the_difficulty():
    def nearest(difficulty: str) -> float:
        """Parts in which a species differs from the most similar one of its family, on average."""
        species = species_of(PaperbirdsSettings(species=120, families=12, difficulty=difficulty))
        return float(np.mean([
            min(len(differing_parts(a, b)) for b in species if b.family == a.family and b != a)
            for a in species
        ]))  # fmt: skip

    assert nearest("hard") < nearest("normal") < nearest("easy")
    assert nearest("hard") < 1.5
    assert nearest("easy") > 2


def test_error_names_every_setting_out_of_range_with_range_and_value():
    with pytest.raises(InputError) as caught:
        PaperbirdsSettings(
            species=3, families=5, train_images=0, size=16, difficulty="brutal", partition=4
        )
    assert caught.value.lines == (
        "paperbirds: 1 <= train_images <= 10000 must hold, but got 0",
        "paperbirds: 32 <= size <= 1024 must hold, but got 16",
        "paperbirds: 0 <= partition <= 3 must hold, but got 4",
        "paperbirds: 5 <= species <= 1000 must hold with families=5, but got 3",
        "paperbirds: difficulty must be one of easy, normal, hard, but got 'brutal'",
    )


@pytest.mark.parametrize("wrong", [True, 8.0, "8", None])
def test_counts_must_be_integers(wrong):
    with pytest.raises(InputError, match="families"):
        PaperbirdsSettings(families=wrong)
