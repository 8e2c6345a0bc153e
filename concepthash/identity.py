"""What makes a trial the trial it is: the settings that decide its numbers, under stable names.

Two trials of equal identity are one trial, trained once, in whatever study they stand. A name
here outlives the layout of study files: a field that moves keeps its name by an entry in `MOVED`,
and a field that is added leaves old trials as they are by an entry in `ADDED`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from concepthash.data.readers import DatasetSpec
from concepthash.spec import TrialSpec, effective, is_path

DIGEST_FORMAT = 2
"""Bumped only where a computation changes so that old numbers no longer hold."""

MOVED: Mapping[str, str] = {}
"""From the dotted name of a field today to the name that it had in earlier identities."""

ADDED: Mapping[str, Any] = {}
"""By stable name, the value of a later field that means what trials did before it existed."""

NOT_COUNTED = ("dataset.root",)
"""Fields that say where something is stored, and have no influence on the numbers."""


def identity(
    dataset: DatasetSpec, spec: TrialSpec, seed: int, contents: Mapping[str, str]
) -> dict[str, Any]:
    """Every setting that counts, by stable name, defaults included.

    A field without effect counts with its default, so that trials that differ in it alone are
    one. A file counts by what it holds, its hash in `contents` by path; one that is not there
    counts by its name.
    """
    settings = {"dataset": dataset.model_dump(mode="json"), "seed": seed}
    settings |= effective(spec).model_dump(mode="json")
    counted: dict[str, Any] = {"format": DIGEST_FORMAT}
    for field, value in leaves(settings):
        name = MOVED.get(field, field)
        if field in NOT_COUNTED or (name in ADDED and ADDED[name] == value):
            continue
        if is_path(field, value):
            value = contents.get(value, Path(value).name)
        counted[name] = value
    return counted


def digest(counted: Mapping[str, Any]) -> str:
    """12 hexadecimal digits of an identity."""
    canonical = json.dumps(counted, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as dotted names with their values."""
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
