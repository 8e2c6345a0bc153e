"""What of a study is trained, running, failed or left, from a plan and the runs in the store."""

from __future__ import annotations

import json

import pytest

from concepthash.plan import Plan, make_plan
from concepthash.spec import StudySpec
from concepthash.study.describe import as_text, describe, size_in_words
from concepthash.study.points import point_at
from concepthash.study.state import StudyState, TrialState, state_of, state_to_run
from concepthash.tracking.runs import Earlier, Status

GRID = {"name": "bits", "rows": {"num_bits": [16, 32]}, "columns": {"batch_size": [8, 16]}}
WEIGHTS = {
    "name": "weights",
    "search": {"trials": 5, "space": {"loss.quantization": {"low": 0.1, "high": 10}}},
}
CONCEPTS = {
    "name": "concepts",
    "search": {"trials": 5, "space": {"num_concepts": {"choices": [1, 2, 4]}}},
}


def plan_of(*tables: object, seeds: tuple[int, ...] = (0,)) -> Plan:
    study = {"name": "small", "dataset": {"name": "paperbirds"}, "seeds": seeds, "tables": tables}
    study["baseline"] = {"num_bits": 16, "epochs": 4}
    return make_plan(StudySpec.model_validate_json(json.dumps(study)))


def run(status: Status, **known: object) -> Earlier:
    return Earlier("run", status, **known)  # type: ignore[arg-type]


def sampled(plan: Plan, status: Status, table: str, **values: object) -> dict[str, Earlier]:
    """A run of a trial that a search sampled; `__` in a name stands for a dot."""
    changes = {name.replace("__", "."): value for name, value in values.items()}
    point = point_at(plan.baseline, changes)
    assert point is not None
    known = {"table": table, "sampled": changes, "metrics": {"val/map": 0.5}, "epoch": 4}
    return {point.trial.digest: run(status, **known)}


# --- trials of cells -------------------------------------------------------------------------


def test_every_trial_of_a_cell_is_missing_when_the_store_is_empty():
    plan = plan_of(GRID, seeds=(0, 1))
    state = state_of(plan, {})
    assert [trial.status for trial in state.trials.values()] == ["missing"] * 8
    assert state.cells_to_train == list(plan.trials.values())
    assert state.counts._asdict() == {
        "total": 8, "finished": 0, "pruned": 0, "failed": 0, "running": 0, "left": 8
    }  # fmt: skip
    assert state.epochs_left == 8 * 4


def test_only_what_is_not_finished_and_not_running_is_to_train():
    plan = plan_of(GRID)
    one, two, three, four = plan.trials
    earlier = {one: run("finished"), two: run("failed"), three: run("running")}
    state = state_of(plan, earlier | {four: run("interrupted", epoch=3)})
    assert [trial.digest for trial in state.cells_to_train] == [two, four]
    assert state.counts.left == 2
    assert (state.counts.finished, state.counts.failed, state.counts.running) == (1, 1, 1)
    assert state.epochs_left == 4 + 4 + 1  # the failed one and the running one from the start


def test_a_run_that_is_in_no_table_of_the_plan_does_not_count():
    state = state_of(plan_of(GRID), {"0123456789ab": run("finished")})
    assert state.counts.finished == 0
    assert "0123456789ab" not in state.trials


def test_a_new_run_trains_failed_trials_anew_and_goes_on_with_interrupted_ones():
    plan = plan_of(GRID)
    one, two, three, _ = plan.trials
    earlier = {
        one: run("failed", epoch=2),
        two: run("running", epoch=2),
        three: run("interrupted", epoch=3),
    }
    state = state_to_run(plan, earlier)
    assert [trial.status for trial in state.trials.values()] == [
        "missing", "interrupted", "interrupted", "missing"
    ]  # fmt: skip
    assert state.epochs_left == 4 + 2 + 1 + 4
    assert state.counts.failed == 0


def test_a_trial_is_labelled_by_the_first_cell_that_it_stands_in():
    claims = {"name": "c", "claims": [{"claim": "?", "better": {}, "than": {"num_bits": 32}}]}
    plan = plan_of(claims, {"name": "b", "rows": [{"label": "as it is"}]}, GRID)
    labels = [trial.label for trial in state_of(plan, {}).trials.values()]
    assert labels[:2] == ["baseline", "32 bits"]
    assert labels[2:] == [
        f"{bits} bits, batch_size = {size}" for bits in (16, 32) for size in (8, 16)
    ]


# --- searches --------------------------------------------------------------------------------


