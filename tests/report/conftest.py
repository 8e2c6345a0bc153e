"""A small study, and frames of runs made by hand for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from report_studies import run

from concepthash.plan import Plan, make_plan
from concepthash.spec import StudySpec

MakePlan = Callable[..., Plan]
MakeTrials = Callable[..., pl.DataFrame]


@pytest.fixture(scope="session")
def plan_of() -> MakePlan:
    """A plan of tables given as in YAML."""

    def make(*tables: dict[str, Any], **study: Any) -> Plan:
        data = {"name": "demo", "dataset": {"name": "paperbirds"}, "tables": list(tables), **study}
        return make_plan(StudySpec.model_validate_json(json.dumps(data)))

    return make


@pytest.fixture(scope="session")
def trials_of() -> MakeTrials:
    """A frame with a run for each (row, column): values by seed; a string is a status."""

    def make(
        plan: Plan, outcomes: dict[tuple[str, str], list[float | str | None]], **more: Any
    ) -> pl.DataFrame:
        runs: dict[str, dict[str, Any]] = {}
        for table in plan.tables:
            for cell in table.cells:
                values = outcomes.get((cell.row, cell.column))
                for trial, value in zip(cell.trials, values or (), strict=False):
                    if value is not None:
                        known = runs.get(trial.digest, {})
                        runs[trial.digest] = known | run(
                            trial.digest, value, cell.metric, seed=trial.seed, **more
                        )
        return pl.DataFrame(list(runs.values()), infer_schema_length=None)

    return make
