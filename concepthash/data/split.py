"""Protocols: which images are for training and validation, the queries, and the database."""

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
    """Positions of images in the image set, int64."""

    classes: Indices
    """Labels of the training classes, ascending."""
    training: Indices
    validation: Indices
    """Images of the training classes that are held out of training."""
    database: Indices
    queries: Indices


class TrainingImages(NamedTuple):
    """Which of the images that a protocol allows for training a trial does train on."""

    validation_share: float
    """Share of each class that is held out for validation, 0 to 0.5."""
    images_per_class: int | None
    """Train on at most so many of the others of each class; None means all."""
    seed: int

    def select(self, labels: np.ndarray, candidates: Indices) -> tuple[Indices, Indices]:
        """Training and validation images among `candidates`, given all labels (N,)."""
        held_out = validation_split(labels[candidates], self.validation_share, self.seed)
        training = candidates[~held_out]
        if self.images_per_class is not None:
            order = np.random.default_rng([self.seed, 0x5407]).permutation(training)
            chosen = [
                order[labels[order] == label][: self.images_per_class]
                for label in np.unique(labels[order])
            ]
            training = np.sort(np.concatenate(chosen))
        return training, candidates[held_out]


def paper_split(labels: np.ndarray, is_train: np.ndarray, images: TrainingImages) -> Split:
    """Queries are the test images, the database is the training set with its validation images.

    Here and below, `labels` and `is_train` are (N,), of all images.
    """
    database = np.flatnonzero(is_train)
    training, validation = images.select(labels, database)
    return Split(np.unique(labels), training, validation, database, np.flatnonzero(~is_train))


def unseen_split(
    labels: np.ndarray,
    is_train: np.ndarray,
    images: TrainingImages,
    *,
    share: float,
    search_all: bool,
) -> Split:
    """About `share` of the classes, drawn by seed, are unseen: left out of training.

    Queries are the test images of the unseen classes, the database is their training images; with
    `search_all` both are of all classes. Raises InputError if fewer than two classes would be
    unseen or fewer than two trained, or if there would be no queries or no database.
    """
    classes = np.unique(labels)
    count = round(share * len(classes))
    if not 2 <= count <= len(classes) - 2:
        raise InputError(
            f"protocol.share: {share:g} of {len(classes)} classes is {count}; at least 2 classes"
            " must be unseen and 2 trained"
        )
    drawn = np.random.default_rng([images.seed, 0xC1A5]).permutation(classes)
    seen = np.sort(drawn[count:])
    is_seen = np.isin(labels, seen)
    training, validation = images.select(labels, np.flatnonzero(is_train & is_seen))
    evaluated = np.full(len(labels), True) if search_all else ~is_seen
    database, queries = np.flatnonzero(is_train & evaluated), np.flatnonzero(~is_train & evaluated)
    if not len(database) or not len(queries):
        raise InputError(
            f"protocol.share: the {count} unseen classes of seed {images.seed} have {len(queries)}"
            f" test images and {len(database)} training images; at least 1 of each is needed"
        )
    return Split(seen, training, validation, database, queries)


def cross_split(labels: np.ndarray, images: TrainingImages, *, folds: int) -> Split:
    """Training and test images together are split into folds; queries are fold seed mod `folds`.

    Stratified: the images of a class go to the folds in turn. The folds are the same for every
    seed, so that seeds 0 to folds - 1 are one cross-validation. Raises InputError if a class has
    fewer images than there are folds.
    """
    fold = np.empty(len(labels), dtype=np.int64)
    rng = np.random.default_rng(0xF01D)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) < folds:
            raise InputError(
                f"protocol.folds: class {label} has {len(members)} images, too few for {folds}"
                f" folds; give at most {len(members)}, or another protocol"
            )
        fold[members] = (np.arange(len(members)) + label) % folds
    return paper_split(labels, fold != images.seed % folds, images)


def validation_split(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Mask (N,) of the images held out for validation, given the labels (N,) of training images.

    Stratified: of each class with at least 4 images about `share` of them, at least one and at
    most half; of smaller classes none. Drawn by `seed`.
    """
    held_out = np.zeros(len(labels), dtype=bool)
    if share == 0:
        return held_out
    rng = np.random.default_rng([seed, 0x5EED])
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= _MIN_IMAGES:
            # A share of 0.5 would round the half of 7 images up to 4.
            count = max(1, min(round(share * len(members)), len(members) // 2))
            held_out[rng.choice(members, size=count, replace=False)] = True
    return held_out
