from __future__ import annotations

import polars as pl
from report_studies import BITS, CLAIMS, LOSSES, SEARCH, run

from concepthash.report.claims import claims_results
from concepthash.report.overview import progress, trial_lines
from concepthash.report.search import search_result
from concepthash.report.tables import grid_results, prepared


def test_progress_counts_trials_once_and_cells_each(plan_of, trials_of) -> None:
    plan = plan_of(LOSSES, BITS, SEARCH, seeds=[0])
    trials = trials_of(
        plan, {("baseline", "baseline"): [0.5], ("no margin", "baseline"): ["failed"]}
    )
    trials = prepared(trials)
    searches = [search_result(plan, table, trials) for table in plan.searches]
    found = progress(plan, trials, grid_results(plan, trials), searches)
    # The baseline of 64 bits stands in both tables: 3 + 6 cells, 8 trials.
    assert (found.cells, found.trials) == (9, 8)
    assert (found.cells_done, found.trials_done) == (2, 1)
    assert found.troubles == {"failed": 1, "missing": 6}
    assert (found.sampled, found.to_sample) == (0, 6)
    assert found.cost == "2 min 02 s on cpu"
    assert found.warning.startswith("1 failed, 6 missing of 8 planned trials: 7 cells incomplete")


def test_every_trial_is_listed_with_its_cells(plan_of, trials_of) -> None:
    plan = plan_of(LOSSES, BITS, SEARCH, seeds=[0])
    shared = plan.tables[0].cells[0].trials[0].digest
    trials = [
        run(shared, 0.5, seed=0),
        run("e" * 12, "pruned", seed=4, table="search"),
        run("f" * 12, 0.1, seed=9),
    ]
    lines = trial_lines(plan, prepared(pl.DataFrame(trials, infer_schema_length=None)))
    assert len(lines) == 8 + 2
    by_digest = {line.digest: line for line in lines}
    assert by_digest[shared].places == ("losses: baseline", "bits: text × 64 bits")
    assert (by_digest[shared].value, by_digest[shared].run_id) == (0.5, f"run-{shared}")
    assert by_digest["e" * 12].places == ("search: sampled",)
    assert by_digest["f" * 12].places == ("not in the study file",)
    assert [line.status for line in lines].count("missing") == 7


def test_the_sides_of_claims_count_as_cells_and_their_trials_as_trials(plan_of, trials_of) -> None:
    plan = plan_of(CLAIMS, seeds=[0, 1])
    values = {
        ("Language helps", "better"): [0.8, 0.9],
        ("Language helps", "than"): [0.7, "failed"],
    }
    trials = prepared(trials_of(plan, values))
    found = progress(plan, trials, claims_results(plan, trials), [])
    # The baseline is one side of both claims; it has finished, though without the overlap.
    assert (found.cells, found.trials) == (4, 6)
    assert (found.cells_done, found.trials_done) == (1, 3)
    assert found.troubles == {"failed": 1, "missing": 2}


def test_a_trial_of_several_claims_names_them_by_number(plan_of) -> None:
    plan = plan_of(CLAIMS, LOSSES, seeds=[0])
    places = [line.places for line in trial_lines(plan, prepared(pl.DataFrame()))]
    assert places == [
        ("claims: better in 1, 2", "losses: baseline"),
        ("claims: than in 1",),
        ("claims: than in 2",),
        ("losses: no quantization",),
        ("losses: no margin",),
    ]
