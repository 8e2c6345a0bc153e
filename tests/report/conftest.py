"""A small study, and frames of runs made by hand for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
import pytest
from report_studies import run, tables_of

from concepthash.plan import Plan, make_plan
from concepthash.report.kinds import TableReport
from concepthash.spec import StudySpec

Values = Mapping[tuple[str, str], list[float | str | None]]
"""By (row, column), a value a seed: a number, a status, or None where there is no run."""


@pytest.fixture(scope="session")
def plan_of() -> Callable[..., Plan]:
    """A plan of tables given as in YAML."""

    def make(*tables: dict[str, Any], **study: Any) -> Plan:
        data = {"name": "demo", "dataset": {"name": "paperbirds"}, "tables": list(tables), **study}
        return make_plan(StudySpec.model_validate_json(json.dumps(data)))

    return make


@pytest.fixture(scope="session")
def trials_of() -> Callable[..., pl.DataFrame]:
    """The frame of runs that gives the cells of a plan these values."""

    def make(plan: Plan, values: Values) -> pl.DataFrame:
        runs: dict[str, dict[str, Any]] = {}
        for table in plan.tables:
            for cell in table.cells:
                outcomes = values.get((cell.row, cell.column), [])
                for trial, value in zip(cell.trials, outcomes, strict=False):
                    if value is not None:
                        known = runs.get(trial.digest, {})
                        runs[trial.digest] = known | run(
                            trial.digest, value, cell.metric, seed=trial.seed
                        )
        return pl.DataFrame(list(runs.values()), infer_schema_length=None)

    return make


@pytest.fixture(scope="session")
def table_of(plan_of, trials_of) -> Callable[..., TableReport]:
    """The report of a study's only table with these values."""

    def make(table: dict[str, Any], values: Values | None = None, **study: Any) -> TableReport:
        plan = plan_of(table, **study)
        (report,) = tables_of(plan, trials_of(plan, values or {}))
        return report

    return make