def test_a_search_samples_what_its_finished_and_pruned_trials_leave():
    plan = plan_of(WEIGHTS)
    earlier = {
        **sampled(plan, "finished", "weights", loss__quantization=0.5),
        **sampled(plan, "pruned", "weights", loss__quantization=2.0),
        **sampled(plan, "failed", "weights", loss__quantization=3.0),
        **sampled(plan, "interrupted", "weights", loss__quantization=4.0),
    }
    search = state_of(plan, earlier).searches["weights"]
    assert search.left == 3
    known = [(point.values, value) for point, value in search.known]
    assert known == [({"loss.quantization": 0.5}, 0.5), ({"loss.quantization": 2.0}, 0.5)]
    counts = state_to_run(plan, earlier).counts
    assert (counts.total, counts.finished, counts.pruned, counts.failed) == (5, 1, 1, 0)


@pytest.mark.parametrize(
    "changed",
    [
        {"table": "another"},
        {"sampled": {"loss.quantization": 50.0}},  # outside the space
        {"sampled": {"loss.quantization": 0.7}},  # not the trial of this digest
        {"sampled": {"loss.classification": 0.5}},  # not searched
    ],
)
def test_a_sampled_trial_of_another_search_space_or_baseline_does_not_count(changed):
    plan = plan_of(WEIGHTS)
    ((digest, known),) = sampled(plan, "finished", "weights", loss__quantization=0.5).items()
    search = state_of(plan, {digest: known._replace(**changed)}).searches["weights"]
    assert (search.left, search.known) == (5, ())


def test_a_space_of_few_combinations_leaves_no_more_trials_than_it_has():
    assert state_of(plan_of(CONCEPTS), {}).searches["concepts"].left == 3


def test_a_search_does_not_sample_what_a_cell_trains_already():
    rows = {"name": "g", "rows": {"num_concepts": [1, 2, 4]}}
    state = state_of(plan_of(rows, CONCEPTS), {})
    assert state.searches["concepts"].left == 0
    assert state.counts.total == 3


def test_a_finished_trial_of_a_cell_is_an_evaluated_point_of_a_search_around_it():
    plan = plan_of({"name": "b", "rows": [{"label": "as it is"}]}, WEIGHTS)
    finished = run("finished", metrics={"val/map": 0.25})
    search = state_of(plan, dict.fromkeys(plan.trials, finished)).searches["weights"]
    assert [(dict(point.values), value) for point, value in search.known] == [
        ({"loss.quantization": 1}, 0.25)
    ]
    assert search.left == 5  # it was not sampled


def test_a_pruned_trial_that_is_also_in_a_cell_is_trained_to_the_end():
    plan = plan_of({"name": "g", "rows": {"num_concepts": [2]}}, CONCEPTS)
    (digest,) = plan.trials
    state = state_to_run(plan, sampled(plan, "pruned", "concepts", num_concepts=2))
    assert [trial.digest for trial in state.cells_to_train] == [digest]
    assert (state.counts.pruned, state.counts.left) == (0, 1 + 2)


# --- events ----------------------------------------------------------------------------------


@pytest.fixture
def state() -> StudyState:
    return state_of(plan_of(GRID, WEIGHTS), {})


def trial(state: StudyState, number: int) -> TrialState:
    return list(state.trials.values())[number]


def test_events_take_a_trial_from_missing_to_finished(state):
    one = trial(state, 0)
    state.started(one.trial, at=0.0)
    assert one.status == "running"
    state.reported(one.trial.digest, {"epoch": 1, "val/map": 0.5}, at=1.0)
    state.reported(one.trial.digest, {"epoch": 2, "train/total": 3.0}, at=2.0)
    assert (one.epoch, one.metrics["val/map"], one.metrics["train/total"]) == (2, 0.5, 3.0)
    state.ended(one.trial.digest, "finished")
    assert (state.counts.finished, state.counts.running, state.counts.left) == (1, 0, 8)


def test_time_left_is_that_of_the_epochs_left_at_the_speed_of_this_run(state):
    one, two = trial(state, 0), trial(state, 1)
    state.started(one.trial, at=100.0)
    assert state.seconds_left(at=110.0) is None  # no epoch yet
    state.reported(one.trial.digest, {"epoch": 1}, at=110.0)
    state.reported(one.trial.digest, {"epoch": 2}, at=120.0)
    # 4 cells and 5 sampled trials of 4 epochs each, 2 epochs are done.
    assert state.seconds_left(at=120.0) == pytest.approx(10.0 * (9 * 4 - 2))
    state.started(two.trial, at=120.0)
    state.ended(one.trial.digest, "failed", "out of memory")  # its other epochs will not come
    assert state.seconds_left(at=120.0) == pytest.approx(10.0 * (8 * 4))
    assert state.seconds_left(at=125.0) == pytest.approx(10.0 * (8 * 4) - 5.0)


