"""Names of classes as a person, and a text encoder, reads them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence


def readable(name: str) -> str:
    """`bird_pepper` as "bird pepper": underscores are spaces, and no space is double."""
    return " ".join(name.replace("_", " ").split())


def natural_order(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """A key that sorts 2 before 10, by the numbers in names; the same on every machine.

    Some file systems store an accent as a character of its own, which makes no difference here.
    """
    name = unicodedata.normalize("NFC", name)
    key: list[str | tuple[int, str]] = []
    for number, piece in enumerate(re.split("([0-9]+)", name.casefold())):
        digits = piece.lstrip("0")
        key.append((len(digits), digits) if number % 2 else piece)  # text and digits in turn
    return key, name


def told_apart(names: Sequence[str], details: Sequence[str]) -> tuple[str, ...]:
    """The names, those that several classes share with their detail: "Rail (Rallus elegans)"."""
    shared = Counter(names)
    return tuple(
        f"{name} ({detail})" if shared[name] > 1 else name
        for name, detail in zip(names, details, strict=True)
    )


def shared_names(names: Sequence[str], ids: Sequence[str], what: str = "classes") -> list[str]:
    """A line for each class with the name of an earlier one: a name is all that reports show."""
    first: dict[str, str] = {}
    wrong = []
    for name, number in zip(names, ids, strict=True):
        if name in first:
            wrong.append(
                f"{what} {first[name]} and {number} both have the name {name!r}; each class needs"
                " a name of its own"
            )
        first.setdefault(name, number)
    return wrong
