from __future__ import annotations

import polars as pl
from report_studies import BITS, LOSSES

from concepthash.report import captions
from concepthash.report.tables import grid_results, prepared


def caption(plan, trials) -> str:
    (result,) = grid_results(plan, prepared(trials))
    return captions.grid_caption(plan, result)


def test_the_caption_states_what_a_reader_must_know(plan_of, trials_of) -> None:
    plan = plan_of(LOSSES)
    rows = {(r, "baseline"): [0.5, 0.6, 0.7] for r in ("baseline", "no margin")}
    text = caption(plan, trials_of(plan, rows))
    for fact in (
        "mAP@all (%), higher is better",
        "paperbirds",
        "queries = test images, database = training images",
        "ties averaged, last epoch",
        "seeds 0, 1, 2 (n=3",
        "ddof = 1",
        "Best in bold, second underlined",
        "only complete cells compete",
        "paired difference",
    ):
        assert fact in text
    assert "significan" not in text


def test_the_rule_is_per_column_where_there_are_several(plan_of, trials_of) -> None:
    plan = plan_of(BITS, seeds=[5])
    rows = {(r, f"{k} bits"): [0.5] for r in ("text", "learned") for k in (16, 32, 64)}
    text = caption(plan, trials_of(plan, rows))
    assert "Best of each column in bold" in text
    assert "a single seed, 5 (n=1)" in text


def test_other_metrics_and_no_marks(plan_of, trials_of) -> None:
    plan = plan_of({**LOSSES, "metric": "test/attention_overlap"})
    text = caption(plan, trials_of(plan, {("baseline", "baseline"): [0.1, 0.2, 0.3]}))
    assert text.startswith("Concept-attention overlap, lower is better")
    assert "bold" not in text
    assert "ranked" not in text


def test_a_table_without_a_title_is_called_by_its_name(plan_of) -> None:
    plan = plan_of({"name": "loss-terms", "rows": [{"label": "a"}]})
    assert captions.title(plan.study.tables[0]) == "Loss terms"


def test_a_protocol_that_leaks_says_so_in_the_caption(plan_of, trials_of) -> None:
    rows = [{"label": "paper"}, {"label": "published", "protocol": "published-code"}]
    plan = plan_of({"name": "protocols", "rows": rows})
    text = caption(plan, trials_of(plan, {}))
    assert "paper and published-code protocols" in text
    assert "published-code LEAKS: the test queries chose the epoch" in text
    (result,) = grid_results(plan, prepared(trials_of(plan, {})))
    assert "LEAKS" in captions.tex_caption(plan, result)


def test_the_spread_over_queries_and_classes_stands_beside_that_over_seeds(
    plan_of, trials_of
) -> None:
    plan = plan_of({"name": "one", "rows": [{"label": "a"}]}, seeds=[0, 1])
    trials = trials_of(plan, {("a", "baseline"): [0.5, 0.6]}).with_columns(
        pl.col("test/map").sub(0.02).alias("test/map_low"),
        pl.col("test/map").add(0.04).alias("test/map_high"),
    )
    assert "by about ±3.0 (95 % bootstrap over both, mean over trials)" in caption(plan, trials)
    assert "bootstrap" not in caption(plan, trials.drop("test/map_low", "test/map_high"))
