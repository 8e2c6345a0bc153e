"""How well codes retrieve: mean average precision, with ties counted fairly.

K-bit codes have at most K + 1 distances, so many database images lie at the same distance from
a query, and the order inside a distance would decide the score. Here AP is its expectation over
every order of the tied, in closed form (McSherry & Najork, ECIR 2008; used for hashing by He,
Cakir, Bargal, Sclaroff, CVPR 2018).
"""

from __future__ import annotations

import torch
from torch import Tensor

from concepthash.retrieval.codes import binarize, hamming_distances

_BLOCK = 256
"""Queries ranked at once: bounds memory at 256 x D distances."""


def mean_average_precision(
    query_codes: Tensor, query_labels: Tensor, database_codes: Tensor, database_labels: Tensor
) -> float:
    """mAP@all in [0, 1] of real-valued codes (Q, K), (D, K) whose signs count.

    Labels (Q,), (D,) are integers; an image of the same label is relevant. A query without a
    relevant image counts 0. Raises ValueError on empty or mismatched input.
    """
    if len(query_codes) == 0 or len(database_codes) == 0:
        raise ValueError(
            f"needs queries and a database, but got {len(query_codes)} queries and"
            f" {len(database_codes)} database codes"
        )
    if query_codes.shape[1] != database_codes.shape[1]:
        raise ValueError(
            f"codes must be of one length, but got K={query_codes.shape[1]} for queries and"
            f" K={database_codes.shape[1]} for the database"
        )
    queries, database = binarize(query_codes), binarize(database_codes)
    total = 0.0
    for start in range(0, len(queries), _BLOCK):
        block = slice(start, start + _BLOCK)
        distances = hamming_distances(queries[block], database)
        relevant = query_labels[block].unsqueeze(1) == database_labels
        num_distances = queries.shape[1] + 1
        counts = _histograms(distances, torch.ones_like(relevant), num_distances)
        hits = _histograms(distances, relevant, num_distances)
        total += float(expected_average_precision(counts, hits).sum())
    return total / len(queries)


def _histograms(distances: Tensor, mask: Tensor, num_distances: int) -> Tensor:
    """How often each distance occurs a query, among the masked: (Q, num_distances) float64."""
    rows = torch.arange(len(distances), device=distances.device).unsqueeze(1)
    bins = (rows * num_distances + distances)[mask]
    counts = torch.bincount(bins, minlength=len(distances) * num_distances)
    return counts.view(-1, num_distances).double()


def expected_average_precision(counts: Tensor, hits: Tensor) -> Tensor:
    """Expected AP (Q,) from images `counts` and relevant images `hits` (Q, G) a group of ties.

    Groups are in ranking order. In a group of n images, r of them relevant, after N images and R
    relevant ones, the i-th place holds a relevant image with probability r/n, and then
    1 + R + (i - 1)(r - 1)/(n - 1) relevant ones are expected up to it, among N + i.
    """
    before = counts.cumsum(1) - counts  # N
    hits_before = hits.cumsum(1) - hits  # R
    size = int(counts.sum(1).max())
    harmonic = torch.zeros(size + 1, dtype=torch.float64, device=counts.device)
    harmonic[1:] = (1 / torch.arange(1, size + 1, dtype=torch.float64)).cumsum(0)
    # sum over i = 1..n of 1 / (N + i), and of (i - 1) / (N + i)
    inverse = harmonic[(before + counts).long()] - harmonic[before.long()]
    ramp = counts - (before + 1) * inverse
    density = hits / counts.clamp(min=1)
    slope = (hits - 1).clamp(min=0) / (counts - 1).clamp(min=1)
    gained = density * ((hits_before + 1) * inverse + slope * ramp)
    return gained.sum(1) / hits.sum(1).clamp(min=1)
