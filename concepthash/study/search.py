"""A table that is a search: Optuna's TPE proposes, ASHA stops what falls behind on val/map."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import TrialState as OptunaState
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from concepthash.spec.changes import exists, in_order
from concepthash.spec.search import Dimension
from concepthash.study.points import (
    Point,
    Values,
    every_point,
    most_epochs,
    point_at,
)
from concepthash.study.state import METRIC, SearchState

optuna.logging.set_verbosity(optuna.logging.WARNING)

_ATTEMPTS = 100
"""Proposals in a row that are impossible or taken, before another way is tried."""


class TpeSearch(Searcher):
    """Proposes the trials of a search that are in no cell and were not evaluated before.

    The evaluated points of earlier runs are added to Optuna's study, so that a search goes on as
    if it had not been interrupted.
    """

    def __init__(self, search: SearchState, in_cells: Collection[str]) -> None:
        """`in_cells` are the digests of the trials of cells, which are trained for their tables."""
        super().__init__(metric=METRIC, mode="max")
        self.baseline, self.space = search.baseline, search.table.search.space
        sampled_before = sum(point.trial.digest not in in_cells for point, _ in search.known)
        self.study = optuna.create_study(
            direction="maximize",
            # A search that goes on must not repeat the draws that it started with.
            sampler=TPESampler(seed=search.table.search.seed + sampled_before),
        )
        for point, value in search.known:
            self.study.add_trial(
                optuna.trial.create_trial(
                    value=value,
                    params=self._parameters(point.values),
                    distributions={n: _distribution(self.space[n]) for n in point.values},
                )
            )
        self.taken = {*in_cells, *(point.trial.digest for point, _ in search.known)}
        self.proposed: dict[str, optuna.Trial] = {}  # by Tune's id of the trial
        self.exhausted = False

    # --- what Tune calls ---

    def suggest(self, trial_id: str) -> Any:
        """The values of the next point; `Searcher.FINISHED` if there is no other."""
        point = self._propose(trial_id) or self._propose_another(trial_id)
        if point is None:
            self.exhausted = True
            return Searcher.FINISHED
        return dict(point.values)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tune tells of every epoch; only validated ones say something."""
        if METRIC in result:
            self.proposed[trial_id].report(result[METRIC], int(result["epoch"]))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        proposed = self.proposed.pop(trial_id)
        if error or not result or METRIC not in result:
            self.study.tell(proposed, state=OptunaState.FAIL)
        else:
            self.study.tell(proposed, result[METRIC])

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the next run rebuilds the search from the tracking store."""
        Path(checkpoint_path).touch()

    # --- proposals ---

    def _propose(self, trial_id: str) -> Point | None:
        """The sampler's next point that is possible and not taken; None if it finds none."""
        for _ in range(_ATTEMPTS):
            proposed = self.study.ask()
            point = self._draw(proposed)
            if point is not None and point.trial.digest not in self.taken:
                self.taken.add(point.trial.digest)
                self.proposed[trial_id] = proposed
                return point
            self.study.tell(proposed, state=OptunaState.FAIL)
        return None

    def _propose_another(self, trial_id: str) -> Point | None:
        """Where TPE only repeats itself: one of the points that are left, or a random one."""
        points = every_point(self.baseline, self.space)
        if points is None:
            tpe, self.study.sampler = self.study.sampler, RandomSampler(seed=len(self.taken))
            point = self._propose(trial_id)
            self.study.sampler = tpe
            return point
        for digest, left in points.items():
            if digest not in self.taken:
                self.study.enqueue_trial(self._parameters(left.values))
                return self._propose(trial_id)
        return None

    def _draw(self, proposed: optuna.Trial) -> Point | None:
        """Samples members of unions first, then only the fields that the chosen members have."""
        values: dict[str, Any] = {}
        for name in in_order(self.space):
            chosen = point_at(self.baseline, values)
            if chosen is None or exists(chosen.trial.spec, name):
                values[name] = _suggest(proposed, name, self.space[name])
        return point_at(self.baseline, values)

    def _parameters(self, values: Values) -> dict[str, Any]:
        """A point as Optuna has it, the reverse of `_suggest`."""
        parameters = {}
        for name, value in values.items():
            choices = self.space[name].choices
            parameters[name] = choices.index(value) if choices is not None else value
        return parameters


# Of choices, Optuna is given the positions: it takes no lists and mappings.


def _suggest(proposed: optuna.Trial, name: str, dimension: Dimension) -> Any:
    distribution = _distribution(dimension)
    if isinstance(distribution, IntDistribution):
        return proposed.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
    if isinstance(distribution, FloatDistribution):
        return proposed.suggest_float(
            name, distribution.low, distribution.high, log=distribution.log
        )
    assert dimension.choices is not None
    position = proposed.suggest_categorical(name, range(len(dimension.choices)))
    return dimension.choices[position]


def _distribution(
    dimension: Dimension,
) -> IntDistribution | FloatDistribution | CategoricalDistribution:
    if dimension.choices is not None:
        return CategoricalDistribution(range(len(dimension.choices)))
    low, high = dimension.low, dimension.high
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=dimension.log)
    assert low is not None  # the spec checked that there is a range
    assert high is not None
    return FloatDistribution(low, high, log=dimension.log)


def scheduler(search: SearchState) -> ASHAScheduler:
    """Stops trials early whose val/map falls behind others of as many epochs."""
    epochs = most_epochs(search.baseline, search.table)
    return ASHAScheduler(
        time_attr="epoch",
        metric=METRIC,
        mode="max",
        max_t=epochs,
        grace_period=min(search.table.search.grace_epochs, epochs),
    )
