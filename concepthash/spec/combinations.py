"""Combinations of valid values that make no valid trial, or that change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any

from pydantic import ValidationError

from concepthash.spec.changes import (
    applicable,
    changed,
    changed_data,
    effective,
    parse_trial,
    reason_without_effect,
    value_of,
)
from concepthash.spec.document import KeyPath, dotted
from concepthash.spec.messages import Problem, problem
from concepthash.spec.methods import TrialSpec
from concepthash.spec.study import StudySpec
from concepthash.spec.tables import ClaimsTable, SearchTable

MAX_COMBINATIONS = 4096
"""Of a search's values that are tried out when its file is read."""


def impossible_combinations(spec: StudySpec) -> Iterator[Problem]:
    """Combinations of valid values that make no valid trial, or change nothing."""
    for index, table in enumerate(spec.tables):
        here: KeyPath = ("tables", index)
        for cell in table.cells():
            places = {field: (*here, *place) for field, place in cell.places.items()}
            name = f"cell ({cell.row}, {cell.column})"
            yield from _cell_problems(
                spec.baseline, cell.changes, (*here, *cell.place), places, name
            )
    yield from _equal_sides(spec)
    yield from _impossible_proposals(spec)


def _cell_problems(
    baseline: TrialSpec,
    changes: Mapping[str, Any],
    place: KeyPath,
    places: Mapping[str, KeyPath],
    name: str,
) -> Iterator[Problem]:
    data: Mapping[str, Any] = {}
    try:
        data = changed_data(baseline, changes)
        trial = parse_trial(data)
    except ValidationError as error:
        for details in error.errors():
            path, text = problem(details, data, ("baseline",))
            field = dotted(path)
            # The longest change that sets this field, or a part of it.
            keys = [key for key in changes if f"{field}.".startswith(f"{key}.")]
            key = max(keys, key=len, default=None)
            yield (*places[key], key) if key else place, f"{name}: {field}: {text}"
        return
    for change, value in changes.items():
        fields = [f"{change}.{key}" for key in value] if isinstance(value, Mapping) else [change]
        for field in fields:
            why = reason_without_effect(trial, field)
            if why is not None and _differs(baseline, trial, field):
                yield (*places[change], change), f"{name}: {field} has no effect with {why}"


def _differs(baseline: TrialSpec, trial: TrialSpec, field: str) -> bool:
    try:
        return bool(value_of(baseline, field) != value_of(trial, field))
    except AttributeError:  # the baseline is of another kind, without this field
        return True


def _equal_sides(spec: StudySpec) -> Iterator[Problem]:
    """Claims whose two sides are one configuration."""
    for index, table in enumerate(spec.tables):
        for c, claim in enumerate(table.claims if isinstance(table, ClaimsTable) else ()):
            try:
                better, than = (
                    effective(changed(spec.baseline, side)) for side in claim.sides().values()
                )
            except ValidationError:
                continue  # reported already
            if better == than:
                path: KeyPath = ("tables", index, "claims", c)
                yield path, "better and than must differ, but both make the same trials"


def _impossible_proposals(spec: StudySpec) -> Iterator[Problem]:
    """Values of a search that make no valid trial together."""
    for index, table in enumerate(spec.tables):
        if not isinstance(table, SearchTable):
            continue
        if spec.baseline.validation_share == 0:
            yield (
                ("baseline", "validation_share"),
                f"must be above 0 for the search {table.name}, which chooses by val/map",
            )
        space = table.search.space
        where: KeyPath = ("tables", index, "search", "space")
        combinations = product(*(dimension.examples() for dimension in space.values()))
        used: set[str] = set()
        for values in islice(combinations, MAX_COMBINATIONS):
            proposal = dict(zip(space, values, strict=True))
            try:
                used |= applicable(spec.baseline, proposal).keys()
            except ValidationError:
                used |= proposal.keys()
                places = dict.fromkeys(space, where)
                name = f"combination {proposal}"
                yield from _cell_problems(spec.baseline, proposal, where, places, name)
        if next(combinations, None) is None:  # all of them were tried
            for field in sorted(space.keys() - used):
                yield (*where, field), "has no effect in any combination of the search"
