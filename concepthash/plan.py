"""From a study to the trials it needs. No torch; of the disk only the files that it names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from concepthash.data.file_digests import contents
from concepthash.data.readers import DatasetSpec
from concepthash.errors import InputError
from concepthash.identity import digest, identity, leaves
from concepthash.spec import (
    SearchTable,
    StudySpec,
    Table,
    TrialSpec,
    changed,
    is_path,
    named_files,
)
from concepthash.spec_base import Spec


class Trial(Spec):
    """One fully resolved configuration, trained once."""

    dataset: DatasetSpec
    spec: TrialSpec
    seed: int
    contents: Mapping[str, str] = {}
    """What the files that its study names held when it was planned: a hash by path."""

    @cached_property
    def digest(self) -> str:
        """12 hexadecimal digits of what decides the numbers (see `identity`)."""
        return digest(identity(self.dataset, self.spec, self.seed, self.contents))

    def with_spec(self, spec: TrialSpec) -> Trial:
        """Another trial of the same study, on the same data and with the same seed."""
        return Trial(dataset=self.dataset, spec=spec, seed=self.seed, contents=self.contents)

    def files(self) -> list[Path]:
        """The files that the trial reads beside its data set."""
        fields = leaves(self.spec.model_dump(mode="json"))
        return [Path(value) for field, value in fields if is_path(field, value)]

    def parameters(self) -> dict[str, Any]:
        """Every field by its dotted name, with its value; of a file its content's hash, too."""
        fixed = {"dataset": self.dataset.model_dump(mode="json"), "seed": self.seed}
        fields = dict(leaves(self.spec.model_dump(mode="json") | fixed))
        hashes = {
            f"{name}.content": self.contents[value]
            for name, value in fields.items()
            if is_path(name, value) and value in self.contents
        }
        return fields | hashes


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
    baseline: Trial
    """The baseline with the study's first seed: what a search starts from."""

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
    def labelled(self) -> dict[str, tuple[Trial, str]]:
        """The trials of cells by digest, each with the label of the first cell it stands in."""
        labelled: dict[str, tuple[Trial, str]] = {}
        for table in self.tables:
            columns = {cell.column for cell in table.cells}
            for cell in table.cells:
                in_grid = cell.label == cell.row and len(columns) > 1
                label = f"{cell.row}, {cell.column}" if in_grid else cell.label
                for trial in cell.trials:
                    labelled.setdefault(trial.digest, (trial, label))
        return labelled

    @property
    def searches(self) -> tuple[SearchTable, ...]:
        """The tables whose trials are proposed while the study runs."""
        tables = (planned.table for planned in self.tables)
        return tuple(table for table in tables if isinstance(table, SearchTable))


def make_plan(study: StudySpec, recorded: Mapping[str, str] | None = None) -> Plan:
    """Resolves every cell. Raises InputError if a file that the study names cannot be read.

    `recorded` says what its files held when it ran, as `Trial.contents`; by default they are read.
    """
    held = _contents(study) if recorded is None else recorded
    tables = tuple(
        TablePlan(
            table,
            tuple(
                Cell(c.row, c.column, c.metric, seeded(study, c.changes, held), c.label)
                for c in table.cells()
            ),
        )
        for table in study.tables
    )
    return Plan(study, tables, seeded(study, {}, held)[0])


def _contents(study: StudySpec) -> Mapping[str, str]:
    named = map(Path, named_files(study.model_dump(mode="json", exclude={"dataset"})))
    return {str(path): digits for path, digits in contents(named).items()}


def seeded(
    study: StudySpec, changes: Mapping[str, Any], held: Mapping[str, str]
) -> tuple[Trial, ...]:
    """The trials of one combination, one a seed. `held` is the `contents` of each."""
    spec = changed(study.baseline, changes)
    return tuple(
        Trial(dataset=study.dataset, spec=spec, seed=seed, contents=held) for seed in study.seeds
    )


def find_trial(plan: Plan, digest: str, sampled: Mapping[str, Trial] = {}) -> Trial:
    """The trial whose digest starts with `digest`, of a cell or one of those that were `sampled`.

    Raises InputError unless it is exactly one.
    """
    trials = {**sampled, **plan.trials}
    found = [trial for known, trial in trials.items() if known.startswith(digest)]
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
    for table in plan.searches:
        space = {name: dimension.choices for name, dimension in table.search.space.items()}
        named += map(Path, named_files(space))
    return [path for path in dict.fromkeys(named) if not path.exists()]
