"""What torchvision's readers of data sets give: paths and labels of one split after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from concepthash.errors import InputError


class Splits(NamedTuple):
    paths: tuple[Path, ...]  # N, those for training first
    labels: NDArray[np.int64]  # (N,)
    is_train: NDArray[np.bool_]  # (N,)


def read_splits(
    reader: Callable[..., Any], root: Path, name: str, splits: tuple[str, str]
) -> Splits:
    """The training and the query split of a class of torchvision.datasets; no image is opened.

    `root` is the data set's own folder, which torchvision finds only by its `name`. Raises
    InputError if it has another, or if torchvision cannot read it.
    """
    if root.name != name:
        raise InputError(
            f"{root}: must have the publisher's name, {name}; rename it, or make a link of that"
            " name to it"
        )
    try:
        train, query = (list(_samples(reader(root.parent, s, loader=Path))) for s in splits)
    except (ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
        raise InputError(
            f"{root}: torchvision cannot read it ({type(error).__name__}: {error}); its files must"
            " be as published"
        ) from None
    samples = train + query
    return Splits(
        paths=tuple(path for path, _ in samples),
        labels=np.array([label for _, label in samples], np.int64),
        is_train=np.arange(len(samples)) < len(train),
    )


def _samples(dataset: Any) -> Iterator[tuple[Path, int]]:
    return (dataset[index] for index in range(len(dataset)))
