"""What every data set has: its fields in a study file, its title, and its images."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from concepthash.data.image_set import ImageSet
from concepthash.errors import InputError
from concepthash.spec_base import Spec


class Dataset(Spec):
    """A data set that a study file can name. A subclass adds its fields and reads its images."""

    title: ClassVar[str]
    """What tables call the data set: a constant, or a field where users name their data."""

    num_classes: Annotated[int, Field(ge=2)] | None = None
    """Use only the first so many classes, by label."""

    def describe(self) -> str:
        """The report's words for the data set: its title, settings and number of classes."""
        words = self.title_and_settings()
        return words if self.num_classes is None else f"{words}, first {self.num_classes} classes"

    def title_and_settings(self) -> str:
        """The title, and in brackets the settings that a reader of the report should know."""
        return self.title

    @abstractmethod
    def needs(self) -> list[Path]:
        """Folders and files that must exist before a study runs; none for a generated set."""

    @abstractmethod
    def read(self) -> ImageSet:
        """All images, of all classes. Raises InputError with a line for each mistake."""


class InFolder(Dataset):
    """A data set that is read from a folder or file of the user's."""

    published: ClassVar[str] = ""
    """Classes and images as published, for a data set that has a publisher."""

    root: Path
    """Where it lies."""

    def title_and_settings(self) -> str:
        return f"{self.title} ({self.published})" if self.published else self.title

    def needs(self) -> list[Path]:
        return [self.root]


def open_images(dataset: Dataset) -> ImageSet:
    """The images of the first `num_classes` classes, or of all.

    Raises InputError if a file is missing or wrong, or if there are fewer classes.
    """
    missing = [path for path in dataset.needs() if not path.exists()]
    if missing:
        hint = f"give the path of {dataset.title}"
        raise InputError(*(f"dataset.root: {p}: no such file or folder; {hint}" for p in missing))
    images = replace(dataset.read(), name=dataset.title)
    count = dataset.num_classes
    if count is None:
        return images
    if count > len(images.class_names):
        raise InputError(
            f"dataset.num_classes: {count} is more than the {len(images.class_names)} classes of"
            f" {images.name}"
        )
    return images.first_classes(count)
