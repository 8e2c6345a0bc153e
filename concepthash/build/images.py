"""From a data set's specification to its images."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from concepthash.data import cub, manifest, paperbirds
from concepthash.data.cache import cache_folder
from concepthash.data.image_set import ImageSet
from concepthash.errors import InputError
from concepthash.spec import CubSpec, DatasetSpec, ManifestSpec, PaperbirdsSpec


def dataset_root(dataset: DatasetSpec) -> Path:
    """Where the data set lies; a generated one without a root in the user's cache folder."""
    if isinstance(dataset, PaperbirdsSpec) and dataset.root is None:
        settings = _settings(dataset)
        key = json.dumps([paperbirds.PAPERBIRDS_VERSION, repr(settings)])
        return cache_folder() / f"paperbirds-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    assert dataset.root is not None  # only paperbirds may lack one
    return dataset.root


def open_images(dataset: DatasetSpec) -> ImageSet:
    """The image set, drawn first if it is generated and not there. Raises InputError."""
    root = dataset_root(dataset)
    if isinstance(dataset, PaperbirdsSpec):
        paperbirds.write(_settings(dataset), root)  # does nothing where this set lies already
        images = replace(cub.read(root), name="paperbirds")
    elif not root.exists():
        raise InputError(f"dataset.root: {root}: no such folder; give where {dataset.name} lies")
    elif isinstance(dataset, CubSpec):
        images = cub.read(root)
    elif isinstance(dataset, ManifestSpec):
        images = replace(manifest.read(root), name=dataset.title)
    return _first_classes(images, dataset.num_classes)


def _settings(dataset: PaperbirdsSpec) -> paperbirds.Paperbirds:
    return paperbirds.Paperbirds(
        **dataset.model_dump(exclude={"name", "root", "num_classes"}),
    )


def _first_classes(images: ImageSet, num_classes: int | None) -> ImageSet:
    if num_classes is None:
        return images
    if num_classes > len(images.class_names):
        raise InputError(
            f"dataset.num_classes: {num_classes} is more than the {len(images.class_names)}"
            f" classes of {images.name}"
        )
    keep = images.labels < num_classes
    return replace(
        images,
        paths=tuple(path for path, kept in zip(images.paths, keep, strict=True) if kept),
        labels=images.labels[keep],
        is_train=images.is_train[keep],
        class_names=images.class_names[:num_classes],
        families=images.families[:num_classes],
        parts=None if images.parts is None else images.parts[keep],
    )
