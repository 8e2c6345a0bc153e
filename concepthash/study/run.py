"""Runs a plan on Ray Tune: only the trials that the store does not have yet."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from concepthash.errors import InputError
from concepthash.plan import Plan, Trial
from concepthash.study.driver import Driver
from concepthash.study.lock import study_lock
from concepthash.study.preflight import check_inputs, check_resources
from concepthash.study.progress import Progress
from concepthash.study.search import Search, plan_search
from concepthash.study.trainable import ORDER, Order, order_of, run_trial
from concepthash.tracking import Earlier, Recorder, Store, earlier_trials, versions


@dataclass(frozen=True)
class Outcome:
    """How a run of a study ended; counts are of all its trials, whenever they were trained."""

    total: int
    done: int
    failed: int
    interrupted: bool


def missing_trials(plan: Plan, earlier: Mapping[str, Earlier]) -> list[Trial]:
    """The grids' trials that no earlier run finished."""
    return [
        trial
        for digest, trial in plan.trials.items()
        if digest not in earlier or earlier[digest].status != "FINISHED"
    ]


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
    Ray starts for anything that cannot be used, and if another process runs the study.
    """
    study = plan.study
    storage = storage or str(store.folder / "storage")
    store.check()
    if Path(storage).is_file():
        raise InputError(f"--storage {storage}: is a file; give a folder or a URI")
    if address is None:
        check_resources(study.resources)
    with study_lock(study.name, storage):
        earlier = earlier_trials(store, study.name)
        missing = missing_trials(plan, earlier)
        searches = [plan_search(plan, table, earlier) for table in plan.searches]
        left = len(missing) + sum(search.left for search in searches)
        total = len(plan.trials) + sum(table.search.trials for table in plan.searches)
        if left == 0:
            return Outcome(total, total, failed=0, interrupted=False)
        data = check_inputs([*missing, *(search.trial for search in searches if search.left)])
        _refuse_changed_data(plan, earlier, data)
        recorder = Recorder(store, study, {"data": data, **versions(source)})
        recorder.open()
        epochs = sum(trial.spec.epochs for trial in missing)
        epochs += sum(search.left * search.trial.spec.epochs for search in searches)
        progress = Progress(total=total, done=total - left, epochs=epochs)
        try:
            _start_ray(address)
            with progress.shown():
                if missing:
                    _train_grid(missing, recorder, progress, earlier, plan, storage)
                interrupted = progress.finished < total - left + len(missing)
                for search in searches:
                    if search.left and not interrupted:
                        before = progress.finished
                        _train_search(search, recorder, progress, plan, storage)
                        interrupted = progress.finished < before + search.left
        except BaseException:
            recorder.close("KILLED")
            raise
        finally:
            ray.shutdown()
        recorder.close("KILLED" if interrupted else "FAILED" if progress.failed else "FINISHED")
    return Outcome(total, progress.done + progress.pruned, progress.failed, interrupted)


def _refuse_changed_data(plan: Plan, earlier: Mapping[str, Earlier], data: str) -> None:
    """One table must not mix trials of two states of the data set."""
    for digest in plan.trials:
        known = earlier.get(digest)
        if known is not None and known.status == "FINISHED" and known.data not in (None, data):
            raise InputError(
                f"dataset: its images are not those that trial {digest} was trained on"
                f" (fingerprint {known.data}, now {data}); put them back, or give the study"
                " another name"
            )


def _start_ray(address: str | None) -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # "local": the address file of a cluster that is long gone must not capture a laptop's run.
        ray.init(address="local", include_dashboard=False, **quiet)
    else:
        ray.init(address=address, **quiet)


def _train_grid(
    trials: list[Trial],
    recorder: Recorder,
    progress: Progress,
    earlier: Mapping[str, Earlier],
    plan: Plan,
    storage: str,
) -> None:
    orders = []
    for trial in trials:
        known = earlier.get(trial.digest)
        # A failed trial starts anew: its checkpoint may hold what made it fail.
        resume = known.checkpoint if known is not None and known.status != "FAILED" else None
        orders.append(Order.of(trial, plan.study.resources, storage, resume).as_config())
    _fit(
        {ORDER: tune.grid_search(orders)},
        tune.TuneConfig(),
        Driver(recorder, progress),
        plan,
        storage,
    )


def _train_search(
    search: Search, recorder: Recorder, progress: Progress, plan: Plan, storage: str
) -> None:
    recorder.discard_interrupted(search.table.name)
    _fit(
        {ORDER: Order.of(search.trial, plan.study.resources, storage).as_config()},
        tune.TuneConfig(
            num_samples=search.left,
            search_alg=search.searcher(),
            scheduler=search.scheduler(),
        ),
        Driver(recorder, progress, search.table.name),
        plan,
        storage,
    )


def _digest_of(trial: TuneTrial) -> str:
    return order_of(trial.config).trial.digest


def _fit(
    space: dict[str, Any], config: tune.TuneConfig, driver: Driver, plan: Plan, storage: str
) -> None:
    resources = plan.study.resources
    config.reuse_actors = True  # a worker takes seconds to import what it needs
    config.trial_name_creator = config.trial_dirname_creator = _digest_of
    started = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    tune.Tuner(
        tune.with_resources(run_trial, {"cpu": resources.cpu, "gpu": resources.gpu}),
        param_space=space,
        tune_config=config,
        run_config=tune.RunConfig(
            name=f"{started}-{driver.table or 'grid'}",
            storage_path=f"{storage}/{plan.study.name}",
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            callbacks=[driver],
            verbose=0,
        ),
    ).fit()
