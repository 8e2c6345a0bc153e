"""Paperbirds, the generated data set: drawn on first use, then read in CUB-200-2011's layout."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt, ValidationInfo, field_validator

from concepthash import paperbirds
from concepthash.data.folders import cache_folder, locked
from concepthash.data.image_set import ImageSet
from concepthash.data.readers import cub
from concepthash.data.readers.base import Dataset


class Paperbirds(Dataset):
    """Drawings of birds, generated on first use."""

    title: ClassVar[str] = "paperbirds"

    name: Literal["paperbirds"] = "paperbirds"
    root: Path | None = None
    """Where it is written; by default in the user's cache folder."""
    species: Annotated[int, Field(ge=2, le=1600)] = 40
    families: Annotated[int, Field(ge=1, le=12)] = 8
    train_images: Annotated[int, Field(ge=1, le=1000)] = 20
    """Images of each species for training and database."""
    test_images: Annotated[int, Field(ge=1, le=1000)] = 10
    """Images of each species for queries."""
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

    def title_and_settings(self) -> str:
        return (
            f"{self.title} ({self.species} species in {self.families} families,"
            f" {self.train_images} training and {self.test_images} test images each,"
            f" {self.size} px, {self.difficulty})"
        )

    def needs(self) -> list[Path]:
        return []

    def folder(self) -> Path:
        """Where the images are, or will be once they are drawn."""
        if self.root is not None:
            return self.root
        key = json.dumps([paperbirds.PAPERBIRDS_VERSION, asdict(self._settings())])
        return cache_folder() / f"paperbirds-{hashlib.sha256(key.encode()).hexdigest()[:12]}"

    def read(self) -> ImageSet:
        """All images, drawn first if they are not there: by one process, while others wait.

        Raises InputError if the folder holds anything else.
        """
        root = self.folder()
        with locked(root):
            paperbirds.write(self._settings(), root)
        return cub.read(root)

    def _settings(self) -> paperbirds.PaperbirdsSettings:
        fields = self.model_dump(exclude={"name", "root", "num_classes"})
        return paperbirds.PaperbirdsSettings(**fields)
