"""Attention peaks and annotated parts: hand-made images and brute force."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from concepthash.retrieval.parts import (
    part_consistency,
    peak_stability,
    peaks,
    random_floor,
)

SIZE, GRID = 80, 4  # patches of 20 pixels, centres at 10, 30, 50, 70


def looking_at(patches: list[list[int]], grid: int = GRID) -> torch.Tensor:
    """Attention (B, M, N) with the peak of each concept in the patch (B, M) of that number."""
    peaks_at = torch.tensor(patches).unsqueeze(2)
    noise = torch.rand(*peaks_at.shape[:2], grid**2, generator=torch.Generator().manual_seed(0))
    return noise.scatter(2, peaks_at, 3.0).softmax(dim=2)


def centre(patch: int) -> tuple[int, int]:
    return 20 * (patch % GRID) + 10, 20 * (patch // GRID) + 10


def of_parts(places: list[list[tuple[float, float] | None]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Parts (B, P, 2) and whether they are visible; None is not, and nowhere."""
    there = [[place or (math.nan, math.nan) for place in image] for image in places]
    return torch.tensor(there), torch.tensor([[bool(place) for place in image] for image in places])


def test_a_peak_is_the_centre_of_its_patch_in_reading_order():
    assert peaks(looking_at([[0, 1, 4, 15]]), SIZE).tolist() == [
        [[10, 10], [30, 10], [10, 30], [70, 70]]
    ]


