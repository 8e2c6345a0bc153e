from __future__ import annotations

import polars as pl
from report_studies import BITS, CLAIMS, LOSSES, SEARCH, run, tables_of

from concepthash.report.cells import prepared
from concepthash.report.overview import Progress, TrialLine, progress, trial_lines


def progress_of(plan, trials: pl.DataFrame) -> Progress:
    return progress(plan, prepared(trials), tables_of(plan, trials))


def lines_of(plan, trials: pl.DataFrame) -> list[TrialLine]:
    return trial_lines(plan, prepared(trials), tables_of(plan, trials))


def test_progress_counts_trials_once_and_cells_each(plan_of, trials_of) -> None:
    plan = plan_of(LOSSES, BITS, SEARCH, seeds=[0])
    values = {("baseline", "baseline"): [0.5], ("no margin", "baseline"): ["failed"]}
    found = progress_of(plan, trials_of(plan, values))
    # The baseline of 64 bits stands in both tables: 3 + 6 cells, 8 trials.
    assert found.done == "2 of 9 cells, 1 of 8 trials; 0 of 6 sampled trials"
    assert found.unfinished == {"failed": 1, "missing": 6}
    assert found.cost == "2 min 02 s on cpu"
    assert found.warning.startswith("1 failed, 6 missing of 8 planned trials: 7 cells incomplete")


def test_progress_counts_the_sides_of_claims_as_cells(plan_of, trials_of) -> None:
    plan = plan_of(CLAIMS, seeds=[0, 1])
    values = {
        ("Language helps", "better"): [0.8, 0.9],
        ("Language helps", "than"): [0.7, "failed"],
    }
    found = progress_of(plan, trials_of(plan, values))
    # The baseline is one side of both claims; it has finished, though without the overlap.
    assert found.done == "1 of 4 cells, 3 of 6 trials"
    assert found.unfinished == {"failed": 1, "missing": 2}


def test_progress_of_a_complete_study_warns_of_nothing(plan_of, trials_of) -> None:
    plan = plan_of({"name": "t", "rows": [{"label": "a"}]}, seeds=[0])
    assert progress_of(plan, trials_of(plan, {("a", "baseline"): [0.5]})).warning == ""


def test_every_trial_is_listed_with_its_cells(plan_of) -> None:
    plan = plan_of(LOSSES, BITS, SEARCH, seeds=[0])
    shared = plan.tables[0].cells[0].trials[0].digest
    trials = [
        run(shared, 0.5, seed=0),
        run("e" * 12, "pruned", seed=4, table="search"),
        run("f" * 12, 0.1, seed=9),
    ]
    lines = lines_of(plan, pl.DataFrame(trials, infer_schema_length=None))
    assert len(lines) == 8 + 2
    by_digest = {line.digest: line for line in lines}
    assert by_digest[shared].places == ("losses: baseline", "bits: text × 64 bits")
    assert (by_digest[shared].value, by_digest[shared].run_id) == (0.5, f"run-{shared}")
    assert by_digest["e" * 12].places == ("search: sampled",)
    assert by_digest["f" * 12].places == ("not in the study file",)
    assert [line.status for line in lines].count("missing") == 7


def test_a_trial_of_several_claims_names_them_by_number(plan_of) -> None:
    plan = plan_of(CLAIMS, LOSSES, seeds=[0])
    assert [line.places for line in lines_of(plan, pl.DataFrame())] == [
        ("claims: better in 1, 2", "losses: baseline"),
        ("claims: than in 1",),
        ("claims: than in 2",),
        ("losses: no quantization",),
        ("losses: no margin",),
    ]
