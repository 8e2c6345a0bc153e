"""Average precision with ties in database order, and with cosine similarity."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from concepthash.retrieval.histograms import Histograms
from concepthash.retrieval.inputs import (
    Integers,
    Search,
    check_sizes,
    integers,
    relevant_slices,
)
from concepthash.retrieval.ties import Denominator, Floats, tied_average_precisions

_DISTANCES = 2**18
"""Distances at once: bounds memory whatever the database."""
_GROUPS = 2**20
"""Entries of tables of groups at once: bounds memory where nearly all images are relevant."""
_QUERIES = 16
"""Queries whose similarities to the whole database a thread holds at once."""


def index_average_precisions(search: Search, *, at: int | None, denominator: Denominator) -> Tensor:
    """AP (Q,) float64 where images at one distance stay in the order of the database."""
    columns = np.ascontiguousarray(search.database.T)
    size = len(search.database_labels)
    kept = size if at is None else min(at, size)
    places = np.arange(1, kept + 1)
    found = []
    for rows in _blocks(len(search.queries), size, _DISTANCES):
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
    if query_codes.shape[1] != database_codes.shape[1]:
        raise ValueError(
            f"codes must be of one length, but got K={query_codes.shape[1]} for queries and"
            f" K={database_codes.shape[1]} for the database"
        )
    order, starts, stops = relevant_slices(integers(query_labels), integers(database_labels))
    columns = np.ascontiguousarray(database[order].T)
    # As many groups have relevant images as a query has of them, at most.
    width = 2 * int((stops - starts).max()) + 1
    found = []
    for rows in _blocks(len(queries), width, _GROUPS):
        groups = _cosine_groups(queries[rows], columns, starts[rows], stops[rows], width)
        found.append(tied_average_precisions(groups, at=at, denominator=denominator))
    return torch.cat(found)


def _cosine_groups(
    queries: Floats, database: Floats, starts: Integers, stops: Integers, width: int
) -> Histograms:
    """Tables (B, width) of unit codes (B, K), (K, D) whose relevant images are slices of D."""
    # Importing numba takes part of a second, compiling takes seconds (cached): only when needed.
    from concepthash.retrieval.kernel import count_cosines

    counts, hits = np.zeros((2, len(queries), width), np.int64)

    def count(first: int) -> None:
        part = slice(first, first + _QUERIES)
        count_cosines(queries[part], database, starts[part], stops[part], counts[part], hits[part])

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(count, range(0, len(queries), _QUERIES)):
            pass
    return Histograms(torch.from_numpy(counts), torch.from_numpy(hits))


def _unit(codes: Tensor, name: str) -> Floats:
    """Codes (N, K) of length 1, with zeros added up to a multiple of 4 numbers."""
    if not codes.is_floating_point() or not codes.isfinite().all():
        raise ValueError(
            f"{name} codes must be finite floating numbers, but got {codes.dtype}"
            + ("" if not codes.is_floating_point() else " with NaN or infinity")
        )
    unit = F.normalize(codes.detach().cpu().double(), dim=1)
    return F.pad(unit, (0, -codes.shape[1] % 4)).numpy()


def _blocks(num_queries: int, width: int, entries: int) -> Iterator[slice]:
    """Queries in blocks that have so many entries in tables of this width, or of one query."""
    rows = max(1, entries // width)
    return (slice(start, start + rows) for start in range(0, num_queries, rows))
