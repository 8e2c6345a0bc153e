"""What of a study is trained, running, failed or left, from a plan and the runs in the store."""

from __future__ import annotations

import pytest
from plans import CONCEPTS, GRID, WEIGHTS, plan_of, run, sampled

from concepthash.study.points import point_at
from concepthash.study.state import StudyState, TrialState, state_of, state_to_run

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
