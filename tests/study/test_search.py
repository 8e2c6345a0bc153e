"""The proposals of a search: Optuna's TPE without Ray, and points of a space."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from ray.tune.search import Searcher

from concepthash.plan import Plan, Trial, make_plan
from concepthash.spec import StudySpec
from concepthash.study.points import covering_points, every_point, point_at, point_of
from concepthash.study.search import TpeSearch, scheduler
from concepthash.study.state import state_of
from concepthash.tracking.runs import Earlier

Space = dict[str, dict[str, Any]]

WEIGHT: Space = {"loss.quantization": {"low": 0.1, "high": 10.0, "log": True}}
MEMBERS: Space = {
    "tuning.width": {"choices": [8, 16]},  # only adapters have it
    "tuning": {"choices": ["full", "adapters"]},
    "num_concepts": {"choices": [1, 4]},
    "loss.concept_spatial_diversity": {"choices": [1, 2]},  # no effect with one concept
}
LOSSES = ("classification", "quantization", "concept_spatial_diversity", "concept_discrimination")
MEMBERS_POINTS = 9
"""3 of tuning (full, and adapters of two widths) times 3 of concepts and diversity."""


def plan_of(space: Space, *tables: object, trials: int = 20, **baseline: object) -> Plan:
    search = {"name": "s", "search": {"trials": trials, "space": space}}
    study = {"name": "small", "dataset": {"name": "paperbirds"}, "seeds": [0]}
    study |= {"baseline": {"num_bits": 16, "epochs": 4} | baseline, "tables": [*tables, search]}
    return make_plan(StudySpec.model_validate_json(json.dumps(study)))


def search_of(plan: Plan, earlier: dict[str, Earlier] | None = None) -> TpeSearch:
    return TpeSearch(state_of(plan, earlier or {}).searches["s"], plan.trials)


def proposals(search: TpeSearch, most: int, score=lambda values: 0.5) -> list[dict[str, Any]]:
    """What it proposes, each trained before the next, until it finishes."""
    found = []
    for number in map(str, range(most)):
        values = search.suggest(number)
        if values == Searcher.FINISHED:
            break
        found.append(values)
        search.on_trial_complete(number, {"val/map": score(values), "epoch": 4})
    return found


def test_a_point_has_only_the_fields_of_the_chosen_members():
    for point in proposals(search_of(plan_of(MEMBERS)), MEMBERS_POINTS):
        assert ("tuning.width" in point) == (point["tuning"] == "adapters")
        assert ("loss.concept_spatial_diversity" in point) == (point["num_concepts"] > 1)


def test_a_space_of_few_points_is_proposed_once_each_and_ends_the_search():
    plan = plan_of(MEMBERS)
    search = search_of(plan)
    found = proposals(search, 20)
    trained = {point_at(plan.baseline, values).trial.digest for values in found}
    assert len(found) == len(trained) == MEMBERS_POINTS
    assert search.exhausted


def test_a_trial_of_a_cell_is_not_proposed():
    plan = plan_of(MEMBERS, {"name": "g", "rows": [{"tuning": "full", "num_concepts": 1}]})
    found = proposals(search_of(plan), 20)
    assert len(found) == MEMBERS_POINTS - 1
    assert {"tuning": "full", "num_concepts": 1} not in found


def test_an_unbounded_space_never_repeats_and_never_ends():
    found = proposals(search_of(plan_of(WEIGHT | MEMBERS)), 40)
    assert len({json.dumps(values, sort_keys=True) for values in found}) == 40


def test_an_impossible_proposal_is_replaced_by_another():
    """A code of 16 bits has 1, 2, 4, 8 or 16 concepts; Optuna draws any number up to 16."""
    plan = plan_of({"num_concepts": {"low": 1, "high": 16}, **WEIGHT})
    search = search_of(plan)
    assert {values["num_concepts"] for values in proposals(search, 12)} <= {1, 2, 4, 8, 16}
    states = [trial.state.name for trial in search.study.trials]
    assert states.count("COMPLETE") == 12
    assert states.count("FAIL") > 0


def test_later_proposals_lie_where_earlier_ones_were_good():
    def score(values: dict[str, Any]) -> float:
        return math.log10(values["loss.quantization"])  # from -1 to 1, best at the upper end

    scores = [score(values) for values in proposals(search_of(plan_of(WEIGHT)), 40, score)]
    assert sum(scores[20:]) / 20 > 0.5  # of uniform proposals the mean is 0


def test_a_search_hears_of_validated_epochs_only():
    search = search_of(plan_of(WEIGHT))
    for number in "012":
        search.suggest(number)
    search.on_trial_result("0", {"epoch": 1, "train/total": 3.0})
    search.on_trial_result("0", {"epoch": 2, "train/total": 2.0, "val/map": 0.25})
    search.on_trial_complete("0", {"epoch": 2, "val/map": 0.25})
    search.on_trial_complete("1", {"epoch": 1, "train/total": 3.0})
    search.on_trial_complete("2", None, error=True)
    validated, not_validated, failed = search.study.trials
    assert (validated.value, validated.intermediate_values) == (0.25, {2: 0.25})
    assert [trial.state.name for trial in (not_validated, failed)] == ["FAIL", "FAIL"]


@pytest.mark.parametrize("space", [WEIGHT, MEMBERS], ids=["weight", "members"])
def test_a_search_that_goes_on_knows_its_earlier_trials_and_repeats_none(space):
    plan = plan_of(space)
    first = proposals(search_of(plan), 5)
    earlier = {
        point_at(plan.baseline, values).trial.digest: Earlier(
            "run", "finished", {"val/map": number / 10}, table="s", sampled=values
        )
        for number, values in enumerate(first)
    }
    search = search_of(plan, earlier)
    assert [trial.value for trial in search.study.trials] == [0.0, 0.1, 0.2, 0.3, 0.4]
    second = proposals(search, 4)
    assert len(second) == 4
    assert not [values for values in second if values in first]


@pytest.mark.parametrize(
    ("space", "longest"), [(WEIGHT, 4), ({"epochs": {"low": 2, "high": 7}}, 7)]
)
def test_trials_may_train_as_many_epochs_as_the_longest(space, longest):
    search = state_of(plan_of(space), {}).searches["s"]
    assert scheduler(search)._max_t == longest


# --- points ----------------------------------------------------------------------------------


def test_every_point_is_recovered_from_its_trial():
    plan = plan_of(MEMBERS)
    space = plan.searches[0].search.space
    points = every_point(plan.baseline, space)
    assert len(points) == MEMBERS_POINTS
    for point in points.values():
        assert point_of(plan.baseline, space, point.trial) == point


@pytest.mark.parametrize(
    ("changes", "inside"),
    [
        ({"loss.quantization": 2.0}, True),
        ({"loss.quantization": 20.0}, False),
        ({"loss.quantization": 2.0, "num_bits": 32}, False),
    ],
)
def test_a_trial_lies_in_a_space_if_it_differs_from_the_baseline_there_only(changes, inside):
    plan = plan_of(WEIGHT)
    trial = point_at(plan.baseline, changes).trial
    found = point_of(plan.baseline, plan.searches[0].search.space, trial)
    assert (found is not None) == inside


@pytest.mark.parametrize(
    ("space", "most"),
    [
        (MEMBERS, 4),
        (WEIGHT | {"num_bits": {"low": 8, "high": 64}}, 2),
        ({f"loss.{name}": {"choices": list(range(1, 9))} for name in LOSSES}, 8),
    ],
    ids=["fields of members", "ranges", "4,096 combinations"],
)
def test_few_points_cover_a_space(space, most):
    plan = plan_of(space)
    points = covering_points(plan.baseline, plan.searches[0].search.space)
    assert len(points) <= most
    for name, dimension in space.items():
        seen = {repr(point.values[name]) for point in points if name in point.values}
        wanted = dimension.get("choices") or [dimension["low"], dimension["high"]]
        assert seen == set(map(repr, wanted))


def test_a_trial_of_another_seed_lies_in_no_space():
    plan = plan_of(WEIGHT)
    other = Trial(dataset=plan.baseline.dataset, spec=plan.baseline.spec, seed=1)
    assert point_of(plan.baseline, plan.searches[0].search.space, other) is None


def test_a_space_that_is_not_finite_or_too_large_is_not_listed():
    for space in (WEIGHT, {"epochs": {"low": 1, "high": 2000}}):
        plan = plan_of(space)
        assert every_point(plan.baseline, plan.searches[0].search.space) is None
