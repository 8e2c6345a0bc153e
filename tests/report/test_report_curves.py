from __future__ import annotations

import polars as pl
import pytest
from report_studies import CLAIMS, LOSSES

from concepthash.report.curves import Curve, curves_caption, curves_figure, training_curves
from concepthash.report.figures import svg


def history(rows: list[tuple[str, str, int, float]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["digest", "metric", "step", "value"], orient="row")


def test_a_curve_is_the_mean_over_the_seeds_of_a_configuration(plan_of) -> None:
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


def test_a_curve_of_a_claims_side_is_named_by_what_it_changes(plan_of) -> None:
    plan = plan_of(CLAIMS)
    rows = [(digest, "val/map", 1, 0.5) for digest in plan.trials]
    found = training_curves(plan, history(rows), "val/map")
    assert [(curve.label, curve.is_baseline) for curve in found] == [
        ("language = off", False),
        ("loss.concept_spatial_diversity = 0", False),
        ("baseline", True),
    ]


@pytest.mark.parametrize("empty", [pl.DataFrame(), history([])])
def test_there_are_no_curves_without_history(plan_of, empty: pl.DataFrame) -> None:
    assert training_curves(plan_of(LOSSES), empty, "val/map") == []
    assert curves_figure({"train/total": [], "val/map": []}) is None


USUAL = Curve("all", True, [1, 2], [2.0, 1.0], [1.9, 0.9], [2.1, 1.1])
OTHER = Curve("none", False, [1, 2], [3.0, 2.0], [3.0, 2.0], [3.0, 2.0])
ONCE = Curve("all", True, [2], [0.5], [0.4], [0.6])


def test_figure_of_curves_has_a_panel_a_metric_and_names_the_baseline() -> None:
    curves = {"train/total": [OTHER, USUAL], "val/map": [USUAL]}
    figure = curves_figure(curves)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["training loss", "validation mAP@all (%)"]
    assert svg(figure).count(">baseline<") == 2
    assert "2 configurations, by epoch; blue: the baseline" in curves_caption(curves)
    assert "blue" not in curves_caption({"train/total": [OTHER]})


def test_figure_of_curves_marks_a_metric_that_was_measured_once() -> None:
    trained, validated = curves_figure({"train/total": [USUAL], "val/map": [ONCE]}).axes
    assert trained.lines[0].get_marker() == "None"
    assert validated.lines[0].get_marker() == "o"
    assert validated.lines[0].get_xydata().tolist() == [[2.0, 50.0]]
