"""Counting images by their distance, compiled by numba: numpy and torch are slow at these loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

_BLOCK = 4096
"""Database codes at a time: their distances stay in the innermost cache."""
_STEPS = 2**28
"""Similarities are rounded to multiples of 2^-28."""
_TILE = 128
"""Database images at a time, so that queries' sums over them stay in the innermost cache."""
_BUCKETS = 1024
"""Equal ranges of similarity, by which an image's group is found: most hold one group or none."""


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


def _measure_cosines(queries: Any, database: Any, away: Any) -> None:
    """Fills `away` (Q, D) int32 with 1 - cosine in steps of 2^-28, of unit codes (Q, K), (K, D).

    K is a multiple of 4. Sums are in one order for all images, so that equal codes have equal
    similarities.
    """
    num_queries, length = queries.shape
    cosines = np.empty((num_queries, _TILE))
    for first in range(0, database.shape[1], _TILE):
        size = min(_TILE, database.shape[1] - first)
        tile = slice(first, first + size)
        cosines[:] = 0
        for k in range(0, length, 4):
            # Of one row each: numba knows then that they are contiguous.
            w, x = database[k, tile], database[k + 1, tile]
            y, z = database[k + 2, tile], database[k + 3, tile]
            for q in range(num_queries):
                a, b, c, d = queries[q, k], queries[q, k + 1], queries[q, k + 2], queries[q, k + 3]
                for j in range(size):
                    cosines[q, j] += (a * w[j] + b * x[j]) + (c * y[j] + d * z[j])
        for q in range(num_queries):
            for j in range(size):
                steps = np.rint((1 - cosines[q, j]) * _STEPS)
                away[q, first + j] = np.int32(min(max(steps, 0.0), 2.0 * _STEPS))


def _count_cosines(
    queries: Any, database: Any, starts: Any, stops: Any, counts: Any, hits: Any
) -> None:
    """Adds to `counts` and `hits` (Q, 2G + 1) the tied images of each query, in ranking order.

    Codes (Q, K), (K, D) are as of `_measure_cosines`; the relevant images of query q are the
    columns starts[q]:stops[q], at most G. Column 2g + 1 of the tables is the g-th group of ties
    that has relevant images, column 2g all images between it and the group before: AP depends on
    no more.
    """
    size = database.shape[1]
    all_away = np.empty((len(queries), size), np.int32)
    measure_cosines(queries, database, all_away)
    buckets = np.empty(size, np.uint16)
    first = np.empty(_BUCKETS + 2, np.uint32)
    for q in range(len(queries)):
        away = all_away[q]
        groups = np.sort(away[starts[q] : stops[q]])
        num_groups = np.uint32(0)
        for i in range(len(groups)):
            if i == 0 or groups[i] != groups[num_groups - 1]:
                groups[num_groups] = groups[i]
                num_groups += np.uint32(1)
            hits[q, 2 * num_groups - 1] += 1
        if num_groups == 0:
            counts[q, 0] += size
            continue

        # Buckets of one width from the nearest group to the farthest, and one for what is beyond.
        # Before bucket b are first[b] groups; nearly always it holds none, or one.
        nearest = groups[0]
        shift = np.int32(0)
        while (groups[num_groups - 1] - nearest) >> shift >= _BUCKETS:
            shift += np.int32(1)
        for j in range(size):
            bucket = max(np.int32(away[j] - nearest), np.int32(0)) >> shift
            buckets[j] = np.uint16(min(bucket, np.int32(_BUCKETS)))
        g = np.uint32(0)
        for b in range(_BUCKETS + 2):
            while g < num_groups and (groups[g] - nearest) >> shift < b:
                g += np.uint32(1)
            first[b] = g

        for j in range(size):
            low, high = first[buckets[j]], first[buckets[j] + 1]
            tied = False
            if low < high:
                while low < high:  # a search for the first group that is not nearer
                    middle = (low + high) >> np.uint32(1)
                    if groups[middle] < away[j]:
                        low = middle + np.uint32(1)
                    else:
                        high = middle
                tied = low < num_groups and groups[low] == away[j]
            counts[q, 2 * low + tied] += 1


def _compiled(function: Any) -> Any:
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither this folder nor the user's cache is writable
        return njit(nogil=True)(function)


count_distances = _compiled(_count_distances)
measure_cosines = _compiled(_measure_cosines)
count_cosines = _compiled(_count_cosines)
