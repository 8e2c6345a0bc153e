"""Captions say where the trials of a table were not all computed alike."""

from __future__ import annotations

import polars as pl
import pytest
from report_studies import LOSSES, SEARCH, run, tables_of

NOTE = "Its trials were not computed alike, and rounding differs: "
FIRST = {"precision": "bf16", "processor": "EPYC 9R14"}
SECOND = {"precision": "fp32", "processor": "EPYC 7R13"}


def frame_of(plan, *computed: dict[str, str]) -> pl.DataFrame:
    """A finished run of each planned trial, computed in these ways in turn."""
    digests = enumerate(plan.trials)
    rows = [run(digest, 0.5, **computed[i % len(computed)]) for i, digest in digests]
    return pl.DataFrame(rows)


def test_a_table_whose_trials_were_computed_differently_says_so(plan_of):
    plan = plan_of(LOSSES)
    (table,) = tables_of(plan, frame_of(plan, FIRST, FIRST, SECOND))
    says = f"{NOTE}6 trials in bf16 on EPYC 9R14, 3 trials in fp32 on EPYC 7R13."
    assert table.caption.endswith(says)
    assert table.tex_caption.endswith(says)


@pytest.mark.parametrize("alike", [FIRST, {"precision": "", "processor": ""}, {}])
def test_a_table_whose_trials_were_computed_alike_says_nothing(plan_of, alike):
    plan = plan_of(LOSSES)
    (table,) = tables_of(plan, frame_of(plan, alike))
    assert "computed alike" not in table.caption


def test_a_trial_that_went_on_elsewhere_differs_from_the_others(plan_of):
    plan = plan_of(LOSSES, seeds=[0])
    moved = {"precision": "bf16, then fp32", "processor": "EPYC 9R14, then EPYC 7R13"}
    (table,) = tables_of(plan, frame_of(plan, FIRST, FIRST, moved))
    assert "1 trial in bf16, then fp32 on EPYC 9R14, then EPYC 7R13" in table.caption


def test_only_trials_of_the_table_count(plan_of):
    plan = plan_of(LOSSES, SEARCH)
    other = run("0123456789ab", 0.5, table="other", **SECOND)
    frame = pl.concat([frame_of(plan, FIRST), pl.DataFrame([other])], how="diagonal_relaxed")
    assert not any("computed alike" in table.caption for table in tables_of(plan, frame))
