"""Average precision with ties in database order, and with cosine similarity."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from concepthash.retrieval.histograms import Histograms
from concepthash.retrieval.inputs import Search, check_sizes
from concepthash.retrieval.ties import Denominator, tied_average_precisions

_ENTRIES = 2**18
"""Distances or similarities at once: bounds memory whatever the database."""
_STEPS = 2**28
"""Similarities are rounded to multiples of 2^-28; with a bit for relevance they fit an int32."""


def index_average_precisions(search: Search, *, at: int | None, denominator: Denominator) -> Tensor:
    """AP (Q,) float64 where images at one distance stay in the order of the database."""
    columns = np.ascontiguousarray(search.database.T)
    size = len(search.database_labels)
    kept = size if at is None else min(at, size)
    places = np.arange(1, kept + 1)
    found = []
    for rows in _blocks(len(search.queries), size):
        distances = np.zeros((len(search.queries[rows]), size), np.int64)
        for w, column in enumerate(columns):
            distances += np.bitwise_count(search.queries[rows, w, None] ^ column)
        relevant = search.query_labels[rows, None] == search.database_labels
        # One integer holds distance, position and relevance, so one sort orders all three.
        ranked = np.sort((distances * size + np.arange(size)) * 2 + relevant, axis=1)
        hits = ranked[:, :kept] & 1
        retrieved = hits.sum(axis=1)
        least = relevant.sum(axis=1).clip(max=kept)
        divisor = retrieved if denominator == "retrieved" else least
        gained = (hits * hits.cumsum(axis=1) / places).sum(axis=1)
        found.append(torch.from_numpy(gained / divisor.clip(min=1)))
    return torch.cat(found)


def cosine_average_precisions(
    query_codes: Tensor,
    query_labels: Tensor,
    database_codes: Tensor,
    database_labels: Tensor,
    *,
    at: int | None = None,
    denominator: Denominator = "min",
) -> Tensor:
    """AP (Q,) float64 of real codes (Q, K), (D, K) ranked by cosine, before binarizing.

    Similarities that round to the same multiple of 2^-28 are ties, averaged over every order; a
    code of zeros has similarity 0 to all. Labels, `at` and `denominator` as of
    `average_precisions`. Raises ValueError for codes that are not floating or not finite, and for
    sizes that do not match.
    """
    check_sizes(query_codes, query_labels, database_codes, database_labels)
    queries, database = _unit(query_codes, "query"), _unit(database_codes, "database")
    if queries.shape[1] != database.shape[1]:
        raise ValueError(
            f"codes must be of one length, but got K={queries.shape[1]} for queries and"
            f" K={database.shape[1]} for the database"
        )
    labels, others = query_labels.cpu().numpy(), database_labels.cpu().numpy()
    found = []
    for rows in _blocks(len(queries), len(database)):
        similarities = (queries[rows] @ database.T).numpy()
        away = np.rint((1 - similarities) * _STEPS).clip(0, 2 * _STEPS - 1).astype(np.int32)
        groups = _equal_groups(away * 2 + (labels[rows, None] == others))
        found.append(tied_average_precisions(groups, at=at, denominator=denominator))
    return torch.cat(found)


def _equal_groups(keys: npt.NDArray[np.int32]) -> Histograms:
    """Groups of keys (B, D) that are equal but for their lowest bit, which says relevant."""
    ranked = np.sort(keys, axis=1)
    group = np.zeros(ranked.shape, np.int64)
    np.not_equal(ranked[:, 1:] >> 1, ranked[:, :-1] >> 1).cumsum(axis=1, out=group[:, 1:])
    shape = (len(keys), int(group.max()) + 1)
    flat = (group + shape[1] * np.arange(len(keys))[:, None]).ravel()
    tables = [flat, flat[(ranked & 1).ravel() == 1]]
    counts, hits = (np.bincount(table, minlength=shape[0] * shape[1]) for table in tables)
    return Histograms(*(torch.from_numpy(table.reshape(shape)) for table in (counts, hits)))


def _unit(codes: Tensor, name: str) -> Tensor:
    if not codes.is_floating_point() or not codes.isfinite().all():
        raise ValueError(
            f"{name} codes must be finite floating numbers, but got {codes.dtype}"
            + ("" if not codes.is_floating_point() else " with NaN or infinity")
        )
    return F.normalize(codes.detach().cpu().double(), dim=1)


def _blocks(num_queries: int, size: int) -> Iterator[slice]:
    rows = max(1, _ENTRIES // size)
    return (slice(start, start + rows) for start in range(0, num_queries, rows))
