"""The validation part: training images held out to choose by, never to test."""

from __future__ import annotations

import numpy as np

_MIN_IMAGES = 4


def validation_part(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Mask (N,) of training images held out, given their labels (N,).

    Stratified: of each class with at least 4 images about `share` of them, at least one; of
    smaller classes none. The same seed gives the same part.
    """
    held_out = np.zeros(len(labels), dtype=bool)
    if share == 0:
        return held_out
    rng = np.random.default_rng([seed, 0x5EED])
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= _MIN_IMAGES:
            count = max(1, round(share * len(members)))
            held_out[rng.choice(members, size=count, replace=False)] = True
    return held_out