def test_a_sampled_trial_takes_one_of_the_trials_of_its_search(state):
    point = point_at(state.searches["weights"].baseline, {"loss.quantization": 0.5})
    total = state.counts.total
    state.started(point.trial, 0.0, "weights", "L_quan = 0.5")
    assert state.searches["weights"].left == 4
    state.reported(point.trial.digest, {"epoch": 2, "val/map": 0.1}, at=1.0)
    state.ended(point.trial.digest, "pruned")
    assert (state.counts.pruned, state.counts.total) == (1, total)
    assert state.trials[point.trial.digest].label == "L_quan = 0.5"


def test_an_exhausted_search_ends_with_fewer_trials(state):
    state.exhausted("weights")
    assert (state.counts.total, state.counts.left) == (4, 4)


def test_a_study_has_ended_when_every_trial_is_finished_or_failed(state):
    state.exhausted("weights")
    *others, last = state.trials.values()
    for known in others:
        state.started(known.trial, 0.0)
        state.ended(known.trial.digest, "finished")
    assert not state.all_ended
    state.started(last.trial, 0.0)
    assert not state.all_ended
    state.ended(last.trial.digest, "failed", "out of memory")
    assert state.all_ended


# --- described -------------------------------------------------------------------------------


def test_a_plan_in_words_marks_trials_and_says_what_is_left():
    plan = plan_of({"name": "bits", "rows": {"num_bits": [16, 32, 64]}}, WEIGHTS, seeds=(0, 1))
    a, b, c, d, e, f = plan.trials
    earlier = {
        a: run("finished", metrics={"time/total_s": 12.0}),
        b: run("failed"),
        c: run("running", epoch=1),
        d: run("interrupted", epoch=1),
        **sampled(plan, "pruned", "weights", loss__quantization=2.0),
    }
    text = as_text(plan, state_of(plan, earlier))
    assert text.splitlines() == [
        "small",
        "",
        "table bits (test/map)",
        f"  16 bits | baseline  {a}* {b}!",
        f"  32 bits | baseline  {c}> {d}~",
        f"  64 bits | baseline  {e}  {f}",
        "",
        "search weights: 5 trials (0 trained, 1 pruned, 4 left), over",
        "  loss.quantization",
        "",
        "8 of 11 trials to train; * = trained; ! = failed; > = running; ~ = not finished",
        # 2 missing ones, the failed one, 3 epochs of those begun, 4 sampled: 34 epochs of 3 s
        "about 1 min 42 s of training, at 3 s an epoch as in the trials that are trained",
    ]


def test_a_search_in_words_has_its_best_trials_first():
    plan = plan_of(WEIGHTS)
    better = sampled(plan, "finished", "weights", loss__quantization=2.0)
    worse = sampled(plan, "finished", "weights", loss__quantization=3.0)
    ((good, first),), ((bad, second),) = better.items(), worse.items()
    earlier = {
        bad: second._replace(metrics={"val/map": 0.25}),
        good: first._replace(metrics={"val/map": 0.5}),
    }
    assert as_text(plan, state_of(plan, earlier)).splitlines()[2:] == [
        "search weights: 5 trials (2 trained, 0 pruned, 3 left), over",
        "  loss.quantization",
        "  its best by val/map:",
        f"    0.5000  {good}  loss.quantization = 2.0",
        f"    0.2500  {bad}  loss.quantization = 3.0",
        "",
        "3 of 5 trials to train",
    ]
    described = describe(plan, state_of(plan, earlier))
    assert described["tables"][0]["trials"] == [good, bad]
    assert {t["digest"]: t["configuration"]["loss.quantization"] for t in described["trials"]} == {
        good: 2.0,
        bad: 3.0,
    }


def test_the_size_of_a_study_counts_what_its_searches_sample():
    assert size_in_words(plan_of(GRID)) == "4 trials"
    assert size_in_words(plan_of(WEIGHTS)) == "5 trials of search weights"
    assert size_in_words(plan_of(GRID, WEIGHTS)) == "4 trials, 5 trials of search weights"


def test_a_plan_in_json_has_the_status_of_each_trial():
    plan = plan_of(GRID, CONCEPTS)
    done, failed, *_ = plan.trials
    described = describe(plan, state_of(plan, {done: run("finished"), failed: run("failed")}))
    assert json.loads(json.dumps(described)) == described
    grid, search = described["tables"]
    assert [cell["trials"] for cell in grid["cells"]] == [[digest] for digest in plan.trials]
    assert (search["metric"], search["cells"], search["trials_left"]) == ("test/map", [], 3)
    assert described["trials"][0] == {
        "digest": done,
        "seed": 0,
        "label": "16 bits, batch_size = 8",
        "status": "finished",
        "done": True,
        "metrics": {},
        "configuration": plan.trials[done].parameters(),
    }
    assert [trial["status"] for trial in described["trials"]] == [
        "finished", "failed", "missing", "missing"
    ]  # fmt: skip
    assert described["left"] == {"trials": 6, "epochs": 24}
