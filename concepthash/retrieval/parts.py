"""Interpretability metrics: whether concepts attend to annotated parts, consistently and to all.

Based on the consistency and the stability score of Huang et al., "Evaluation and Improvement of
Interpretability for Self-Explainable Part-Prototype Networks", ICCV 2023: a prototype is good if
the place it responds to shows the same annotated part in image after image, and stays there under
noise. Differences, since concepts are not prototypes of a class:

- Over the images of all classes, as concepts belong to none; theirs are over a class's images.
- Each concept has one part, the one that it is nearest to most often, and scores the share of
  its images; theirs counts the prototypes that reach 80 % on any part.
- Near is within a radius of the centre of a patch; theirs is within a square around the maximum
  of the upsampled map.
- Stability is of the place; theirs is of the set of parts that lie near it.
- Coverage and hits are added: concepts that all look at one part are consistent too.

Attention is (B, M, N) of M concepts over N = g x g patches in reading order. Parts are (B, P, 2),
x and y in pixels of the S x S input from its upper left corner, with `visible` (B, P) booleans;
places of parts that are not visible are never read.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

RADIUS = 0.1
"""Near, as a share of the image's side.

In the coarsest usual grids, 7 x 7 and 8 x 8, it takes in (all but the tips of) the peak's own
patch, whose corners are 0.101 and 0.088 away: a smaller one would miss parts that the peak lies
on. It is also the half side of the square of Huang et al., 36 of 224 pixels of birds cropped to
their boxes, where a bird is 2/3 as large as its image.
"""


class PartConsistency(NamedTuple):
    """How the peaks of M concepts meet P parts. All shares in [0, 1]."""

    part: Tensor
    """(M,) int64: the part that most peaks of the concept are nearest to, the first of such in
    the order of the parts; -1 if no peak is near any."""
    consistency: Tensor
    """(M,) float64: of the images that show this part, the share with the peak near it; 0 if
    there is no such part."""
    mean_consistency: float
    """Mean over the concepts."""
    coverage: float
    """How evenly the peaks near some part fall on the parts, each on its nearest: entropy as a
    share of its maximum over the parts that any image shows. 1 if on each as often (as for a
    single part), 0 if on one of many or on none."""
    hits: float
    """Of the peaks in images that show a part, the share near some part; 0 without such images."""


def peaks(attention: Tensor, image_size: int) -> Tensor:
    """Centres (B, M, 2) of the patches with the most attention: x, y in pixels, float64.

    Among equals the first in reading order. Raises ValueError if `attention` is not (B, M, g * g)
    or is empty, or if `image_size` is not positive.
    """
    if attention.ndim != 3 or attention.numel() == 0:
        raise ValueError(f"attention must be (B, M, N), none 0, but is {tuple(attention.shape)}")
    grid = math.isqrt(attention.shape[2])
    if grid * grid != attention.shape[2]:
        raise ValueError(f"N={attention.shape[2]} patches of the attention are no square grid")
    return _centres(attention.argmax(dim=2), grid, image_size)


def part_consistency(
    attention: Tensor, parts: Tensor, visible: Tensor, image_size: int, *, radius: float = RADIUS
) -> PartConsistency:
    """How the peaks of attention (B, M, N) meet the parts (B, P, 2), `visible` (B, P).

    A peak belongs to the nearest visible part (the first among equals) if that is at most
    `radius` x `image_size` pixels away. Raises ValueError on shapes that do not match or a
    radius that is not positive.
    """
    return _consistency(peaks(attention, image_size), parts, visible, image_size, radius)


def random_floor(
    parts: Tensor,
    visible: Tensor,
    image_size: int,
    grid: int,
    num_concepts: int,
    *,
    seed: int = 0,
    radius: float = RADIUS,
) -> PartConsistency:
    """What `part_consistency` gives for peaks drawn evenly from grid x grid patches.

    The draw depends on `seed` and the shapes alone. Attention that always looks at the middle
    beats this floor; the attention of the same images in another order makes a stricter one.
    """
    if grid < 1 or num_concepts < 1:
        raise ValueError(
            f"grid and num_concepts must be 1 or more, but are {grid} and {num_concepts}"
        )
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randint(grid * grid, (len(parts), num_concepts), generator=generator)
    places = _centres(patches.to(parts.device), grid, image_size)
    return _consistency(places, parts, visible, image_size, radius)


def peak_stability(
    attention: Tensor, noisy_attention: Tensor, image_size: int, *, radius: float = RADIUS
) -> float:
    """The share [0, 1] of peaks that stay within `radius` x `image_size` pixels under noise.

    Both attentions are (B, M, N), of the same images without and with noise on the input. On
    grids coarser than 1 / `radius` a peak must stay in its patch. Raises ValueError if their
    shapes differ or the radius is not positive.
    """
    if attention.shape != noisy_attention.shape:
        raise ValueError(
            "attention and noisy_attention must be of one shape, but are"
            f" {tuple(attention.shape)} and {tuple(noisy_attention.shape)}"
        )
    _check_radius(radius)
    moved = peaks(attention, image_size) - peaks(noisy_attention, image_size)
    return float((_lengths(moved) <= radius * image_size).double().mean())


def _centres(patches: Tensor, grid: int, image_size: int) -> Tensor:
    """Centres (..., 2) in pixels of patches (...) numbered in reading order."""
    if image_size < 1:
        raise ValueError(f"image_size must be 1 or more pixels, but is {image_size}")
    rows = torch.div(patches, grid, rounding_mode="floor")
    return (torch.stack([patches - rows * grid, rows], dim=-1).double() + 0.5) * image_size / grid


def _consistency(
    places: Tensor, parts: Tensor, visible: Tensor, image_size: int, radius: float
) -> PartConsistency:
    """Of peaks (B, M, 2)."""
    _check_parts(parts, visible, len(places))
    _check_radius(radius)
    num_parts = parts.shape[1]
    distances = _lengths(places.unsqueeze(2) - parts.unsqueeze(1))  # (B, M, P)
    distances = distances.masked_fill(~visible.unsqueeze(1), math.inf)
    near = distances <= radius * image_size
    hit = near.any(dim=2)  # (B, M)
    nearest = distances.argmin(dim=2).masked_fill(~hit, num_parts)  # (B, M), P: none
    counts = torch.stack(
        [torch.bincount(row, minlength=num_parts + 1)[:num_parts] for row in nearest.T]
    )  # (M, P)
    part = counts.argmax(dim=1)
    shown = visible.sum(dim=0).clamp(min=1)  # (P,)
    near_part = near.sum(dim=0).gather(1, part.unsqueeze(1)).squeeze(1)  # (M,)
    # A concept whose peaks are near no part has 0 images near the part 0 that argmax gave it.
    consistency = near_part.double() / shown[part]
    any_visible = visible.any(dim=1)
    return PartConsistency(
        part=part.masked_fill(counts.sum(dim=1) == 0, -1),
        consistency=consistency,
        mean_consistency=float(consistency.mean()),
        coverage=_evenness(counts.sum(dim=0)[visible.any(dim=0)]),
        hits=float(hit[any_visible].double().mean()) if bool(any_visible.any()) else 0.0,
    )


def _evenness(counts: Tensor) -> float:
    """Entropy of the distribution of `counts` (P,) as a share of log P; 0 where all are 0."""
    if int(counts.sum()) == 0:
        return 0.0
    if len(counts) == 1:
        return 1.0
    shares = counts.double() / counts.sum()
    evenness = -torch.xlogy(shares, shares).sum() / math.log(len(counts))
    return float(evenness.clamp(0, 1))


def _lengths(vectors: Tensor) -> Tensor:
    """Lengths (...) of vectors (..., 2)."""
    return torch.linalg.vector_norm(vectors, dim=-1)


def _check_parts(parts: Tensor, visible: Tensor, num_images: int) -> None:
    if parts.ndim != 3 or parts.shape[2] != 2 or 0 in parts.shape:
        raise ValueError(f"parts must be (B, P, 2), none 0, but are {tuple(parts.shape)}")
    if visible.shape != parts.shape[:2] or visible.dtype != torch.bool:
        raise ValueError(
            f"visible must be boolean and {tuple(parts.shape[:2])} as the parts, but is"
            f" {visible.dtype} and {tuple(visible.shape)}"
        )
    if len(parts) != num_images:
        raise ValueError(f"parts are of {len(parts)} images, but attention is of {num_images}")


def _check_radius(radius: float) -> None:
    if not radius > 0:
        raise ValueError(f"radius must be positive, but is {radius}")
