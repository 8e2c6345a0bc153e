"""Retrieval metrics. K-bit codes have at most K + 1 distances, so many database images lie at one
distance from a query; a score is its expectation over every order of them.

`average_precisions` and `mean_average_precision` take codes. Everything else is a pure function
of `histograms`, computed once, and gives a value for each query: its mean is the score, and
`bootstrap_interval` is its confidence interval.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from concepthash.retrieval.histograms import Histograms, histograms
from concepthash.retrieval.inputs import check_at_least_one, checked
from concepthash.retrieval.ranked import index_average_precisions
from concepthash.retrieval.ties import (
    Denominator,
    check_words,
    expected_hits,
    tied_average_precisions,
)

Ties = Literal["expected", "optimistic", "pessimistic", "index"]


class PrecisionRecall(NamedTuple):
    """Means over queries when all images within a radius are retrieved."""

    precision: Tensor
    """(K + 1,) float64, for radius 0..K; a query with nothing in the radius counts 0."""
    recall: Tensor
    """(K + 1,) float64; a query without a relevant image counts 0."""


def mean_average_precision(
    query_codes: Tensor,
    query_labels: Tensor,
    database_codes: Tensor,
    database_labels: Tensor,
    *,
    at: int | None = None,
    ties: Ties = "expected",
    num_bits: int | None = None,
    denominator: Denominator = "min",
) -> float:
    """mAP in [0, 1]: the mean of `average_precisions`, with the same arguments."""
    scores = average_precisions(
        query_codes,
        query_labels,
        database_codes,
        database_labels,
        at=at,
        ties=ties,
        num_bits=num_bits,
        denominator=denominator,
    )
    return float(scores.mean())


def average_precisions(
    query_codes: Tensor,
    query_labels: Tensor,
    database_codes: Tensor,
    database_labels: Tensor,
    *,
    at: int | None = None,
    ties: Ties = "expected",
    num_bits: int | None = None,
    denominator: Denominator = "min",
) -> Tensor:
    """AP (Q,) float64 in [0, 1] of each query; one without a relevant image counts 0.

    Codes (Q, K), (D, K) are floating or signed numbers, whose signs count (0 as positive), or,
    with `num_bits`, what `pack` gives. Labels (Q,), (D,) are integers; an image of the same label
    is relevant. Ties: "expected" is the mean over every order of the images at one distance,
    "optimistic" and "pessimistic" have the relevant first and last, "index" keeps the order of
    the database. `at` and `denominator` as of `tied_average_precisions`: AP@R divides by
    min(relevant, R), or by the relevant "retrieved". Raises ValueError for anything else.
    """
    check_words(ties, denominator, at, get_args(Ties))
    given = (query_codes, query_labels, database_codes, database_labels)
    if ties == "index":
        return index_average_precisions(checked(*given, num_bits), at=at, denominator=denominator)
    counted = histograms(*given, num_bits=num_bits)
    return tied_average_precisions(counted, at=at, ties=ties, denominator=denominator)


def queries_without_relevant(histograms: Histograms) -> int:
    """How many queries have no relevant image in the database; each counts 0 in every mean."""
    return int((histograms.hits.sum(1) == 0).sum())


def precision_at(histograms: Histograms, k: int) -> Tensor:
    """Expected precision (Q,) float64 of the first k images, of all if the database has fewer.

    Raises ValueError for k < 1.
    """
    check_at_least_one("k", k)
    return expected_hits(histograms, k) / histograms.counts.sum(1).clamp(min=1, max=k)


def recall_at(histograms: Histograms, k: int) -> Tensor:
    """Expected share (Q,) float64 of the relevant images among the first k; 0 without any.

    Raises ValueError for k < 1.
    """
    check_at_least_one("k", k)
    return expected_hits(histograms, k) / histograms.hits.sum(1).clamp(min=1)


def precision_within(histograms: Histograms, radius: int) -> Tensor:
    """Precision (Q,) float64 of the images within a Hamming radius; 0 where there is none.

    Raises ValueError for a negative radius.
    """
    if radius < 0:
        raise ValueError(f"radius must be at least 0, but is {radius}")
    counts, hits = (table[:, : radius + 1].sum(1) for table in histograms)
    return hits.double() / counts.clamp(min=1)


def precision_recall_curve(histograms: Histograms) -> PrecisionRecall:
    """Mean precision and recall over queries as the radius grows from 0 to K."""
    counts, hits = (table.cumsum(1) for table in histograms)
    precision = hits.double() / counts.clamp(min=1)
    recall = hits.double() / hits[:, -1:].clamp(min=1)
    return PrecisionRecall(precision.mean(0), recall.mean(0))


def class_average_precisions(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The labels (C,) that occur, in order, and the mean score (C,) float64 of their queries.

    `scores` (Q,) are `average_precisions` or any other value a query; `labels` (Q,) the queries'.
    """
    if scores.ndim != 1 or labels.shape != scores.shape or len(scores) == 0:
        raise ValueError(
            f"needs a score and a label for each query, but got {tuple(scores.shape)} scores and"
            f" {tuple(labels.shape)} labels"
        )
    classes, members = labels.unique(return_inverse=True)
    sums = torch.zeros(len(classes), dtype=torch.float64, device=scores.device)
    return classes, sums.index_add_(0, members, scores.double()) / members.bincount()
