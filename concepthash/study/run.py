"""Runs a plan on Ray Tune: only the trials that the store does not have yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import concepthash.study.ray_settings  # noqa: F401

# isort: split
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from concepthash.data.readers import open_images
from concepthash.errors import InputError
from concepthash.plan import Plan, Trial
from concepthash.study.cluster import find_cluster
from concepthash.study.driver import Driver
from concepthash.study.leftovers import clean_storage
from concepthash.study.lock import study_lock
from concepthash.study.preflight import check_resources
from concepthash.study.progress import Progress
from concepthash.study.ray_session import ray_session
from concepthash.study.search import TpeSearch, scheduler
from concepthash.study.state import StudyState, search_state, state_to_run
from concepthash.study.storage import check_storage, inside
from concepthash.study.trainable import TASK, TrialTask, run_trial, task_of
from concepthash.tracking.earlier import earlier_trials
from concepthash.tracking.recorder import Recorder
from concepthash.tracking.runs import Earlier
from concepthash.tracking.source import Source
from concepthash.tracking.store import Store, outages_in_one_line, store_error
from concepthash.tracking.uri import masked
from concepthash.tracking.versions import versions
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
    overrides: Sequence[str] = (),
    storage: str | None = None,
    address: str | None = None,
) -> Outcome:
    """Trains what is missing and records it.

    `source` is the study's file, and `overrides` are what --set changed of it; `storage` is a
    folder or URI for checkpoints, by default beside the store; `address` is a running Ray
    cluster's, by default a Ray of this machine is started. Raises InputError before Ray starts for
    anything that cannot be used, and if another process runs the study; later only if the store
    fails.
    """
    study = plan.study
    storage = storage or str(store.folder / "storage")
    store.check_writable()
    check_storage(storage)
    cluster = None
    if address is None:
        check_resources(study.resources)
    else:
        cluster = find_cluster(address)
    with study_lock(study.name, storage), outages_in_one_line(store, storage):
        earlier = earlier_trials(store, study.name)
        state = state_to_run(plan, earlier)
        left = state.counts.left
        progress = Progress(state)
        if left:
            progress.say("reading images")
        if left or all(path.exists() for path in study.dataset.needs()):
            data = open_images(study.dataset).fingerprint
            _refuse_changed_data(state, earlier, data)
        if left:
            check_trials(state.trials_to_check)
            recorder = Recorder(store, plan, {"data": data, **versions()})
            recorder.open(Source(source.resolve(), overrides))
            _Run(plan, state, recorder, data, storage, progress).train(cluster)
    counts = state.counts
    return Outcome(counts.total, counts.trained, counts.failed, not state.all_ended)


def _refuse_changed_data(state: StudyState, earlier: Mapping[str, Earlier], data: str) -> None:
    """Neither a table nor a trial may mix two states of the data set."""
    for digest, trial in state.trials.items():
        if trial.status in ("finished", "pruned", "interrupted"):
            before = earlier[digest].data
            if before not in (None, data):
                raise InputError(
                    f"dataset: its images are not those that trial {digest} was trained on"
                    f" (fingerprint {before}, now {data}); put them back, or give the study"
                    " another name"
                )


@dataclass(frozen=True)
class _Run:
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
