"""Trains on Ray Tune what is left of a study: the trials of its cells, then its searches."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import concepthash.study.ray_settings  # noqa: F401

# isort: split
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from concepthash.plan import Plan, Trial
from concepthash.study.driver import Driver
from concepthash.study.leftovers import clean_storage
from concepthash.study.progress import Progress
from concepthash.study.ray_session import ray_session
from concepthash.study.search import TpeSearch, scheduler
from concepthash.study.state import StudyState, search_state
from concepthash.study.storage import inside
from concepthash.study.trainable import TASK, TrialTask, run_trial, task_of
from concepthash.tracking.earlier import earlier_trials
from concepthash.tracking.recorder import Recorder
from concepthash.tracking.store import store_error
from concepthash.tracking.uri import masked

LOST_WORKERS = 3
"""So many times a trial goes on from its last checkpoint after its worker was lost."""


@dataclass(frozen=True)
class TuneRun:
    """One run of a study that this process has claimed."""

    plan: Plan
    state: StudyState
    recorder: Recorder
    data: str
    """Fingerprint of the images."""
    storage: str
    progress: Progress

    def train(self, cluster: str | None) -> None:
        """Trains what is left: the trials of cells, then each search."""
        try:
            with ray_session(cluster, self.progress.say), self.progress.shown():
                self.progress.waits_for("loading the workers' libraries")
                if trials := self.state.cells_to_train:
                    self._train_cells(trials)
                for name, search in list(self.state.searches.items()):
                    if search.left and not self._interrupted(before=name):
                        self._train_search(name)
        except BaseException as error:
            if store_error(error) is None:
                self.recorder.close("KILLED")
                self._clean()
            raise
        failed = self.state.counts.failed > 0
        self.recorder.close(
            "KILLED" if not self.state.all_ended else "FAILED" if failed else "FINISHED"
        )
        self._clean()

    @property
    def _owner(self) -> str:
        """What marks this study's folders in a storage that it may share."""
        return str(self.recorder.parent)[:8]

    def _clean(self) -> None:
        known = earlier_trials(self.recorder.store, self.plan.study.name)
        try:
            clean_storage(self.storage, self.plan.study.name, self._owner, known)
        except OSError as error:
            self.progress.say(
                f"{masked(self.storage)}: what nobody needs any more stays there ({error})"
            )

    def _interrupted(self, before: str) -> bool:
        """Whether Tune was interrupted in what comes before a search."""
        names = list(self.state.searches)
        earlier = (self.state.searches[name] for name in names[: names.index(before)])
        unfinished = any(search.left for search in earlier) or self.state.running
        return bool(unfinished) or not self.state.cells_ended

    def _train_cells(self, trials: Collection[Trial]) -> None:
        tasks = []
        for trial in trials:
            known = self.recorder.earlier.get(trial.digest)
            # A failed trial starts anew: its checkpoint may hold what made it fail.
            resume = known.checkpoint if known is not None and known.status != "failed" else None
            tasks.append(self._task(trial, resume))
        self._fit({TASK: tune.grid_search(tasks)}, tune.TuneConfig())

    def _train_search(self, name: str) -> None:
        self.recorder.discard_interrupted(name)
        # By now the trials of cells are trained, and those of the searches before.
        search = search_state(
            self.plan, self.state.searches[name].table, self.state.trials.values()
        )
        self.state.searches[name] = search
        searcher = TpeSearch(search, in_cells=self.plan.trials)
        config = tune.TuneConfig(
            num_samples=search.left, search_alg=searcher, scheduler=scheduler(search)
        )
        self._fit({TASK: self._task(search.baseline)}, config, name)
        if searcher.exhausted:
            self.state.exhausted(name)

    def _task(self, trial: Trial, resume: str | None = None) -> str:
        resources = self.plan.study.resources
        task = TrialTask.of(trial, resources, data=self.data, storage=self.storage, resume=resume)
        return task.as_config()

    def _fit(
        self,
        space: dict[str, Any],
        config: tune.TuneConfig,
        table: str | None = None,
    ) -> None:
        resources = self.plan.study.resources
        config.reuse_actors = True  # a worker takes seconds to import what it needs
        config.trial_name_creator = config.trial_dirname_creator = _digest_of
        started = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
        tune.Tuner(
            tune.with_resources(run_trial, {"cpu": resources.cpu, "gpu": resources.gpu}),
            param_space=space,
            tune_config=config,
            run_config=tune.RunConfig(
                name=f"{started}-{table or 'grid'}-{self._owner}",
                storage_path=inside(self.storage, self.plan.study.name),
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                failure_config=tune.FailureConfig(max_failures=LOST_WORKERS),
                callbacks=[Driver(self.state, self.recorder, self.progress, resources, table)],
                verbose=0,
            ),
        ).fit()


def _digest_of(trial: TuneTrial) -> str:
    return task_of(trial.config).trial.digest