def test_the_first_of_equal_patches_is_the_peak():
    attention = torch.tensor([[[0.1, 0.4, 0.1, 0.4]]])
    assert peaks(attention, 20).tolist() == [[[15, 5]]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_peaks_are_found_in_every_precision(dtype):
    assert peaks(looking_at([[6]]).to(dtype), SIZE).tolist() == [[[50, 30]]]


def test_a_concept_that_is_always_at_one_part_is_wholly_consistent():
    parts, visible = of_parts([[centre(0), centre(5)], [centre(7), centre(2)]])
    found = part_consistency(looking_at([[0, 5], [7, 2]]), parts, visible, SIZE)
    assert found.part.tolist() == [0, 1]
    assert found.consistency.tolist() == [1, 1]
    assert (found.mean_consistency, found.coverage, found.hits) == (1, pytest.approx(1), 1)


def test_concepts_at_one_part_alone_are_consistent_but_cover_nothing():
    parts, visible = of_parts([[centre(0), centre(5)], [centre(7), centre(2)]])
    found = part_consistency(looking_at([[0, 0], [7, 7]]), parts, visible, SIZE)
    assert found.part.tolist() == [0, 0]
    assert (found.mean_consistency, found.coverage, found.hits) == (1, 0, 1)


def test_images_that_do_not_show_the_part_do_not_count_against_the_concept():
    parts, visible = of_parts([[centre(0), centre(5)], [None, centre(5)], [centre(0), centre(5)]])
    found = part_consistency(looking_at([[0], [15], [15]]), parts, visible, SIZE)
    assert found.part.tolist() == [0]
    assert found.consistency.tolist() == [1 / 2]
    assert found.hits == pytest.approx(1 / 3)


def test_a_part_near_the_peak_counts_though_another_is_nearer():
    x, y = centre(0)
    parts, visible = of_parts([[(x, y), (x + 4, y)], [(x, y), (x + 4, y)], [(x + 4, y), (x, y)]])
    found = part_consistency(looking_at([[0], [0], [0]]), parts, visible, SIZE)
    assert found.part.tolist() == [0]
    assert found.consistency.tolist() == [1]


def test_the_first_of_equally_near_parts_is_taken():
    x, y = centre(0)
    parts, visible = of_parts([[centre(15), (x + 4, y), (x - 4, y)]])
    assert part_consistency(looking_at([[0]]), parts, visible, SIZE).part.tolist() == [1]


@pytest.mark.parametrize(("away", "hits"), [(8, 1), (8.01, 0)])
def test_a_part_is_near_up_to_the_radius_times_the_side(away, hits):
    x, y = centre(5)
    parts, visible = of_parts([[(x, y + away)]])
    assert part_consistency(looking_at([[5]]), parts, visible, SIZE).hits == hits


def test_a_concept_near_no_part_has_none_and_scores_zero():
    parts, visible = of_parts([[centre(0)], [centre(0)]])
    found = part_consistency(looking_at([[15, 0], [15, 0]]), parts, visible, SIZE)
    assert found.part.tolist() == [-1, 0]
    assert found.consistency.tolist() == [0, 1]
    assert (found.mean_consistency, found.hits) == (0.5, 0.5)


def test_images_without_a_visible_part_do_not_count_as_missed():
    parts, visible = of_parts([[None, None], [centre(3), None]])
    assert part_consistency(looking_at([[3], [3]]), parts, visible, SIZE).hits == 1


def test_without_visible_parts_every_score_is_zero():
    parts, visible = of_parts([[None, None]])
    found = part_consistency(looking_at([[3]]), parts, visible, SIZE)
    assert found.part.tolist() == [-1]
    assert (found.mean_consistency, found.coverage, found.hits) == (0, 0, 0)


def test_parts_that_no_image_shows_need_not_be_covered():
    parts, visible = of_parts([[centre(0), centre(5), None]])
    assert part_consistency(looking_at([[0, 5]]), parts, visible, SIZE).coverage == pytest.approx(1)


def by_hand(patches, places, radius):
    """Brute force: the most frequent parts, consistencies, coverage and hits in plain Python."""
    num_parts = len(places[0])

    def square(image, concept, part):
        if places[image][part] is None:
            return math.inf
        pairs = zip(centre(patches[image][concept]), places[image][part], strict=True)
        return sum((a - b) ** 2 for a, b in pairs)

    reach, images, concepts = (radius * SIZE) ** 2, range(len(patches)), range(len(patches[0]))
    per_concept = []
    for m in concepts:
        firsts = [min(range(num_parts), key=lambda p: square(b, m, p)) for b in images]
        near = [p for b, p in zip(images, firsts, strict=True) if square(b, m, p) <= reach]
        per_concept.append(Counter(near))
    parts, shares = [], []
    for m, counts in enumerate(per_concept):
        best = max(range(num_parts), key=lambda p: counts[p])
        shown = [b for b in images if places[b][best] is not None]
        hit = [b for b in shown if square(b, m, best) <= reach]
        parts.append(best if counts else -1)
        shares.append(Fraction(len(hit), len(shown)) if counts else Fraction(0))
    total = sum(per_concept, Counter())
    seen = [p for p in range(num_parts) if any(image[p] is not None for image in places)]
    if not total:
        coverage = 0.0
    elif len(seen) == 1:
        coverage = 1.0
    else:
        coverage = stats.entropy([total[p] for p in seen], base=len(seen))
    showing = sum(any(image) for image in places) * len(concepts)
    return parts, shares, coverage, Fraction(total.total(), showing) if showing else 0


@st.composite
def scenes(draw):
    images, concepts, parts = (draw(st.integers(1, most)) for most in (5, 3, 4))
    patch = st.integers(0, GRID**2 - 1)
    place = st.none() | st.tuples(st.integers(1, SIZE - 1), st.integers(1, SIZE - 1))
    row = lambda one, many: st.lists(one, min_size=many, max_size=many)  # noqa: E731
    return (
        draw(row(row(patch, concepts), images)),
        draw(row(row(place, parts), images)),
        draw(st.sampled_from([0.03, 0.137, 0.31, 2.0])),
    )


@settings(max_examples=200, deadline=None)
@given(scenes())
def test_part_consistency_agrees_with_brute_force(case):
    patches, places, radius = case
    found = part_consistency(looking_at(patches), *of_parts(places), SIZE, radius=radius)
    parts, shares, coverage, hits = by_hand(patches, places, radius)
    assert found.part.tolist() == parts
    assert found.consistency.tolist() == pytest.approx([float(share) for share in shares])
    assert found.mean_consistency == pytest.approx(float(sum(shares) / len(shares)))
    assert found.coverage == pytest.approx(coverage)
    assert found.hits == pytest.approx(float(hits))


@settings(max_examples=60, deadline=None)
@given(scenes(), st.integers(2, 5))
def test_part_consistency_does_not_depend_on_the_scale_of_the_image(case, scale):
    patches, places, radius = case
    attention, (parts, visible) = looking_at(patches), of_parts(places)
    found = part_consistency(attention, parts, visible, SIZE, radius=radius)
    large = part_consistency(attention, parts * scale, visible, SIZE * scale, radius=radius)
    assert found.part.tolist() == large.part.tolist()
    assert found[2:] == large[2:]


def test_peaks_that_stay_are_stable():
    attention = looking_at([[0, 7], [15, 4]])
    assert peak_stability(attention, attention.sqrt(), SIZE) == 1


def test_the_share_of_peaks_within_the_radius_is_the_stability():
    before, after = looking_at([[0, 7], [15, 4]]), looking_at([[1, 7], [15, 9]])
    assert peak_stability(before, after, SIZE) == 0.5
    assert peak_stability(before, after, SIZE, radius=0.26) == 0.75  # 0 -> 1: a quarter away
    assert peak_stability(before, after, SIZE, radius=0.36) == 1  # 4 -> 9: across a corner


def test_random_peaks_hit_a_part_as_often_as_its_share_of_the_patches():
    parts, visible = of_parts([[centre(0), centre(15)]] * 4000)
    floor = random_floor(parts, visible, SIZE, GRID, num_concepts=2)
    assert floor.hits == pytest.approx(2 / 16, abs=5 * math.sqrt(2 / 16 * 14 / 16 / 8000))
    assert floor.mean_consistency == pytest.approx(1 / 16, abs=0.02)
    assert floor.coverage == pytest.approx(1, abs=0.02)


def test_the_random_floor_depends_on_the_seed_alone():
    parts, visible = of_parts([[centre(5), centre(10)]] * 50)
    state = torch.get_rng_state()
    draws = [random_floor(parts, visible, SIZE, GRID, 3, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert draws[0].consistency.tolist() == draws[1].consistency.tolist()
    assert draws[0].consistency.tolist() != draws[2].consistency.tolist()


PARTS, VISIBLE = of_parts([[centre(0)], [centre(5)]])


@pytest.mark.parametrize(
    ("attention", "parts", "visible", "radius", "message"),
    [
        (torch.ones(2, 16), PARTS, VISIBLE, 0.1, r"attention must be \(B, M, N\)"),
        (torch.ones(2, 0, 16), PARTS, VISIBLE, 0.1, r"attention must be \(B, M, N\)"),
        (torch.ones(2, 1, 15), PARTS, VISIBLE, 0.1, "N=15 patches .* no square grid"),
        (torch.ones(3, 1, 16), PARTS, VISIBLE, 0.1, "of 2 images, but attention is of 3"),
        (torch.ones(2, 1, 16), PARTS[0], VISIBLE, 0.1, r"parts must be \(B, P, 2\)"),
        (torch.ones(2, 1, 16), PARTS[:, :0], VISIBLE, 0.1, r"parts must be \(B, P, 2\)"),
        (torch.ones(2, 1, 16), PARTS, VISIBLE[:1], 0.1, "visible must be boolean and"),
        (torch.ones(2, 1, 16), PARTS, VISIBLE.float(), 0.1, "visible must be boolean and"),
        (torch.ones(2, 1, 16), PARTS, VISIBLE, 0.0, "radius must be positive, but is 0.0"),
    ],
)
def test_part_consistency_refuses_mismatched_input(attention, parts, visible, radius, message):
    with pytest.raises(ValueError, match=message):
        part_consistency(attention, parts, visible, SIZE, radius=radius)


def test_attention_of_two_shapes_a_side_or_a_grid_of_nothing_is_refused():
    with pytest.raises(ValueError, match="must be of one shape"):
        peak_stability(torch.ones(2, 1, 16), torch.ones(2, 2, 16), SIZE)
    with pytest.raises(ValueError, match="image_size must be 1 or more"):
        peaks(torch.ones(2, 1, 16), 0)
    with pytest.raises(ValueError, match="must be 1 or more, but are 0 and 3"):
        random_floor(PARTS, VISIBLE, SIZE, 0, 3)
