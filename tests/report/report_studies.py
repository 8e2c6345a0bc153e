"""Tables as a study file has them, one run, and the tables' reports."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from concepthash.plan import Plan
from concepthash.report.cells import prepared
from concepthash.report.kinds import TableReport, table_report


def tables_of(plan: Plan, trials: pl.DataFrame) -> list[TableReport]:
    """The reports of the plan's tables, from the frame of their runs."""
    frame = prepared(trials)
    return [table_report(plan, planned, frame) for planned in plan.tables]


def run(digest: str, value: float | str, metric: str = "test/map", **more: Any) -> dict[str, Any]:
    failed = value == "failed"
    return {
        "digest": digest,
        "run_id": f"run-{digest}",
        "status": value if isinstance(value, str) else "finished",
        "failure": "loss is NaN <epoch 3> & more" if failed else None,
        "table": None,
        "duration_s": 61.0,
        "device": "cpu",
        "started": dt.datetime(2026, 1, 2),
        metric: None if isinstance(value, str) else value,
        **more,
    }


LOSSES = {
    "name": "losses",
    "title": "Loss terms",
    "rows": [
        {"label": "baseline"},
        {"label": "no quantization", "loss.quantization": 0.0},
        {"label": "no margin", "loss.margin": 0.0},
    ],
}
BITS = {
    "name": "bits",
    "rows": [{"label": "text"}, {"label": "learned", "language": "off"}],
    "columns": {"num_bits": [16, 32, 64]},
}
CLAIMS = {
    "name": "claims",
    "title": "What the method claims",
    "claims": [
        {"claim": "Language helps", "better": {}, "than": {"language": "off"}},
        {
            "claim": "L_csd lowers the overlap",
            "metric": "test/attention_overlap",
            "better": {},
            "than": {"loss.concept_spatial_diversity": 0},
            "note": "Overlap of attention maps.",
        },
    ],
}
SEARCH = {
    "name": "search",
    "search": {
        "trials": 6,
        "show": 2,
        "space": {
            "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
            "language": {"choices": ["off", {"source": "open_clip"}]},
        },
    },
}
