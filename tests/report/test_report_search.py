from __future__ import annotations

import polars as pl
import pytest
from report_studies import LOSSES, SEARCH, run

from concepthash.report.search import search_result
from concepthash.report.tables import prepared


def sampled(name: str, value: float | str, val: float | None, lr: str, language: str) -> dict:
    source = None if language == "off" else language
    return run(
        name,
        value,
        seed=0,
        **{
            "table": "search",
            "val/map": val,
            "params/optimizer.lr": lr,
            "params/language": "off" if language == "off" else None,
            "params/language.source": source,
            "params/language.model": None if source is None else "ViT-B-32-quickgelu",
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


def frame(*more: dict) -> pl.DataFrame:
    return prepared(pl.DataFrame([*RUNS, *more], infer_schema_length=None))


def test_ranked_by_validation_never_by_test(plan_of) -> None:
    plan = plan_of(SEARCH)
    result = search_result(plan, plan.searches[0], frame())
    assert [(row.rank, row.digest) for row in result.best] == [(1, "b"), (2, "e")]
    assert result.metrics == ("val/map", "test/map")
    assert result.best[0].metrics == (0.8, 0.1)
    assert result.best[0].values == ("0.001", "off")
    assert result.best[1].values == ("0.0005", "open_clip")
    assert result.counts == {"finished": 3, "failed": 1, "pruned": 1}
    assert result.frame["digest"].to_list()[:3] == ["b", "e", "a"]
    assert result.frame["rank"].to_list() == [1, 2, 3, None, None]


def test_the_baseline_stands_beside_where_the_study_has_it(plan_of) -> None:
    plan = plan_of(SEARCH)
    assert not search_result(plan, plan.searches[0], frame()).has_baseline
    plan = plan_of(LOSSES, SEARCH)
    first = plan.tables[0].cells[0].trials
    more = [run(t.digest, v, seed=t.seed) for t, v in zip(first, (0.5, 0.6, 0.7), strict=True)]
    result = search_result(plan, plan.searches[0], frame(*more))
    assert result.baseline[0] is None
    assert result.baseline[1].mean == pytest.approx(0.6)
    assert result.baseline_values == ("0.001", "open_clip")


def test_nothing_sampled_yet(plan_of) -> None:
    plan = plan_of(SEARCH)
    result = search_result(plan, plan.searches[0], prepared(pl.DataFrame()))
    assert result.best == ()
    assert result.counts == {"finished": 0}
    assert result.frame.columns[:2] == ["table", "rank"]
