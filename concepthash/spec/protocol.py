"""Protocols: which images train the model, which are the queries, and which are the database."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from concepthash.data.split import Split, TrainingImages, cross_split, paper_split, unseen_split
from concepthash.spec.shortform import ShortForm
from concepthash.spec_base import Spec

LEAK = "LEAKS: the test queries chose the epoch"


class _Protocol(Spec):
    """The test images are the queries, the training images the database."""

    test_chooses_epoch: ClassVar[bool] = False
    """Whether the model is tested every few epochs, and the best of these is what counts."""

    def split(self, labels: np.ndarray, is_train: np.ndarray, images: TrainingImages) -> Split:
        """The split of images with labels (N,) of which `is_train` (N,) are for training.

        Raises InputError if the data set does not have what the protocol takes.
        """
        return paper_split(labels, is_train, images)

    def queries_and_database(self) -> str:
        return "queries = test images, database = training images"

    def when_tested(self) -> str:
        return "last epoch, test set evaluated once"


class Paper(_Protocol):
    """Test images search the training images, once, after the last epoch."""

    name: Literal["paper"] = "paper"


class PublishedCode(_Protocol):
    """The best of the epochs tested, as in the released code: the test queries choose the epoch."""

    test_chooses_epoch: ClassVar[bool] = True

    name: Literal["published-code"] = "published-code"

    def when_tested(self) -> str:
        return f"best of the epochs tested on the test queries, as in the released code; {LEAK}"


class Unseen(_Protocol):
    """Test images of classes that training never saw search the training images of these."""

    name: Literal["unseen"] = "unseen"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of the classes, drawn by seed, that is kept out of training."""
    search: Literal["unseen", "all"] = "unseen"
    """Whether queries and database are of the unseen classes alone, or of all."""

    def split(self, labels: np.ndarray, is_train: np.ndarray, images: TrainingImages) -> Split:
        return unseen_split(
            labels, is_train, images, share=self.share, search_all=self.search == "all"
        )

    def queries_and_database(self) -> str:
        which = "all classes" if self.search == "all" else "these unseen classes alone"
        return (
            f"{100 * self.share:g} % of the classes, by seed, kept out of training;"
            f" queries = test images, database = training images of {which}"
        )


class CrossSplit(_Protocol):
    """Training and test images pooled and split anew; the queries of seed s are fold s."""

    name: Literal["cross-split"] = "cross-split"
    folds: Annotated[int, Field(ge=2, le=1_000_000)] = 5
    """The study's seeds 0 to folds - 1 are one cross-validation."""

    def split(self, labels: np.ndarray, is_train: np.ndarray, images: TrainingImages) -> Split:
        return cross_split(labels, images, folds=self.folds)

    def queries_and_database(self) -> str:
        return (
            f"training and test images pooled and split anew into {self.folds} folds; queries ="
            " the fold of the seed, database = the others"
        )


ProtocolSpec = Annotated[
    Paper | PublishedCode | Unseen | CrossSplit,
    Field(discriminator="name"),
    ShortForm("name", default="paper"),
]
