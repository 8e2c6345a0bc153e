"""Runs a plan on Ray Tune: only the trials that the store does not have yet."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import concepthash.study.ray_settings  # noqa: F401

# isort: split
import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from concepthash.errors import InputError
from concepthash.plan import Plan, Trial
from concepthash.study.driver import Driver
from concepthash.study.lock import study_lock
from concepthash.study.preflight import check_resources
from concepthash.study.progress import Progress
from concepthash.study.search import TpeSearch, scheduler
from concepthash.study.state import StudyState, search_state, state_to_run
from concepthash.study.trainable import TASK, TrialTask, run_trial, task_of
from concepthash.tracking.earlier import earlier_trials
from concepthash.tracking.recorder import Recorder, versions
from concepthash.tracking.runs import Earlier
from concepthash.tracking.store import Store, outages_in_one_line, store_error
from concepthash.train.checks import check_trials

LOST_WORKERS = 3
"""So many times a trial goes on from its last checkpoint after its worker was lost."""


@dataclass(frozen=True)
class Outcome:
    """How a run of a study ended; counts are of all its trials, whenever they were trained."""

    total: int
    done: int
    """Trained, those included that a search pruned."""
    failed: int
    """In this run."""
    interrupted: bool


def run_study(
    plan: Plan,
    store: Store,
    *,
    source: Path,
    storage: str | None = None,
    address: str | None = None,
) -> Outcome:
    """Trains what is missing and records it. `source` is the study's file.

    `storage` is a folder or URI for checkpoints, by default beside the store; `address` is a
    running Ray cluster's, by default a Ray of this machine is started. Raises InputError before
    Ray starts for anything that cannot be used, and if another process runs the study; later only
    if the store fails.
    """
    study = plan.study
    storage = storage or str(store.folder / "storage")
    store.check()
    if Path(storage).is_file():
        raise InputError(f"--storage {storage}: is a file; give a folder or a URI")
    if address is None:
        check_resources(study.resources)
    with study_lock(study.name, storage), outages_in_one_line(store):
        earlier = earlier_trials(store, study.name)
        state = state_to_run(plan, earlier)
        if state.counts.left:
            searched = [s.baseline for s in state.searches.values() if s.left]
            data = check_trials([*state.cells_to_train, *searched])
            _refuse_changed_data(plan, earlier, data)
            recorder = Recorder(store, study, {"data": data, **versions(source)})
            recorder.open()
            _Run(plan, state, recorder, storage).train(address)
    counts = state.counts
    return Outcome(counts.total, counts.trained, counts.failed, not state.all_ended)


def _refuse_changed_data(plan: Plan, earlier: Mapping[str, Earlier], data: str) -> None:
    """One table must not mix trials of two states of the data set."""
    for digest in plan.trials:
        known = earlier.get(digest)
        if known is not None and known.status == "finished" and known.data not in (None, data):
            raise InputError(
                f"dataset: its images are not those that trial {digest} was trained on"
                f" (fingerprint {known.data}, now {data}); put them back, or give the study"
                " another name"
            )


@dataclass(frozen=True)
class _Run:
    """One run of a study that this process has claimed."""

    plan: Plan
    state: StudyState
    recorder: Recorder
    storage: str

    def train(self, address: str | None) -> None:
        """Trains what is left: the trials of cells, then each search."""
        progress = Progress(self.state)
        try:
            _start_ray(address)
            with progress.shown():
                if trials := self.state.cells_to_train:
                    self._train_cells(trials, progress)
                for name, search in list(self.state.searches.items()):
                    if search.left and not self._interrupted(before=name):
                        self._train_search(name, progress)
        except BaseException as error:
            if store_error(error) is None:
                self.recorder.close("KILLED")
            raise
        finally:
            ray.shutdown()
        failed = self.state.counts.failed > 0
        self.recorder.close(
            "KILLED" if not self.state.all_ended else "FAILED" if failed else "FINISHED"
        )

    def _interrupted(self, before: str) -> bool:
        """Whether Tune was interrupted in what comes before a search."""
        names = list(self.state.searches)
        earlier = (self.state.searches[name] for name in names[: names.index(before)])
        unfinished = any(search.left for search in earlier) or self.state.running
        return bool(unfinished) or not self.state.cells_ended

    def _train_cells(self, trials: Collection[Trial], progress: Progress) -> None:
        tasks = []
        for trial in trials:
            known = self.recorder.earlier.get(trial.digest)
            # A failed trial starts anew: its checkpoint may hold what made it fail.
            resume = known.checkpoint if known is not None and known.status != "failed" else None
            tasks.append(self._task(trial, resume))
        self._fit({TASK: tune.grid_search(tasks)}, tune.TuneConfig(), progress)

    def _train_search(self, name: str, progress: Progress) -> None:
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
        self._fit({TASK: self._task(search.baseline)}, config, progress, name)
        if searcher.exhausted:
            self.state.exhausted(name)

    def _task(self, trial: Trial, resume: str | None = None) -> str:
        task = TrialTask.of(trial, self.plan.study.resources, self.storage, resume)
        return task.as_config()

    def _fit(
        self,
        space: dict[str, Any],
        config: tune.TuneConfig,
        progress: Progress,
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
                name=f"{started}-{table or 'grid'}",
                storage_path=f"{self.storage}/{self.plan.study.name}",
                checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
                failure_config=tune.FailureConfig(max_failures=LOST_WORKERS),
                callbacks=[Driver(self.state, self.recorder, progress, table)],
                verbose=0,
            ),
        ).fit()


def _start_ray(address: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # "local": the address file of an earlier cluster must not capture a laptop's run.
        ray.init(address="local", include_dashboard=False, **quiet)
    else:
        ray.init(address=address, **quiet)


def _digest_of(trial: TuneTrial) -> str:
    return task_of(trial.config).trial.digest
