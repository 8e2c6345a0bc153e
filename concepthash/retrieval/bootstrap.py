"""Bootstrap confidence interval of a mean over queries, for other classes and other queries."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from concepthash.retrieval.inputs import check_at_least_one

_DRAWS = 2**20
"""Queries drawn at once: bounds memory."""


def bootstrap_interval(
    average_precisions: Tensor,
    labels: Tensor,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the mean of scores (Q,), whose queries have labels (Q,).

    Two stages (Davison & Hinkley, Bootstrap Methods, 1997, section 3.8): classes are drawn with
    replacement, then from each class drawn as many queries as it has, with replacement; the value
    of a resample is the mean over its queries. With a single class only queries are drawn. Equal
    arguments give equal intervals. Raises ValueError for scores that are
    not finite, a number of labels that differs from theirs, or a level outside (0, 1).
    """
    scores, classes = average_precisions.detach().cpu().double().numpy(), labels.cpu().numpy()
    if scores.ndim != 1 or classes.shape != scores.shape or len(scores) == 0:
        raise ValueError(
            f"needs a score and a label for each query, but got {scores.shape} scores and"
            f" {classes.shape} labels"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite, but hold NaN or infinity")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, as 0.95 does, but is {level}")
    check_at_least_one("resamples", resamples)

    scores = scores[np.argsort(classes, kind="stable")]
    _, sizes = np.unique(classes, return_counts=True)
    starts = np.cumsum(sizes) - sizes
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(sizes), size=(resamples, len(sizes)))
    means = np.empty(resamples)
    block = max(1, _DRAWS // len(scores))
    for first in range(0, resamples, block):
        some = drawn[first : first + block]
        sizes_drawn = sizes[some]
        each = np.repeat(some.ravel(), sizes_drawn.ravel())
        places = (generator.random(len(each)) * sizes[each]).astype(np.int64)
        totals = sizes_drawn.sum(axis=1)
        sums = np.add.reduceat(scores[starts[each] + places], np.cumsum(totals) - totals)
        means[first : first + block] = sums / totals
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
