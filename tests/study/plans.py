"""Plans of a small study, and runs of its trials as the store has them."""

from __future__ import annotations

import json

from concepthash.plan import Plan, make_plan
from concepthash.spec import StudySpec
from concepthash.study.points import point_at
from concepthash.tracking.runs import Earlier, Status

GRID = {"name": "bits", "rows": {"num_bits": [16, 32]}, "columns": {"batch_size": [8, 16]}}
WEIGHTS = {
    "name": "weights",
    "search": {"trials": 5, "space": {"loss.quantization": {"low": 0.1, "high": 10}}},
}
CONCEPTS = {
    "name": "concepts",
    "search": {"trials": 5, "space": {"num_concepts": {"choices": [1, 2, 4]}}},
}


def plan_of(*tables: object, seeds: tuple[int, ...] = (0,)) -> Plan:
    study = {"name": "small", "dataset": {"name": "paperbirds"}, "seeds": seeds, "tables": tables}
    study["baseline"] = {"num_bits": 16, "epochs": 4}
    return make_plan(StudySpec.model_validate_json(json.dumps(study)))


def run(status: Status, **known: object) -> Earlier:
    return Earlier("run", status, **known)  # type: ignore[arg-type]


def sampled(plan: Plan, status: Status, table: str, **values: object) -> dict[str, Earlier]:
    """A run of a trial that a search sampled; `__` in a name stands for a dot."""
    changes = {name.replace("__", "."): value for name, value in values.items()}
    point = point_at(plan.baseline, changes)
    assert point is not None
    known = {"table": table, "sampled": changes, "metrics": {"val/map": 0.5}, "epoch": 4}
    return {point.trial.digest: run(status, **known)}
