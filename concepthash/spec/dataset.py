"""The data sets that a study can name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator

from concepthash.spec.base import Spec


class _DatasetSpec(Spec):
    num_classes: Annotated[int, Field(ge=2)] | None = None
    """Use only the first so many classes, by label."""


class PaperbirdsSpec(_DatasetSpec):
    """The embedded data set of drawn birds, generated once."""

    name: Literal["paperbirds"]
    root: Path | None = None
    """Where it is written; by default in the user's cache folder."""
    species: Annotated[int, Field(ge=2, le=1600)] = 40
    families: Annotated[int, Field(ge=1, le=12)] = 8
    train_images: PositiveInt = 20
    """Images a species for training and database."""
    test_images: PositiveInt = 10
    """Images a species for queries."""
    size: Annotated[int, Field(ge=32, le=512)] = 64
    """Side of the images in pixels."""
    seed: NonNegativeInt = 0
    difficulty: Literal["easy", "normal", "hard"] = "normal"

    @field_validator("families")
    @classmethod
    def _have_species_each(cls, families: int, info: ValidationInfo) -> int:
        species = info.data.get("species")
        if species is not None and species < families:
            raise ValueError(
                "`families <= species` must hold (a family has a species at least), but got"
                f" families={families}, species={species}"
            )
        return families


class CubSpec(_DatasetSpec):
    """A folder in the layout of CUB-200-2011."""

    name: Literal["cub"]
    root: Path


class ManifestSpec(_DatasetSpec):
    """A CSV of images: path, label, class_name, family, style, split (train or query)."""

    name: Literal["manifest"]
    root: Path
    """The folder of manifest.csv, or the path of the CSV."""
    title: str = "manifest"
    """What tables call this data set; part of a trial's identity, since the path is not."""


DatasetSpec = Annotated[PaperbirdsSpec | CubSpec | ManifestSpec, Field(discriminator="name")]
