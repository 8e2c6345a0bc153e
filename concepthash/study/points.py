"""The space of a search: its points, and the trials that they stand for.

A point gives each searched field a value, by dotted name. A field that the chosen member of a
union does not have, or that has no effect there, is not part of a point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain, islice, product
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from concepthash.plan import Trial
from concepthash.spec import SearchTable, changed, has_field, value_of
from concepthash.spec.changes import applicable
from concepthash.spec.search import Dimension

Values = Mapping[str, Any]
Space = Mapping[str, Dimension]

_ENUMERATED = 1000
"""A space of more combinations is not listed."""
_COMBINATIONS = 4096
"""So many combinations are looked through for points that cover a space."""


class Point(NamedTuple):
    """A point of a search, and its trial."""

    values: Values
    trial: Trial


def point_at(baseline: Trial, values: Values) -> Point | None:
    """The point with those of the values that have an effect; None if no such trial exists."""
    try:
        values = applicable(baseline.spec, values)
        spec = changed(baseline.spec, values)
    except ValidationError:
        return None
    return Point(values, baseline.with_spec(spec))


def every_point(baseline: Trial, space: Space) -> dict[str, Point] | None:
    """All points of a space by digest, in order; None if there are too many to list."""
    choices = [dimension.examples() for dimension in space.values()]
    listed = all(len(c) == d.size for c, d in zip(choices, space.values(), strict=True))
    if not listed or math.prod(map(len, choices)) > _ENUMERATED:
        return None
    points: dict[str, Point] = {}
    for values in product(*choices):
        if (point := point_at(baseline, dict(zip(space, values, strict=True)))) is not None:
            points.setdefault(point.trial.digest, point)
    return points


def covering_points(baseline: Trial, space: Space) -> list[Point]:
    """Points in which each choice, and each end of a range, occurs at least once if it can."""
    choices = [dimension.choices or (dimension.low, dimension.high) for dimension in space.values()]
    wanted = {(name, repr(v)) for name, values in zip(space, choices, strict=True) for v in values}
    # The first values of all, then the second ones, ...: most values can be had together.
    together = ([c[i % len(c)] for c in choices] for i in range(max(map(len, choices))))
    points = []
    for values in chain(together, islice(product(*choices), _COMBINATIONS)):
        if (point := point_at(baseline, dict(zip(space, values, strict=True)))) is None:
            continue
        new = {(name, repr(value)) for name, value in point.values.items()} & wanted
        if new:
            wanted -= new
            points.append(point)
        if not wanted:
            break
    return points


def point_of(baseline: Trial, space: Space, trial: Trial) -> Point | None:
    """The point of a space that stands for a trial; None if the trial lies outside it."""
    if trial.dataset != baseline.dataset or trial.seed != baseline.seed:
        return None
    candidates = [list(_values_in(trial, name, space[name])) for name in space]
    for values in product(*candidates):
        chosen = {n: v for n, v in zip(space, values, strict=True) if v is not _ABSENT}
        point = point_at(baseline, chosen)
        if point is not None and point.trial.digest == trial.digest:
            return point
    return None


def contains(space: Space, values: Values) -> bool:
    """Whether every value lies where the space looks for its field."""
    return all(name in space and _within(space[name], value) for name, value in values.items())


def most_epochs(baseline: Trial, table: SearchTable) -> int:
    """How many epochs the longest trial of a search may train."""
    if (dimension := table.search.space.get("epochs")) is None:
        return baseline.spec.epochs
    return max(int(value) for value in dimension.examples())


_ABSENT = object()


def _values_in(trial: Trial, name: str, dimension: Dimension) -> Iterator[Any]:
    """What a dimension may have set to yield the value that a trial has."""
    if not has_field(trial.spec, name):
        yield _ABSENT
        return
    value = value_of(trial.spec, name)
    if value is None or isinstance(value, BaseModel):  # which a choice may spell in several ways
        yield from dimension.choices or ()
    elif dimension.choices is not None:
        yield from (choice for choice in dimension.choices if choice == value)
    elif _within(dimension, value):
        yield value


def _within(dimension: Dimension, value: Any) -> bool:
    if dimension.choices is not None:
        return value in dimension.choices
    low, high = dimension.low, dimension.high
    if not isinstance(value, int | float) or low is None or high is None:
        return False
    if isinstance(low, int) and isinstance(high, int) and value != int(value):
        return False
    return low <= value <= high
