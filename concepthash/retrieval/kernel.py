"""Counting Hamming distances, compiled by numba: numpy and torch are slow at this loop."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

_BLOCK = 4096
"""Database codes at a time: their distances stay in the innermost cache."""


def _typed_popcount(_typing_context: Any, word: Any) -> Any:
    """Number of set bits of a 64-bit word, by the CPU's instruction (vectorized)."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


# Any: numba gives it its signature, which mypy cannot see.
_popcount: Any = intrinsic(_typed_popcount)


def _count_distances(
    queries: Any, database: Any, starts: Any, stops: Any, counts: Any, hits: Any
) -> None:
    """Adds to `counts` and `hits` (Q, K + 1) what lies at each distance from words (Q, W).

    `database` is (W, D); the relevant images of query q are its columns starts[q]:stops[q].
    """
    num_words, size = database.shape
    num_distances = counts.shape[1]
    distances = np.empty(_BLOCK, np.uint16)
    # Four counters for each distance, used in turn: consecutive images are often at one
    # distance, and an addition to the same counter would wait for the one before.
    parts = np.empty((4, num_distances), np.int32)
    for first in range(0, size, _BLOCK):
        length = min(_BLOCK, size - first)
        for q in range(len(queries)):
            distances[:length] = 0
            for w in range(num_words):
                word = queries[q, w]
                row = database[w, first : first + length]
                for j in range(length):
                    distances[j] += _popcount(word ^ row[j])
            parts[:] = 0
            whole = length - length % 4
            for j in range(0, whole, 4):
                parts[0, distances[j]] += 1
                parts[1, distances[j + 1]] += 1
                parts[2, distances[j + 2]] += 1
                parts[3, distances[j + 3]] += 1
            for j in range(whole, length):
                parts[0, distances[j]] += 1
            for k in range(num_distances):
                counts[q, k] += parts[0, k] + parts[1, k] + parts[2, k] + parts[3, k]
            for j in range(max(starts[q] - first, 0), min(stops[q] - first, length)):
                hits[q, distances[j]] += 1


try:
    count_distances = njit(nogil=True, cache=True)(_count_distances)
except RuntimeError:  # neither this folder nor the user's cache is writable
    count_distances = njit(nogil=True)(_count_distances)
