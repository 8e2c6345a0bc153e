"""From a protocol to the images that train, choose, ask and are searched."""

from __future__ import annotations

from concepthash.data.image_set import ImageSet
from concepthash.data.split import Learned, Split, cross_split, paper_split, unseen_split
from concepthash.spec import TrialSpec


def build_split(spec: TrialSpec, images: ImageSet, seed: int) -> Split:
    """The trial's split. Raises InputError if the data set does not have what it takes."""
    learned = Learned(spec.validation_share, spec.images_per_class, seed)
    if spec.protocol == "cross-split":
        return cross_split(images.labels, learned, folds=spec.folds)
    if spec.protocol == "unseen":
        return unseen_split(
            images.labels,
            images.is_train,
            learned,
            share=spec.unseen_share,
            search_all=spec.unseen_search == "all",
        )
    return paper_split(images.labels, images.is_train, learned)
