"""One trial inside a Ray worker: `train` with Tune's report and checkpoints."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.fs
import torch
from pydantic import BaseModel
from ray import tune

from concepthash.plan import Trial
from concepthash.spec import ResourcesSpec, changed
from concepthash.study.storage import open_storage
from concepthash.train.checkpoint import Checkpoints
from concepthash.train.loop import train
from concepthash.train.machine import computed_with

TASK = "task"
"""The key of a Tune config that holds a TrialTask; its other keys are what a search sampled."""


class TrialTask(BaseModel):
    """What a worker needs to train a trial."""

    trial: Trial
    data: str
    """Fingerprint of the images that the study is trained on."""
    storage: str
    """Folder or URI that checkpoints go to."""
    resume: str | None = None
    """Path in the storage of a checkpoint that an earlier run of the study left."""
    device: str
    threads: int
    workers: int

    @classmethod
    def of(
        cls,
        trial: Trial,
        resources: ResourcesSpec,
        *,
        data: str,
        storage: str,
        resume: str | None = None,
    ) -> TrialTask:
        threads = max(1, int(resources.cpu))
        on_gpu = resources.gpu > 0
        return cls(
            trial=trial,
            data=data,
            storage=storage,
            resume=resume,
            device="cuda" if on_gpu else "cpu",
            threads=threads,
            workers=threads - 1 if on_gpu else 0,  # on a CPU, loading needs the same cores
        )

    def as_config(self) -> str:
        return self.model_dump_json()


def task_of(config: dict[str, Any]) -> TrialTask:
    """The task in a Tune config, its trial changed by what a search sampled."""
    task = TrialTask.model_validate_json(config[TASK])
    if not (values := sampled(config)):
        return task
    trial = task.trial.with_spec(changed(task.trial.spec, values))
    return task.model_copy(update={"trial": trial})


def sampled(config: dict[str, Any]) -> dict[str, Any]:
    """What a search sampled, by dotted field; empty for a trial of a cell."""
    return {name: value for name, value in config.items() if name != TASK}


FAILURE = "failure"
"""The key of a report that says why the trial itself failed."""
COMPUTED = "computed"
"""The key of a report that says in which precision and on which processor it was computed."""
_FOLDER = "concepthash-"
"""How the name of a worker's temporary folder begins."""


def run_trial(config: dict[str, Any]) -> None:
    """What Tune calls. A checkpoint goes to Tune's storage with every report.

    A failure of the trial itself (its loss is NaN, its input is wrong) is reported: it would fail
    again. What else ends the worker, Tune sees as an error, and tries the trial again.
    """
    task = task_of(config)
    torch.set_num_threads(task.threads)
    # Tune gives each trial a working directory in Ray's session folder. A worker that was killed
    # may have left its folder there.
    for left in Path().glob(f"{_FOLDER}*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_FOLDER, dir=Path().absolute()) as name:
        folder = Path(name)
        if (start := tune.get_checkpoint() or _earlier_checkpoint(task)) is not None:
            start.to_directory(folder)

        computed = computed_with(task.trial.spec.precision, task.device)

        def report(metrics: dict[str, float]) -> None:
            tune.report(
                metrics | {COMPUTED: computed}, checkpoint=tune.Checkpoint.from_directory(folder)
            )

        checkpoints = Checkpoints(folder, task.trial.digest)
        try:
            train(
                task.trial,
                report,
                checkpoints,
                device=task.device,
                workers=task.workers,
                data=task.data,
            )
        except Exception as error:
            tune.report({FAILURE: in_one_line(error)})


def in_one_line(error: BaseException) -> str:
    """The kind of an error and its message, at most 400 characters of it."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"


def _earlier_checkpoint(task: TrialTask) -> tune.Checkpoint | None:
    if task.resume is None:
        return None
    filesystem, _ = open_storage(task.storage)
    found = filesystem.get_file_info(task.resume).type == pyarrow.fs.FileType.Directory
    return tune.Checkpoint(task.resume, filesystem=filesystem) if found else None
