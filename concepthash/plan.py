"""From a study to the distinct trials it needs: a pure function, no torch, no disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from concepthash.errors import InputError
from concepthash.spec import (
    ClaimsTable,
    DatasetSpec,
    GridTable,
    SearchTable,
    StudySpec,
    TrialSpec,
    changed,
    label_of,
)
from concepthash.spec.base import Spec
from concepthash.spec.trial import is_path

DIGEST_FORMAT = 1
"""Bumped when a default or a computation changes so that old numbers no longer hold."""


class Trial(Spec):
    """One fully resolved configuration, trained once."""

    dataset: DatasetSpec
    spec: TrialSpec
    seed: int

    @cached_property
    def digest(self) -> str:
        """12 hex digits of what decides the numbers.

        Only fields that differ from their default enter, so that a field added later leaves old
        digests as they are. Of a path only the file's name enters; the data set's root not at all.
        """
        content = {
            "format": DIGEST_FORMAT,
            "dataset": self.dataset.model_dump(
                mode="json", exclude_defaults=True, exclude={"root"}
            ),
            "trial": _names_for_paths(self.spec.model_dump(mode="json", exclude_defaults=True)),
            "seed": self.seed,
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def files(self) -> list[Path]:
        """The files that the trial reads beside its data set."""
        return list(_paths(self.spec.model_dump(mode="json")))

    def parameters(self) -> dict[str, Any]:
        """Every field by its dotted name, with its value."""
        nested = {
            "dataset": self.dataset.model_dump(mode="json"),
            "seed": self.seed,
        }
        return _flat(self.spec.model_dump(mode="json") | nested)


@dataclass(frozen=True)
class Cell:
    """One row and column of a table; several trials, one a seed."""

    row: str
    """Of a claim: its text."""
    column: str
    """Of a claim: `better` or `than`."""
    metric: str
    trials: tuple[Trial, ...]
    label: str
    """The configuration's name, where no table stands around it."""


@dataclass(frozen=True)
class TablePlan:
    table: GridTable | ClaimsTable
    cells: tuple[Cell, ...]

    def cell(self, row: str, column: str) -> Cell:
        return next(cell for cell in self.cells if (cell.row, cell.column) == (row, column))


@dataclass(frozen=True)
class Plan:
    """What a study trains: the cells of grids and claims in order, and the searches beside them."""

    study: StudySpec
    tables: tuple[TablePlan, ...]
    searches: tuple[SearchTable, ...]

    @cached_property
    def trials(self) -> dict[str, Trial]:
        """The distinct trials of all cells by digest, in the order of first appearance."""
        every = (trial for table in self.tables for cell in table.cells for trial in cell.trials)
        return {trial.digest: trial for trial in every}

    @property
    def baseline(self) -> Trial:
        """The baseline with the study's first seed: what a search starts from."""
        return seeded(self.study, {})[0]


def make_plan(study: StudySpec) -> Plan:
    """Resolves every cell. Raises InputError where two trials differ in a path alone."""
    tables = tuple(
        TablePlan(table, tuple(_cells(study, table)))
        for table in study.tables
        if not isinstance(table, SearchTable)
    )
    searches = tuple(table for table in study.tables if isinstance(table, SearchTable))
    plan = Plan(study, tables, searches)
    _refuse_equal_names(plan)
    return plan


def _cells(study: StudySpec, table: GridTable | ClaimsTable) -> Iterator[Cell]:
    if isinstance(table, ClaimsTable):
        for claim in table.claims:
            for side, changes in claim.sides().items():
                trials = seeded(study, changes)
                yield Cell(claim.claim, side, claim.metric, trials, label_of(changes))
        return
    for row in table.rows:
        for column in table.columns:
            trials = seeded(study, row.changes | column.changes)
            yield Cell(row.label, column.label, table.metric, trials, row.label)


def seeded(study: StudySpec, changes: dict[str, Any]) -> tuple[Trial, ...]:
    """The trials of one combination, one a seed."""
    spec = changed(study.baseline, changes)
    return tuple(Trial(dataset=study.dataset, spec=spec, seed=seed) for seed in study.seeds)


