"""A table that is a search: Optuna's TPE proposes, ASHA stops what falls behind on val/map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import ValidationError
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from concepthash.plan import Plan, Trial
from concepthash.spec import SearchTable, changed
from concepthash.spec.search import Dimension
from concepthash.tracking import Earlier

METRIC = "val/map"


class ValidatedSearch(OptunaSearch):
    """Hears of validated epochs alone; Tune tells it of every report."""

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if METRIC in result:
            super().on_trial_result(trial_id, result)


@dataclass(frozen=True)
class Search:
    """What is left of a search, and what its earlier trials taught."""

    table: SearchTable
    trial: Trial
    """The baseline that its trials change; they all train with the study's first seed."""
    points: tuple[dict[str, Any], ...]
    rewards: tuple[float, ...]

    @property
    def left(self) -> int:
        """How many trials to sample; a space of few combinations is exhausted earlier."""
        search = self.table.search
        sizes = [dimension.size for dimension in search.space.values()]
        return max(0, int(min(search.trials, math.prod(sizes))) - len(self.points))

    def searcher(self) -> ValidatedSearch:
        search = self.table.search
        return ValidatedSearch(
            {name: _distribution(dimension) for name, dimension in search.space.items()},
            metric=METRIC,
            mode="max",
            # A search that goes on must not repeat the draws that it began with.
            seed=search.seed + len(self.points),
            points_to_evaluate=list(self.points) or None,
            evaluated_rewards=list(self.rewards) or None,
        )

    def scheduler(self) -> ASHAScheduler:
        return ASHAScheduler(
            time_attr="epoch",
            metric=METRIC,
            mode="max",
            max_t=self.trial.spec.epochs,
            grace_period=min(self.table.search.grace_epochs, self.trial.spec.epochs),
        )


def plan_search(plan: Plan, table: SearchTable, earlier: Mapping[str, Earlier]) -> Search:
    """The search with its earlier trials that still hold: same baseline, inside the space."""
    trial = plan.baseline
    space = {name: _distribution(dimension) for name, dimension in table.search.space.items()}
    known = [
        (run.sampled, run.metrics[METRIC])
        for digest, run in earlier.items()
        if run.table == table.name
        and run.status in ("FINISHED", "PRUNED")
        and METRIC in run.metrics
        and _inside(space, run.sampled)
        and _digest(trial, run.sampled) == digest
    ]
    return Search(
        table, trial, tuple(point for point, _ in known), tuple(reward for _, reward in known)
    )


def _distribution(dimension: Dimension) -> BaseDistribution:
    if dimension.choices is not None:
        return CategoricalDistribution(dimension.choices)
    low, high = dimension.low, dimension.high
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=dimension.log)
    assert low is not None  # the spec checked that there is a range
    assert high is not None
    return FloatDistribution(low, high, log=dimension.log)


def _inside(space: Mapping[str, BaseDistribution], point: Mapping[str, Any]) -> bool:
    if space.keys() != point.keys():
        return False
    return all(
        point[name] in of.choices
        if isinstance(of, CategoricalDistribution)
        else of.low <= point[name] <= of.high  # type: ignore[attr-defined]
        for name, of in space.items()
    )


def _digest(trial: Trial, sampled: Mapping[str, Any]) -> str | None:
    try:
        spec = changed(trial.spec, sampled)
    except ValidationError:
        return None
    return trial.model_copy(update={"spec": spec}).digest
