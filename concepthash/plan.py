"""From a study to the distinct trials it needs: a pure function, no torch, no disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from concepthash.errors import InputError
from concepthash.spec import DatasetSpec, GridTable, SearchTable, StudySpec, TrialSpec, changed
from concepthash.spec.trial import is_path

DIGEST_FORMAT = 1
"""Bumped when a default or a computation changes so that old numbers no longer hold."""


@dataclass(frozen=True)
class Trial:
    """One fully resolved configuration, trained once."""

    dataset: DatasetSpec
    spec: TrialSpec
    seed: int
    protocol: str = "paper"

    @cached_property
    def digest(self) -> str:
        """12 hex digits of what decides the numbers.

        Only fields that differ from their default enter, so that a field added later leaves old
        digests as they are. Of a path only the file's name enters; the data set's root not at all.
        """
        content = {
            "format": DIGEST_FORMAT,
            "dataset": self.dataset.model_dump(mode="json", exclude_defaults=True, exclude={"root"}),
            "trial": _names_for_paths(self.spec.model_dump(mode="json", exclude_defaults=True)),
            "seed": self.seed,
        }
        if self.protocol != "paper":
            content["protocol"] = self.protocol
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
            "protocol": self.protocol,
        }
        return _flat(self.spec.model_dump(mode="json") | nested)


@dataclass(frozen=True)
class Cell:
    """One row and column of a table; several trials, one a seed."""

    row: str
    column: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class TablePlan:
    table: GridTable
    cells: tuple[Cell, ...]

    def cell(self, row: str, column: str) -> Cell:
        return next(cell for cell in self.cells if (cell.row, cell.column) == (row, column))


@dataclass(frozen=True)
class Plan:
    """What a study trains: its grids' cells in order, and the searches beside them."""

    study: StudySpec
    tables: tuple[TablePlan, ...]
    searches: tuple[SearchTable, ...]

    @cached_property
    def trials(self) -> dict[str, Trial]:
        """The distinct trials of all grids by digest, in the order of first appearance."""
        every = (trial for table in self.tables for cell in table.cells for trial in cell.trials)
        return {trial.digest: trial for trial in every}


def make_plan(study: StudySpec) -> Plan:
    """Resolves every cell. Raises InputError where two trials differ in a path alone."""
    tables = tuple(
        TablePlan(
            table,
            tuple(
                Cell(row.label, column.label, seeded(study, row.changes | column.changes))
                for row in table.rows
                for column in table.columns
            ),
        )
        for table in study.tables
        if isinstance(table, GridTable)
    )
    searches = tuple(table for table in study.tables if isinstance(table, SearchTable))
    plan = Plan(study, tables, searches)
    _refuse_equal_names(plan)
    return plan


def seeded(study: StudySpec, changes: dict[str, Any]) -> tuple[Trial, ...]:
    """The trials of one combination, one a seed."""
    spec = changed(study.baseline, changes)
    return tuple(Trial(study.dataset, spec, seed, study.protocol) for seed in study.seeds)


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
