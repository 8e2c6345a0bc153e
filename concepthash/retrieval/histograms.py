"""How many images, and how many relevant ones, lie at each Hamming distance from a query.

Metrics that average over ties need only these counts: the order of images at one distance does
not matter.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from concepthash.retrieval.inputs import checked, relevant_slices

_QUERIES = 64
"""Queries that a thread counts at once, while a block of the database is in the cache."""


class Histograms(NamedTuple):
    """Groups of tied images in ranking order, a row for each query."""

    counts: Tensor
    """(Q, G) int64: images in each group. From `histograms`: G = K + 1, group g at distance g."""
    hits: Tensor
    """(Q, G) int64: the relevant ones among them."""


def histograms(
    query_codes: Tensor,
    query_labels: Tensor,
    database_codes: Tensor,
    database_labels: Tensor,
    *,
    num_bits: int | None = None,
) -> Histograms:
    """Counts of the database around every query, on the CPU; takes (Q, K + 1) of memory.

    Codes (Q, K), (D, K) are floating or signed numbers, whose signs count (0 as positive), or,
    with `num_bits`, what `pack` gives. Labels (Q,), (D,) are integers; an image of the same label
    is relevant. As many threads as torch's count. Raises ValueError for anything else.
    """
    search = checked(query_codes, query_labels, database_codes, database_labels, num_bits)
    # Importing numba takes part of a second, compiling takes seconds (cached): only when needed.
    from concepthash.retrieval.kernel import count_distances

    order, starts, stops = relevant_slices(search.query_labels, search.database_labels)
    database = np.ascontiguousarray(search.database[order].T)
    shape = (len(search.queries), search.num_bits + 1)
    counts, hits = np.zeros(shape, np.int64), np.zeros(shape, np.int64)

    def count(first: int) -> None:
        part = slice(first, first + _QUERIES)
        count_distances(
            search.queries[part], database, starts[part], stops[part], counts[part], hits[part]
        )

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for _ in pool.map(count, range(0, len(search.queries), _QUERIES)):
            pass
    return Histograms(torch.from_numpy(counts), torch.from_numpy(hits))
