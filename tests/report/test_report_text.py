"""The tables as plain text, beside the numbers of the report."""

from __future__ import annotations

import polars as pl
from report_studies import BITS, CLAIMS, LOSSES, SEARCH, run
from rich.cells import cell_len

from concepthash.report.text import as_text


def test_a_grid_has_mean_std_and_n_of_each_cell_and_marks_the_best(plan_of, trials_of) -> None:
    plan = plan_of(LOSSES)
    values = {
        ("baseline", "baseline"): [0.80, 0.82, 0.81],
        ("no quantization", "baseline"): [0.7, 0.71, "failed"],
        ("no margin", "baseline"): [0.5, 0.5, 0.5],
    }
    assert as_text(plan, trials_of(plan, values)).splitlines() == [
        "Loss terms",
        "  Variant          mAP@all (%) ↑",
        "  baseline         81.0 ± 1.0 (3) *",
        "  no quantization  70.5 ± 0.7 (2, 1 failed)",
        "  no margin        50.0 ± 0.0 (3)",
        "* best",
    ]


def test_a_cell_without_a_value_says_why(plan_of, trials_of) -> None:
    plan = plan_of(BITS)
    text = as_text(plan, trials_of(plan, {("text", "16 bits"): [0.5, None, "running"]}))
    assert text.splitlines()[2] == (
        "  text           50.0 (1, 1 running, 1 missing)  missing  missing"
    )


def test_claims_have_their_difference_and_verdict(plan_of, trials_of) -> None:
    plan = plan_of(CLAIMS)
    values = {
        ("Language helps", "better"): [0.8, 0.82, 0.81],
        ("Language helps", "than"): [0.7, 0.72, 0.72],
    }
    lines = as_text(plan, trials_of(plan, values)).splitlines()
    assert lines[0] == "What the method claims"
    told = [part.strip() for part in lines[2].split("  ") if part.strip()]
    assert told == ["1. Language helps", "mAP@all (%) ↑", "+9.7 ± 0.6 (3)", "holds"]
    assert lines[3].endswith("incomplete")


def test_a_search_has_its_counts_and_its_best_trials_with_their_digests(plan_of) -> None:
    plan = plan_of(SEARCH)
    values = (("a", 0.25, "0.01"), ("b", 0.75, "0.02"), ("c", 0.5, "0.03"))
    sampled = [
        run(name * 12, 0.5, seed=0, table="search", **{"val/map": v, "params/optimizer.lr": lr})
        for name, v, lr in values
    ]
    pruned = run("d" * 12, "pruned", seed=0, table="search")
    frame = pl.DataFrame([*sampled, pruned], infer_schema_length=None)
    lines = [line.split() for line in as_text(plan, frame).splitlines()]
    assert lines[0] == ["Search"]
    assert lines[1][:8] == ["4", "of", "6", "trials:", "3", "finished,", "1", "pruned"]
    assert lines[2] == ["optimizer.lr", "=", "0.02", "75.0", "50.0", "b" * 12, "*"]
    assert lines[3] == ["optimizer.lr", "=", "0.03", "50.0", "50.0", "c" * 12]  # it shows two
    assert lines[4] == ["*", "best"]


def test_no_line_is_wider_than_100_characters_and_no_column_is_lost(plan_of, trials_of) -> None:
    long = "a label of many words, " * 5 + "文" * 60 + "[bold]x[/bold]"
    columns = [{"label": f"column {k}", "loss.quantization": k / 10} for k in range(12)]
    table = {"name": "t", "rows": [{"label": long}, {"language": "off"}], "columns": columns}
    plan = plan_of(
        table, {**CLAIMS, "claims": [{"claim": long, "better": {}, "than": {"num_bits": 32}}]}
    )
    values = {(row, c["label"]): [0.5, 0.6] for row in (long, "language = off") for c in columns}
    text = as_text(plan, trials_of(plan, values))
    assert max(map(cell_len, text.splitlines())) <= 100
    assert all(f"column {k}" in text for k in range(12))
    assert "[bold]x[/bold]" in text


def test_a_protocol_that_leaks_says_so(plan_of, trials_of) -> None:
    plan = plan_of(LOSSES, baseline={"protocol": "published-code"})
    last = as_text(plan, trials_of(plan, {})).splitlines()[-1]
    assert last == "published-code LEAKS: the test queries chose the epoch"
