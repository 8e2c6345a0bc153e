"""From a study to the trials it needs: a pure function, no torch, no disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from concepthash.data.readers import DatasetSpec
from concepthash.errors import InputError
from concepthash.identity import digest, identity, leaves
from concepthash.spec import SearchTable, StudySpec, Table, TrialSpec, changed, effective, is_path
from concepthash.spec_base import Spec


class Trial(Spec):
    """One fully resolved configuration, trained once."""

    dataset: DatasetSpec
    spec: TrialSpec
    seed: int

    @cached_property
    def digest(self) -> str:
        """12 hexadecimal digits of what decides the numbers (see `identity`)."""
        return digest(identity(self.dataset, self.spec, self.seed))

    def files(self) -> list[Path]:
        """The files that the trial reads beside its data set."""
        fields = leaves(self.spec.model_dump(mode="json"))
        return [Path(value) for field, value in fields if is_path(field, value)]

    def parameters(self) -> dict[str, Any]:
        """Every field by its dotted name, with its value."""
        fixed = {"dataset": self.dataset.model_dump(mode="json"), "seed": self.seed}
        return dict(leaves(self.spec.model_dump(mode="json") | fixed))


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
    """A table with its cells; a search has none."""

    table: Table
    cells: tuple[Cell, ...]

    def cell(self, row: str, column: str) -> Cell:
        return next(cell for cell in self.cells if (cell.row, cell.column) == (row, column))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the cells, each once."""
        return tuple(dict.fromkeys(cell.metric for cell in self.cells))


@dataclass(frozen=True)
class Plan:
    """What a study trains: the cells of its tables in order, and its searches."""

    study: StudySpec
    tables: tuple[TablePlan, ...]

    @cached_property
    def trials(self) -> dict[str, Trial]:
        """The trials of all cells by digest, in the order of first appearance, each once."""
        trials: dict[str, Trial] = {}
        for table in self.tables:
            for cell in table.cells:
                for trial in cell.trials:
                    trials.setdefault(trial.digest, trial)
        return trials

    @property
    def searches(self) -> tuple[SearchTable, ...]:
        """The tables whose trials are proposed while the study runs."""
        tables = (planned.table for planned in self.tables)
        return tuple(table for table in tables if isinstance(table, SearchTable))

    @property
    def baseline(self) -> Trial:
        """The baseline with the study's first seed: what a search starts from."""
        return seeded(self.study, {})[0]


def make_plan(study: StudySpec) -> Plan:
    """Resolves every cell. Raises InputError where two trials differ in a path alone."""
    tables = tuple(
        TablePlan(
            table,
            tuple(
                Cell(c.row, c.column, c.metric, seeded(study, c.changes), c.label)
                for c in table.cells()
            ),
        )
        for table in study.tables
    )
    plan = Plan(study, tables)
    _refuse_equal_names(plan)
    return plan


def seeded(study: StudySpec, changes: Mapping[str, Any]) -> tuple[Trial, ...]:
    """The trials of one combination, one a seed."""
    spec = changed(study.baseline, changes)
    return tuple(Trial(dataset=study.dataset, spec=spec, seed=seed) for seed in study.seeds)


def find_trial(plan: Plan, digest: str) -> Trial:
    """The trial whose digest starts with `digest`. Raises InputError unless it is exactly one."""
    found = [trial for known, trial in plan.trials.items() if known.startswith(digest)]
    if len(found) != 1:
        what = "no trial" if not found else f"{len(found)} trials"
        raise InputError(
            f"--id {digest}: the digests of {what} of {plan.study.name} start with it; see `plan`"
            " with the same --set"
        )
    return found[0]


def missing_inputs(plan: Plan) -> list[Path]:
    """Files and folders that the study names and that are not there."""
    named = list(plan.study.dataset.needs())
    trials = [*plan.trials.values(), *([plan.baseline] if plan.searches else [])]
    named += [path for trial in trials for path in trial.files()]
    return [path for path in dict.fromkeys(named) if not path.exists()]


def _refuse_equal_names(plan: Plan) -> None:
    for table in plan.tables:
        for cell in table.cells:
            for trial in cell.trials:
                twin = plan.trials[trial.digest]
                if effective(twin.spec) != effective(trial.spec):
                    mine, theirs = (set(map(str, each.files())) for each in (trial, twin))
                    raise InputError(
                        f"table {table.table.name}: {', '.join(sorted(mine - theirs))} has the same"
                        f" file name as {', '.join(sorted(theirs - mine))}; a trial is known by"
                        " the name, rename one"
                    )
