"""Which images train, which choose, which ask and which are searched: the protocols."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from concepthash.errors import InputError

_MIN_IMAGES = 4

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Indices into the image set."""

    classes: Indices
    """Labels of the classes that are trained, ascending."""
    training: Indices
    validation: Indices
    """Training images of these classes that are held out to choose by."""
    database: Indices
    queries: Indices


class Learned(NamedTuple):
    """What a trial learns of the images that it may learn from."""

    validation_share: float
    """Held out of each class to choose by."""
    images_per_class: int | None
    """Of the rest, at most so many train; None means all."""
    seed: int

    def parts(self, labels: np.ndarray, candidates: Indices) -> tuple[Indices, Indices]:
        """Training and validation images among the candidates."""
        held_out = validation_part(labels[candidates], self.validation_share, self.seed)
        training = candidates[~held_out]
        if self.images_per_class is not None:
            order = np.random.default_rng([self.seed, 0x5407]).permutation(training)
            chosen = [
                order[labels[order] == label][: self.images_per_class]
                for label in np.unique(labels[order])
            ]
            training = np.sort(np.concatenate(chosen))
        return training, candidates[held_out]


def paper_split(labels: np.ndarray, is_train: np.ndarray, learned: Learned) -> Split:
    """Queries are the test images; the database is the training set, validation part included."""
    database = np.flatnonzero(is_train)
    training, validation = learned.parts(labels, database)
    return Split(np.unique(labels), training, validation, database, np.flatnonzero(~is_train))


def unseen_split(
    labels: np.ndarray, is_train: np.ndarray, learned: Learned, *, share: float, search_all: bool
) -> Split:
    """About `share` of the classes, drawn by seed, take no part in training.

    Their test images search their training images; with `search_all` all classes' test images
    search all training images. Raises InputError if fewer than two classes would be left on
    either side.
    """
    classes = np.unique(labels)
    count = round(share * len(classes))
    if not 2 <= count <= len(classes) - 2:
        raise InputError(
            f"unseen_share: {share:g} of {len(classes)} classes is {count}; at least 2 must be"
            " unseen and 2 trained"
        )
    drawn = np.random.default_rng([learned.seed, 0xC1A5]).permutation(classes)
    seen = np.sort(drawn[count:])
    is_seen = np.isin(labels, seen)
    training, validation = learned.parts(labels, np.flatnonzero(is_train & is_seen))
    searched = np.full(len(labels), True) if search_all else ~is_seen
    database, queries = np.flatnonzero(is_train & searched), np.flatnonzero(~is_train & searched)
    if not len(database) or not len(queries):
        raise InputError(
            f"unseen_share: of the {count} classes that seed {learned.seed} leaves unseen,"
            f" {len(queries)} images ask and {len(database)} are searched; both sides need some"
        )
    return Split(seen, training, validation, database, queries)


def cross_split(labels: np.ndarray, learned: Learned, *, folds: int) -> Split:
    """Training and test images are pooled and split anew: seed s asks with fold s mod `folds`.

    Stratified: a class's images are dealt to the folds in turn, in an order that all seeds share,
    so that the seeds 0 to folds - 1 are one cross-validation. Raises InputError if a class has
    fewer images than there are folds.
    """
    fold = np.empty(len(labels), dtype=np.int64)
    rng = np.random.default_rng(0xF01D)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) < folds:
            raise InputError(
                f"folds: class {label} has {len(members)} images, too few for {folds} folds;"
                f" give at most {len(members)}, or another protocol"
            )
        fold[members] = (np.arange(len(members)) + label) % folds
    return paper_split(labels, fold != learned.seed % folds, learned)


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
