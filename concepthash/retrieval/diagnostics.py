"""Diagnostics of codes: balance, entropy and correlation of bits, distances, confused classes.

Codes are real-valued tensors (B, K), binarized by their signs; 0 counts as positive.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from concepthash.retrieval.codes import binarize

_BLOCK = 256
"""Queries compared at once: bounds memory at 256 x D inner products."""

_DIGITS = 12
"""Decimals to which shares are compared: later ones depend on the order of summation."""


class RelationDistances(NamedTuple):
    """Mean Hamming distances as shares of the bits, each (1 + M,) float64 in [0, 1].

    The first entry is of the whole code, entry m + 1 of the sub-code of concept m. NaN where no
    two images have the relation.
    """

    intra: Tensor
    """Two images of one class."""
    family: Tensor
    """Images of two classes of one family."""
    inter: Tensor
    """Images of two families; without families, of two classes."""


class Confusion(NamedTuple):
    """Of the nearest images of queries of class `true`, the share (0, 1] of class `other`."""

    true: int
    other: int
    share: float


def bit_balance(codes: Tensor) -> float:
    """Mean over bits of 1 - |2p - 1| of codes (B, K), p the share of images with the bit on.

    In [0, 1]; 1 if each bit is on for half of the images, 0 if each bit is constant.
    Raises ValueError on no codes.
    """
    return float((1 - (2 * _shares(codes) - 1).abs()).mean())


def bit_entropy(codes: Tensor) -> float:
    """Mean Shannon entropy of a bit of codes (B, K), in bits; in [0, 1].

    Raises ValueError on no codes.
    """
    on = _shares(codes)
    nats = -torch.xlogy(on, on) - torch.xlogy(1 - on, 1 - on)
    return float((nats / torch.log(on.new_tensor(2.0))).mean())


def distinct_codes(codes: Tensor) -> float:
    """Distinct codes of codes (B, K), as a share of the most there can be, min(B, 2^K).

    In (0, 1]. Raises ValueError on no codes.
    """
    bits = _bits(codes)
    distinct = len(torch.unique(bits.to(torch.uint8), dim=0))
    return float(distinct / min(len(bits), 2 ** bits.shape[1]))


def bit_correlation(codes: Tensor) -> float:
    """Mean absolute Pearson correlation of two different bits of codes (B, K); in [0, 1].

    A constant bit has none and counts 0 with every other; so does a single bit. Raises ValueError
    on no codes.
    """
    bits = _bits(codes).double()
    num_images, num_bits = bits.shape
    if num_bits == 1:
        return 0.0
    on = bits.sum(0)
    # B^2 times the covariance and the variances: whole numbers, which float64 holds exactly.
    covariance = num_images * (bits.T @ bits) - on.unsqueeze(1) * on
    deviation = (on * (num_images - on)).sqrt()
    scale = deviation.unsqueeze(1) * deviation
    correlation = (covariance / torch.where(scale > 0, scale, 1)).abs().clamp(max=1)
    correlation.fill_diagonal_(0)
    return float(correlation.sum() / (num_bits * (num_bits - 1)))


def distances_by_relation(
    codes: Tensor, labels: Tensor, families: Tensor | None, num_concepts: int
) -> RelationDistances:
    """Mean distances of codes (B, K) with labels (B,), by the relation of the two images' classes.

    `families` (C,) are integers by class, equal for classes of one family; None if not known.
    A bit that is on in n1 of n images differs in n1 (n - n1) of their pairs, so the means over all
    pairs are exact without computing B x B distances. Raises ValueError if there are no codes, if
    `num_concepts` does not divide K, or if a label is missing or has no family.
    """
    bits = _bits(codes)
    _check_labels(labels, len(bits), "labels")
    if num_concepts < 1 or bits.shape[1] % num_concepts:
        raise ValueError(
            f"K={bits.shape[1]} bits cannot be divided evenly among {num_concepts} concepts"
        )
    everywhere, pairs = _differing_pairs(bits, torch.zeros_like(labels))
    in_class, pairs_in_class = _differing_pairs(bits, labels)
    in_family, pairs_in_family = in_class, pairs_in_class
    if families is not None:
        if int(labels.min()) < 0 or int(labels.max()) >= len(families):
            raise ValueError(
                f"labels must lie in 0..{len(families) - 1}, the classes with a family, but lie in"
                f" {int(labels.min())}..{int(labels.max())}"
            )
        of_image = families.to(labels.device)[labels.long()]
        in_family, pairs_in_family = _differing_pairs(bits, of_image)
    return RelationDistances(
        intra=_mean_distances(in_class, pairs_in_class, num_concepts),
        family=_mean_distances(
            in_family - in_class, pairs_in_family - pairs_in_class, num_concepts
        ),
        inter=_mean_distances(everywhere - in_family, pairs - pairs_in_family, num_concepts),
    )


def confused_classes(
    query_codes: Tensor,
    query_labels: Tensor,
    database_codes: Tensor,
    database_labels: Tensor,
    count: int = 10,
) -> list[Confusion]:
    """The pairs of classes confused most, at most `count`; labels (Q,), (D,) are integers.

    Each query spreads a weight of 1 evenly over all database images at its smallest Hamming
    distance. A share is the mean, over the queries of class `true`, of the weight on class
    `other`. Largest first, then by the labels; pairs with no share are left out. Raises
    ValueError on empty or mismatched input.
    """
    queries, database = _bits(query_codes), _bits(database_codes)
    if queries.shape[1] != database.shape[1]:
        raise ValueError(
            f"codes must be of one length, but got K={queries.shape[1]} for queries and"
            f" K={database.shape[1]} for the database"
        )
    _check_labels(query_labels, len(queries), "query_labels")
    _check_labels(database_labels, len(database), "database_labels")
    classes, index = torch.unique(torch.cat([query_labels, database_labels]), return_inverse=True)
    query_index, database_index = index.split([len(queries), len(database)])
    shares = _nearest_shares(queries, query_index, database, database_index, len(classes))
    shares.fill_diagonal_(0)
    names = classes.tolist()
    found = [
        Confusion(names[row], names[column], float(shares[row, column]))
        for row, column in shares.nonzero().tolist()
    ]
    found.sort(key=lambda pair: (-round(pair.share, _DIGITS), pair.true, pair.other))
    return found[: max(count, 0)]


def _nearest_shares(
    queries: Tensor, query_index: Tensor, database: Tensor, database_index: Tensor, classes: int
) -> Tensor:
    """Mean weight of each class's queries on each class: (classes, classes) float64 on the CPU."""
    weights = torch.zeros(classes, classes, dtype=torch.float64)
    # The inner product of +-1 vectors decreases with distance; float32 holds it exactly.
    signs = 2 * database.float() - 1
    for start in range(0, len(queries), _BLOCK):
        block = slice(start, start + _BLOCK)
        inner = (2 * queries[block].float() - 1) @ signs.T
        nearest = (inner == inner.amax(dim=1, keepdim=True)).float()
        hits = nearest.new_zeros(len(nearest), classes).index_add_(1, database_index, nearest)
        hits = hits.double().cpu()
        weights.index_add_(0, query_index[block].cpu(), hits / hits.sum(dim=1, keepdim=True))
    of_class = torch.bincount(query_index.cpu(), minlength=classes)
    return weights / of_class.clamp(min=1).unsqueeze(1)


