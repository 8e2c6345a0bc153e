"""Average precision with tied images: its mean over every order of them, and its bounds.

The mean is in closed form (McSherry & Najork, ECIR 2008; used for hashing by He, Cakir, Bargal,
Sclaroff, CVPR 2018). N, R are the images and the relevant ones before a group of ties; it has n
images, r of them relevant, of which the first m places count. Tables are (Q, G), a row a query.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from concepthash.retrieval.histograms import Histograms
from concepthash.retrieval.inputs import Integers, check_at_least_one

GroupTies = Literal["expected", "optimistic", "pessimistic"]
"""The mean over every order; the relevant first in each group; the relevant last."""
Denominator = Literal["min", "retrieved"]
"""What AP@R divides by: min(relevant, R), or the relevant among the first R."""
Floats = npt.NDArray[np.float64]

_ENTRIES = 2**15
"""Entries of a table computed at once, so that they stay in the cache."""
_UNIT = 58
"""Harmonic numbers are integers in units of 2^-58; below 32, for e^31 images, they fit an int64."""


class _Groups(NamedTuple):
    before: Integers
    """N"""
    hits_before: Integers
    """R"""
    counts: Integers
    """n"""
    hits: Integers
    """r"""
    places: Integers
    """m: those of the n places that count, fewer than n where the first R images end."""


def tied_average_precisions(
    histograms: Histograms,
    *,
    at: int | None = None,
    ties: GroupTies = "expected",
    denominator: Denominator = "min",
) -> Tensor:
    """AP (Q,) float64 in [0, 1] of each query; 0 for one without a relevant image.

    With `at=R` only the first R images count (all of them where there are fewer), and the sum of
    precisions at relevant images is divided by min(relevant, R), or, as much of the literature on
    hashing does, by the relevant images retrieved among the first R (0 where there is none). With
    "min", optimistic and pessimistic are the bounds of every order; with "retrieved" they are the
    values of those two orders, but no bounds, since a late hit raises the divisor too.
    Raises ValueError for an unknown option, R < 1 or no query.
    """
    check_words(ties, denominator, at, get_args(GroupTies))
    counts, hits = (table.cpu().numpy() for table in histograms)
    if len(counts) == 0:
        raise ValueError("needs queries, but got histograms of none")
    harmonic = _harmonic(int(counts.sum(axis=1).max()))
    by_chance = ties == "expected" and denominator == "retrieved" and at is not None
    # Then a query also has a column for each number of relevant images retrieved.
    rows = max(1, _ENTRIES // (counts.shape[1] + by_chance * int(hits.max())))
    found = np.empty(len(counts))
    for start in range(0, len(counts), rows):
        block = slice(start, start + rows)
        groups = _groups(counts[block], hits[block], at)
        if by_chance:
            found[block] = _expected_of_retrieved(groups, harmonic)
            continue
        gained, retrieved = _gained(groups, ties, harmonic)
        divisor = groups.hits.sum(axis=1)
        if at is not None:
            divisor = divisor.clip(max=at) if denominator == "min" else retrieved.sum(axis=1)
        found[block] = gained.sum(axis=1) / divisor.clip(min=1)
    return torch.from_numpy(found)


def check_words(ties: str, denominator: str, at: int | None, known: tuple[str, ...]) -> None:
    """ValueError for an unknown option, or a rank below 1."""
    if ties not in known:
        raise ValueError(f"ties must be one of {', '.join(known)}, but is {ties!r}")
    if denominator not in get_args(Denominator):
        raise ValueError(f"denominator must be min or retrieved, but is {denominator!r}")
    if at is not None:
        check_at_least_one("at", at)


def expected_hits(histograms: Histograms, k: int) -> Tensor:
    """Relevant images expected among the first k, (Q,) float64."""
    groups = _groups(histograms.counts.cpu().numpy(), histograms.hits.cpu().numpy(), k)
    expected = groups.hits * groups.places / groups.counts.clip(min=1)
    return torch.from_numpy(expected.sum(axis=1))


def _groups(counts: Integers, hits: Integers, at: int | None) -> _Groups:
    before = counts.cumsum(axis=1) - counts
    places = counts if at is None else np.minimum((at - before).clip(min=0), counts)
    return _Groups(before, hits.cumsum(axis=1) - hits, counts, hits, places)


def _harmonic(size: int) -> Integers:
    """1 + 1/2 + ... + 1/i for i = 0..size, (size + 1,), in units of 2^-58.

    Integers: a difference of two floating sums would lose digits far down a long ranking, where
    it is multiplied by N.
    """
    terms = np.arange(size + 1)
    terms[1:] = (2**_UNIT + terms[1:] // 2) // terms[1:]
    return terms.cumsum()


def _inverses(harmonic: Integers, before: Integers, places: Integers) -> Floats:
    """Sum of 1 / (before + i) over i = 1..places."""
    return (harmonic[before + places] - harmonic[before]) * 2.0**-_UNIT


def _gained(groups: _Groups, ties: GroupTies, harmonic: Integers) -> tuple[Floats, Integers]:
    """Sum of precisions at the relevant images of each group, and how many of them counted."""
    before, hits_before, counts, hits, places = groups
    if ties == "expected":
        return _expected(groups, harmonic), hits
    # The relevant images are one run; the j-th of them has precision (R + j) / (start + j).
    others = counts - hits
    if ties == "optimistic":
        start, taken = before, np.minimum(hits, places)
    else:
        start, taken = before + others, (places - others).clip(min=0)
    inverse = _inverses(harmonic, start, taken)
    return taken + (hits_before - start) * inverse, taken


def _expected(groups: _Groups, harmonic: Integers) -> Floats:
    """The i-th place is relevant with probability r/n, and then 1 + R + (i - 1)(r - 1)/(n - 1)
    relevant images are expected up to it, among N + i."""
    before, hits_before, counts, hits, places = groups
    inverse = _inverses(harmonic, before, places)
    ramp = places - (before + 1) * inverse  # sum of (i - 1) / (N + i)
    density = hits / counts.clip(min=1)
    slope = (hits - 1).clip(min=0) / (counts - 1).clip(min=1)
    return density * ((hits_before + 1) * inverse + slope * ramp)


def _expected_of_retrieved(groups: _Groups, harmonic: Integers) -> Floats:
    """AP@R (Q,) divided by the relevant retrieved, whose number x in the group R cuts varies.

    x is hypergeometric; given x, the m places hold x relevant images in any order, which is the
    closed form of a group of m images, x of them relevant.
    """
    whole = groups.places == groups.counts
    sure = _total(_expected(groups, harmonic), whole)
    hits_before = _total(groups.hits, whole)
    cut = (groups.places > 0) & ~whole  # one group at most; without one, all of these are 0
    before, _, n, r, m = (_total(table, cut) for table in groups)
    least, most = (m - (n - r)).clip(min=0), np.minimum(m, r)
    x = least + np.arange(int((most - least).max()) + 1)
    # P(x + 1) / P(x); a sum of logarithms neither overflows nor needs factorials.
    ratio = ((r - x) * (m - x)).clip(min=1) / ((x + 1) * (n - r - m + x + 1)).clip(min=1)
    log_chance = np.zeros(x.shape)
    log_chance[:, 1:] = np.log(ratio[:, :-1]).cumsum(axis=1)
    log_chance[x > most] = -np.inf
    chance = np.exp(log_chance - log_chance.max(axis=1, keepdims=True))
    gained = sure + _expected(_Groups(before, hits_before, m, x, m), harmonic)
    scores = gained / (hits_before + x).clip(min=1)
    return (chance * scores).sum(axis=1) / chance.sum(axis=1)


def _total(table: npt.NDArray[Any], where: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    return np.where(where, table, 0).sum(axis=1, keepdims=True)
