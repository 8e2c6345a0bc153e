from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest
from report_studies import BITS, LOSSES

from concepthash.report.tables import grid_results, numeric_columns, prepared, tidy


def losses(rows: dict[str, list], plan_of, trials_of, **table):
    plan = plan_of({**LOSSES, **table})
    trials = trials_of(plan, {(row, "baseline"): values for row, values in rows.items()})
    (result,) = grid_results(plan, prepared(trials))
    return {cell.row: cell for cell in result.cells}, result


def test_mean_std_and_marks(plan_of, trials_of) -> None:
    a, b, c = [0.80, 0.82, 0.81], [0.70, 0.72, 0.74], [0.60, 0.61, 0.62]
    cells, _ = losses({"baseline": b, "no quantization": a, "no margin": c}, plan_of, trials_of)
    for row, values in {"baseline": b, "no quantization": a, "no margin": c}.items():
        assert cells[row].summary.mean == pytest.approx(np.mean(values))
        assert cells[row].summary.std == pytest.approx(np.std(values, ddof=1))
        assert cells[row].values == tuple(values)
        assert cells[row].complete
    assert [cell.mark for cell in cells.values()] == ["second", "best", ""]


def test_lower_is_better_by_metric(plan_of, trials_of) -> None:
    rows = {"baseline": [0.3] * 3, "no quantization": [0.1] * 3, "no margin": [0.2] * 3}
    cells, _ = losses(rows, plan_of, trials_of, metric="test/quantization_error")
    assert [cell.mark for cell in cells.values()] == ["", "best", "second"]


def test_numbers_that_print_equal_share_a_mark(plan_of, trials_of) -> None:
    rows = {"baseline": [0.8001] * 3, "no quantization": [0.8003] * 3, "no margin": [0.79] * 3}
    cells, _ = losses(rows, plan_of, trials_of)
    assert [cell.mark for cell in cells.values()] == ["best", "best", "second"]


def test_incomplete_cells_do_not_compete(plan_of, trials_of) -> None:
    rows = {
        "baseline": [0.5, 0.5, 0.5],
        "no quantization": [0.9, 0.9, "failed"],
        "no margin": [0.4, 0.4, 0.4],
    }
    cells, _ = losses(rows, plan_of, trials_of)
    assert [cell.mark for cell in cells.values()] == ["best", "", "second"]
    assert cells["no quantization"].n == 2
    assert cells["no quantization"].troubles == {"failed": 1}


@pytest.mark.parametrize("status", ["failed", "running", "interrupted", "pruned"])
def test_a_status_is_counted_and_never_averaged(plan_of, trials_of, status: str) -> None:
    plan = plan_of(LOSSES)
    trials = trials_of(plan, {("baseline", "baseline"): [0.5, status, None]})
    # A value of a trial that has not finished is none.
    trials = trials.with_columns(pl.col("test/map").fill_null(0.9))
    (result,) = grid_results(plan, prepared(trials))
    cell = result.cell("baseline", "baseline")
    assert cell.values == (0.5, None, None)
    assert cell.troubles == {status: 1, "missing": 1}
    assert cell.summary.std is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_value(plan_of, trials_of, value: float) -> None:
    cells, _ = losses({"baseline": [0.5, value, 0.7]}, plan_of, trials_of)
    assert cells["baseline"].values == (0.5, None, 0.7)
    assert cells["baseline"].troubles == {"no value": 1}
    assert not cells["baseline"].complete


def test_deltas_are_paired_by_seed(plan_of, trials_of) -> None:
    rows = {"baseline": [0.5, 0.6, "failed"], "no quantization": [0.4, 0.6, 0.9]}
    cells, result = losses(rows, plan_of, trials_of)
    assert cells["baseline"].is_baseline
    assert cells["baseline"].delta is None
    delta = cells["no quantization"].delta
    assert delta.n == 2
    assert delta.mean == pytest.approx(-0.05)
    assert cells["no margin"].delta is None
    assert result.has_deltas


def test_deltas_are_to_the_baseline_of_the_same_column(plan_of, trials_of) -> None:
    plan = plan_of(BITS, seeds=[0])
    values = {("text", f"{k} bits"): [k / 100] for k in (16, 32, 64)}
    values |= {("learned", f"{k} bits"): [k / 200] for k in (16, 32, 64)}
    (result,) = grid_results(plan, prepared(trials_of(plan, values)))
    for k in (16, 32, 64):
        assert result.cell("text", f"{k} bits").is_baseline
        assert result.cell("learned", f"{k} bits").delta.mean == pytest.approx(-k / 200)
        assert result.cell("text", f"{k} bits").mark == "best"


def test_no_delta_without_the_baseline_in_the_study(plan_of, trials_of) -> None:
    plan = plan_of({"name": "t", "rows": {"loss.margin": [0.0, 0.1]}}, seeds=[0])
    trials = trials_of(plan, {("loss.margin = 0.0", "baseline"): [0.5]})
    (result,) = grid_results(plan, prepared(trials))
    assert not result.has_deltas


@pytest.mark.parametrize("trials", [pl.DataFrame(), pl.DataFrame({"digest": [], "status": []})])
def test_nothing_trained_yet(plan_of, trials: pl.DataFrame) -> None:
    (result,) = grid_results(plan_of(LOSSES), prepared(trials))
    assert all(cell.troubles == {"missing": 3} for cell in result.cells)
    assert all(cell.summary is None and not cell.mark for cell in result.cells)


def test_tidy_csv_adds_up(plan_of, trials_of) -> None:
    rows = {"baseline": [0.5, 0.7, "failed"], "no quantization": [0.4, "running", None]}
    cells, result = losses(rows, plan_of, trials_of)
    back = pl.read_csv(io.StringIO(tidy(result).write_csv()))
    assert back.columns[:13] == [
        *("table", "row", "column", "metric", "mean", "std", "n"),
        *("planned", "failed", "missing", "unfinished", "min", "max"),
    ]
    counts = back["n"] + back["failed"] + back["missing"] + back["unfinished"]
    assert counts.to_list() == back["planned"].to_list() == [3, 3, 3]
    first = back.row(0, named=True)
    assert (first["mean"], first["min"], first["max"]) == (pytest.approx(0.6), 0.5, 0.7)
    assert first["std"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert (first["value_seed_0"], first["value_seed_2"]) == (0.5, None)
    assert first["digest_seed_1"] == cells["baseline"].digests[1]
    assert back.row(2, named=True)["mean"] is None


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"num_bits": [16, 32]}, ("num_bits", [16.0, 32.0])),
        ({"num_bits": [16]}, None),
        ({"tuning": ["full", "adapters"]}, None),
        ([{"label": "a"}, {"label": "b", "num_bits": 32}], None),
        ({"num_bits": [16, 32], "num_concepts": [2]}, None),
    ],
)
def test_numeric_columns(plan_of, columns, expected) -> None:
    plan = plan_of({"name": "t", "rows": [{"label": "a"}], "columns": columns})
    (result,) = grid_results(plan, prepared(pl.DataFrame()))
    assert numeric_columns(result) == expected
