from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest
from report_studies import BITS, LOSSES, tables_of

from concepthash.report.kinds.grid_numbers import numeric_columns

ROWS = ("baseline", "no quantization", "no margin")


@pytest.fixture
def losses(table_of):
    """The table of losses with the values of its three rows."""

    def make(*rows: list, **table):
        values = {(label, "baseline"): row for label, row in zip(ROWS, rows, strict=False)}
        return table_of({**LOSSES, **table}, values)

    return make


# --- cells ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["failed", "running", "interrupted", "pruned"])
def test_a_trial_that_has_not_finished_is_counted_and_never_averaged(
    plan_of, trials_of, status: str
) -> None:
    plan = plan_of(LOSSES)
    trials = trials_of(plan, {("baseline", "baseline"): [0.5, status, None]})
    (table,) = tables_of(plan, trials.with_columns(pl.col("test/map").fill_null(0.9)))
    assert table.cells[0].values == (0.5, None, None)
    assert table.cells[0].unfinished == {status: 1, "missing": 1}


def test_nan_and_infinity_are_no_values(losses) -> None:
    cell = losses([0.5, float("nan"), float("inf")]).cells[0]
    assert (cell.values, cell.unfinished) == ((0.5, None, None), {"no value": 2})


# --- marks and differences ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "metric", "expected"),
    [
        (([0.7] * 3, [0.8] * 3, [0.6] * 3), "test/map", ["second", "best", ""]),
        (([0.3] * 3, [0.1] * 3, [0.2] * 3), "test/quantization_error", ["", "best", "second"]),
        # Both print as 80.0.
        (([0.8001] * 3, [0.8003] * 3, [0.79] * 3), "test/map", ["best", "best", "second"]),
        # An incomplete cell is not ranked.
        (([0.5] * 3, [0.9, 0.9, "failed"], [0.4] * 3), "test/map", ["best", "", "second"]),
    ],
    ids=["higher is better", "lower is better", "ties share the mark", "incomplete"],
)
def test_marks_rank_cells_by_the_metric(losses, rows, metric: str, expected: list[str]) -> None:
    assert [cell.mark for cell in losses(*rows, metric=metric).cells] == expected


def test_differences_are_paired_by_seed(losses) -> None:
    baseline, other, missing = losses([0.5, 0.6, "failed"], [0.4, 0.6, 0.9]).cells
    assert baseline.is_baseline
    assert baseline.delta is None
    assert other.delta.n == 2
    assert other.delta.mean == pytest.approx(-0.05)
    assert missing.delta is None


def test_differences_are_to_the_baseline_of_the_same_column(table_of) -> None:
    values = {("text", f"{k} bits"): [k / 100] for k in (16, 32, 64)}
    values |= {("learned", f"{k} bits"): [k / 200] for k in (16, 32, 64)}
    result = table_of(BITS, values, seeds=[0]).result
    for k in (16, 32, 64):
        assert result.cell("text", f"{k} bits").is_baseline
        assert result.cell("learned", f"{k} bits").delta.mean == pytest.approx(-k / 200)
        assert result.cell("text", f"{k} bits").mark == "best"


def test_without_the_baseline_in_the_study_there_are_no_differences(table_of) -> None:
    margins = {"name": "t", "rows": {"loss.margin": [0.0, 0.1]}}
    table = table_of(margins, {("loss.margin = 0.0", "baseline"): [0.5]}, seeds=[0])
    assert not any(cell.delta or cell.is_baseline for cell in table.cells)
    assert "Δ" not in table.caption


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
def test_numeric_columns_vary_one_number(table_of, columns, expected) -> None:
    table = table_of({"name": "t", "rows": [{"label": "a"}], "columns": columns})
    assert numeric_columns(table.result) == expected


# --- captions -------------------------------------------------------------------------------


def test_caption_states_metric_data_set_protocol_seeds_and_marks(losses) -> None:
    text = losses([0.5, 0.6, 0.7], [0.4, 0.5, 0.6]).caption
    for fact in (
        "mAP@all (%), higher is better",
        "paperbirds",
        "paper protocol",
        "seeds 0, 1, 2 (n=3",
        "Best in bold, second underlined; ties share the mark; incomplete cells are not ranked.",
        "paired by seed, in percentage points",
    ):
        assert fact in text


def test_caption_of_a_single_value_speaks_of_no_mark_and_no_spread(table_of) -> None:
    table = {"name": "loss-terms", "rows": [{"label": "a"}], "metric": "test/attention_overlap"}
    text = table_of(table, {("a", "baseline"): [0.1]}, seeds=[5]).caption
    assert text.startswith("Concept-attention overlap, lower is better")
    assert "one seed, 5 (n=1)" in text
    for other in ("bold", "±", "Δ", "bootstrap"):
        assert other not in text


def test_caption_of_a_leaking_protocol_says_so_in_latex_too(table_of) -> None:
    rows = [{"label": "paper"}, {"label": "published", "protocol": "published-code"}]
    table = table_of({"name": "protocols", "rows": rows})
    assert "LEAKS" in table.caption
    assert "LEAKS" in table.tex_caption


def test_latex_caption_leaves_out_the_differences_alone(losses) -> None:
    table = losses([0.5, 0.6, 0.7], [0.4, 0.5, 0.6])
    assert table.caption.startswith(table.tex_caption)
    assert table.caption.removeprefix(table.tex_caption).startswith(" Δ: mean difference")


def test_caption_gives_the_uncertainty_from_queries_and_classes(plan_of, trials_of) -> None:
    plan = plan_of({"name": "one", "rows": [{"label": "a"}]}, seeds=[0, 1])
    trials = trials_of(plan, {("a", "baseline"): [0.5, 0.6]})
    ends = {"test/map_low": pl.col("test/map") - 0.02, "test/map_high": pl.col("test/map") + 0.04}
    (table,) = tables_of(plan, trials.with_columns(**ends))
    assert "±3.0 (half a 95 % bootstrap interval" in table.caption


# --- CSV ------------------------------------------------------------------------------------


def test_csv_has_a_row_a_cell_whose_counts_add_up(losses) -> None:
    table = losses([0.5, 0.7, "failed"], [0.4, "running", None])
    back = pl.read_csv(io.StringIO(table.frame.write_csv()))
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
    assert first["digest_seed_1"] == table.cells[0].digests[1]
    assert back.row(2, named=True)["mean"] is None
