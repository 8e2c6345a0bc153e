from __future__ import annotations

import polars as pl
import pytest
from report_studies import LOSSES, SEARCH, run, tables_of


def sampled(digest: str, value: float | str, val: float | None, lr: str, language: str) -> dict:
    """A run that the search proposed, with its parameters as MLflow has them: text."""
    source = None if language == "off" else language
    return run(
        digest,
        value,
        seed=0,
        **{
            "table": "search",
            "val/map": val,
            "params/optimizer.lr": lr,
            "params/language": "off" if source is None else None,
            "params/language.model": None if source is None else "ViT-B-32-quickgelu",
            "params/language.source": source,
        },
    )


RUNS = [
    sampled("a", 0.9, 0.5, "0.012345678", "open_clip"),
    sampled("b", 0.1, 0.8, "0.001", "off"),
    sampled("c", "pruned", 0.99, "0.05", "off"),
    sampled("d", "failed", None, "0.09", "off"),
    sampled("e", 0.3, 0.7, "0.0005", "open_clip"),
    {**sampled("f", 0.3, 0.95, "0.0005", "open_clip"), "table": "another"},
]


def search(plan, *more: dict):
    """The report of the plan's last table."""
    return tables_of(plan, pl.DataFrame([*RUNS, *more], infer_schema_length=None))[-1]


def test_finished_trials_are_ranked_by_validation_never_by_test(plan_of) -> None:
    result = search(plan_of(SEARCH)).result
    assert [(row.rank, row.digest) for row in result.best] == [(1, "b"), (2, "e")]
    assert result.metrics == ("val/map", "test/map")
    assert result.best[0].metrics == (0.8, 0.1)
    assert result.best[0].values == ("0.001", "off")
    assert result.best[1].values == ("0.0005", "open_clip")


def test_csv_has_every_trial_that_the_search_sampled(plan_of) -> None:
    table = search(plan_of(SEARCH))
    assert table.frame.columns[:2] == ["table", "rank"]
    assert table.frame.select("digest", "rank").rows() == [
        *(("b", 1), ("e", 2), ("a", 3)),
        *(("c", None), ("d", None)),
    ]
    assert (table.sampled, table.to_sample) == (5, 6)


def test_caption_counts_trials_and_says_what_chose_the_best(plan_of) -> None:
    text = search(plan_of(SEARCH)).caption
    for fact in (
        "5 of 6 planned trials sampled",
        "3 finished, 1 failed, 1 pruned",
        "the best 2, ranked by validation mAP@all (%)",
        "validation split alone",
        "paper protocol",
        "Pruned trials were stopped early and are not ranked.",
    ):
        assert fact in text


def test_the_baseline_stands_beside_where_the_study_has_it(plan_of) -> None:
    assert not search(plan_of(SEARCH)).result.has_baseline
    plan = plan_of(LOSSES, SEARCH)
    first = plan.tables[0].cells[0].trials
    more = [run(t.digest, v, seed=t.seed) for t, v in zip(first, (0.5, 0.6, 0.7), strict=True)]
    result = search(plan, *more).result
    assert result.baseline[0] is None
    assert result.baseline[1].mean == pytest.approx(0.6)
    assert result.baseline_values == ("0.001", "open_clip")


def test_a_search_that_has_sampled_nothing(table_of) -> None:
    table = table_of(SEARCH)
    assert table.result.best == ()
    assert table.result.counts == {"finished": 0}
    assert (table.sampled, table.places) == (0, ())