def find_trial(plan: Plan, digest: str) -> Trial:
    """The trial whose digest begins so. Raises InputError unless it is exactly one."""
    found = [trial for known, trial in plan.trials.items() if known.startswith(digest)]
    if len(found) != 1:
        what = "no trial" if not found else f"{len(found)} trials"
        raise InputError(
            f"--id {digest}: {what} of {plan.study.name} begin so; see `plan` with the same --set"
        )
    return found[0]


def missing_inputs(plan: Plan) -> list[Path]:
    """Files and folders that the study names and that are not there."""
    dataset = plan.study.dataset
    named = [dataset.root] if dataset.name != "paperbirds" and dataset.root else []
    trials = [*plan.trials.values(), *([plan.baseline] if plan.searches else [])]
    named += [path for trial in trials for path in trial.files()]
    return [path for path in dict.fromkeys(named) if not path.exists()]


def describe(plan: Plan, done: Collection[str]) -> dict[str, Any]:
    """The plan as plain data; `done` holds the digests of finished trials."""
    tables = [
        {
            "name": table.table.name,
            "title": table.table.title,
            "metric": _metrics(table),
            "cells": [
                {
                    "row": cell.row,
                    "column": cell.column,
                    "metric": cell.metric,
                    "trials": [trial.digest for trial in cell.trials],
                }
                for cell in table.cells
            ],
        }
        for table in plan.tables
    ]
    searches = [
        {
            "name": table.name,
            "title": table.title,
            "metric": table.metric,
            "search": table.search.model_dump(mode="json"),
            "cells": [],
        }
        for table in plan.searches
    ]
    trials = [
        {"digest": digest, "seed": trial.seed, "done": digest in done}
        for digest, trial in plan.trials.items()
    ]
    return {"study": plan.study.name, "tables": tables + searches, "trials": trials}


def as_text(plan: Plan, done: Collection[str]) -> str:
    """The plan for people: a line a cell, with its digests; finished ones are marked."""
    lines = [f"{plan.study.name}: {plan.study.title}".rstrip(": ")]
    for table in plan.tables:
        lines += ["", f"table {table.table.name} ({_metrics(table)})"]
        width = max(len(f"{cell.row} | {cell.column}") for cell in table.cells)
        for cell in table.cells:
            marks = [
                f"{trial.digest}{'*' if trial.digest in done else ' '}" for trial in cell.trials
            ]
            lines.append(f"  {f'{cell.row} | {cell.column}':<{width}}  {' '.join(marks)}".rstrip())
    for search in plan.searches:
        lines += ["", f"search {search.name}: {search.search.trials} trials over"]
        lines += [f"  {name}" for name in search.search.space]
    finished = sum(digest in done for digest in plan.trials)
    lines += ["", f"{len(plan.trials)} distinct trials, {finished} done (*)"]
    return "\n".join(lines)


def _metrics(table: TablePlan) -> str:
    return ", ".join(dict.fromkeys(cell.metric for cell in table.cells))


def _refuse_equal_names(plan: Plan) -> None:
    for table in plan.tables:
        for cell in table.cells:
            for trial in cell.trials:
                twin = plan.trials[trial.digest]
                if twin.spec != trial.spec:
                    mine = sorted(set(map(str, trial.files())) - set(map(str, twin.files())))
                    raise InputError(
                        f"table {table.table.name}: {', '.join(mine)} has the same file name as"
                        " another file of the study; a trial is known by the name, rename one"
                    )


def _names_for_paths(data: Any, key: str = "") -> Any:
    if isinstance(data, dict):
        return {name: _names_for_paths(value, name) for name, value in data.items()}
    return Path(data).name if is_path(key, data) else data


def _paths(data: Any, key: str = "") -> list[Path]:
    if isinstance(data, dict):
        return [path for name, value in data.items() for path in _paths(value, name)]
    return [Path(data)] if is_path(key, data) else []


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
