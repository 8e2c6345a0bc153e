from __future__ import annotations

import polars as pl
import pytest
from report_studies import CLAIMS, LOSSES

from concepthash.report.curves import training_curves


def history(rows: list[tuple[str, str, int, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["digest", "metric", "step", "value"], orient="row")


def test_mean_over_the_seeds_of_each_configuration(plan_of) -> None:
    plan = plan_of(LOSSES)
    first, second = (plan.tables[0].cells[i].trials for i in (0, 1))
    rows = [(t.digest, "val/map", e, t.seed + e) for t in first for e in (1, 2)]
    rows += [(second[0].digest, "val/map", 1, 7.0)]
    # The third seed broke off after two epochs: epoch 3 would be a mean of fewer.
    rows += [(t.digest, "val/map", 3, 50.0) for t in first[:2]]
    rows += [("f" * 12, "val/map", 1, 99.0), (first[0].digest, "train/total", 1, 99.0)]
    learned, baseline = training_curves(plan, history(rows), "val/map")
    assert baseline.is_baseline
    assert baseline.steps == [1, 2]
    assert baseline.mean == pytest.approx([2.0, 3.0])
    assert (baseline.low, baseline.high) == ([1.0, 2.0], [3.0, 4.0])
    assert (learned.label, learned.mean) == ("no quantization", [7.0])


def test_a_side_of_a_claim_is_called_by_what_it_changes(plan_of) -> None:
    plan = plan_of(CLAIMS)
    rows = [(digest, "val/map", 1, 0.5) for digest in plan.trials]
    found = training_curves(plan, history(rows), "val/map")
    assert [(curve.label, curve.is_baseline) for curve in found] == [
        ("language = off", False),
        ("loss.concept_spatial_diversity = 0", False),
        ("baseline", True),
    ]


@pytest.mark.parametrize("empty", [pl.DataFrame(), history([])])
def test_no_history(plan_of, empty: pl.DataFrame) -> None:
    assert training_curves(plan_of(LOSSES), empty, "val/map") == []
