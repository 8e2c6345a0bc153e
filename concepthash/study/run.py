"""Runs a plan: only the trials that the store does not have yet.

Ray, torch and MLflow's client are imported when there is something to train.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from concepthash.data.readers import open_images
from concepthash.errors import InputError
from concepthash.plan import Plan
from concepthash.spec import ResourcesSpec
from concepthash.study.lock import study_lock
from concepthash.study.progress import Progress
from concepthash.study.state import StudyState, state_to_run
from concepthash.study.storage import check_storage
from concepthash.tracking.earlier import earlier_trials
from concepthash.tracking.runs import Earlier
from concepthash.tracking.source import Source
from concepthash.tracking.store import Store, outages_in_one_line


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
    with study_lock(study.name, storage), outages_in_one_line(store, storage):
        earlier = earlier_trials(store, study.name)
        state = state_to_run(plan, earlier)
        left = state.counts.left
        progress = Progress(state)
        if left:
            cluster = _found(address, study.resources)
            progress.say("reading images")
        if left or all(path.exists() for path in study.dataset.needs()):
            data = open_images(study.dataset).fingerprint
            _refuse_changed_data(state, earlier, data)
        if left:
            from concepthash.study.tune import TuneRun
            from concepthash.tracking.recorder import Recorder
            from concepthash.tracking.versions import versions
            from concepthash.train.checks import check_trials

            check_trials(state.trials_to_check)
            recorder = Recorder(store, plan, {"data": data, **versions()})
            recorder.open(Source(source.resolve(), overrides))
            TuneRun(plan, state, recorder, data, storage, progress).train(cluster)
    counts = state.counts
    return Outcome(counts.total, counts.trained, counts.failed, not state.all_ended)


def _found(address: str | None, resources: ResourcesSpec) -> str | None:
    """The cluster at an address; None for this machine, if it has what a trial asks for."""
    if address is None:
        from concepthash.study.preflight import check_resources

        check_resources(resources)
        return None
    from concepthash.study.cluster import find_cluster

    return find_cluster(address)


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