def _differing_pairs(bits: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Over all pairs of images of one group: how many differ in each bit (K,); the pairs."""
    names, index = torch.unique(groups, return_inverse=True)
    size = torch.bincount(index, minlength=len(names))
    on = size.new_zeros(len(names), bits.shape[1]).index_add_(0, index, bits.long())
    return (on * (size.unsqueeze(1) - on)).sum(0), (size * (size - 1) // 2).sum()


def _mean_distances(differing: Tensor, pairs: Tensor, num_concepts: int) -> Tensor:
    """(1 + M,): of all bits, then of each concept's; 0 pairs give NaN."""
    shares = differing.double() / pairs.double()
    return torch.cat([shares.mean().unsqueeze(0), shares.view(num_concepts, -1).mean(1)])


def _shares(codes: Tensor) -> Tensor:
    """The share of images with each bit on, (K,) float64."""
    return _bits(codes).double().mean(0)


def _bits(codes: Tensor) -> Tensor:
    if codes.ndim != 2 or 0 in codes.shape:
        raise ValueError(f"codes must be (B, K) with B, K >= 1, but are {tuple(codes.shape)}")
    return binarize(codes)


def _check_labels(labels: Tensor, num_images: int, name: str) -> None:
    if labels.shape != (num_images,):
        raise ValueError(f"{name} must be ({num_images},) as the codes, not {tuple(labels.shape)}")
