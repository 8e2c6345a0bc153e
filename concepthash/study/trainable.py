"""One trial inside a Ray worker: `train` with Tune's report and checkpoints."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow.fs
import torch
from pydantic import BaseModel
from ray import tune

from concepthash.checkpoint import Checkpoints
from concepthash.plan import Trial
from concepthash.spec import ResourcesSpec, changed
from concepthash.train import train

ORDER = "order"
"""The key of a Tune config that holds an Order; beside it stands what a search sampled."""


class Order(BaseModel):
    """What a worker is told of its trial."""

    trial: Trial
    storage: str
    """Folder or URI that checkpoints go to."""
    resume: str | None = None
    """Path in the storage of a checkpoint that an earlier run of the study left."""
    device: str
    threads: int
    workers: int

    @classmethod
    def of(
        cls, trial: Trial, resources: ResourcesSpec, storage: str, resume: str | None = None
    ) -> Order:
        threads = max(1, int(resources.cpu))
        on_gpu = resources.gpu > 0
        return cls(
            trial=trial,
            storage=storage,
            resume=resume,
            device="cuda" if on_gpu else "cpu",
            threads=threads,
            workers=threads - 1 if on_gpu else 0,  # on the CPU loading would only steal threads
        )

    def as_config(self) -> str:
        return self.model_dump_json()


def order_of(config: dict[str, Any]) -> Order:
    """The order in a Tune config, its trial changed by what a search sampled."""
    order = Order.model_validate_json(config[ORDER])
    sampled = {name: value for name, value in config.items() if name != ORDER}
    if not sampled:
        return order
    spec = changed(order.trial.spec, sampled)
    return order.model_copy(update={"trial": order.trial.model_copy(update={"spec": spec})})


def run_trial(config: dict[str, Any]) -> None:
    """What Tune calls. A checkpoint goes to Tune's storage with every report."""
    order = order_of(config)
    torch.set_num_threads(order.threads)
    with tempfile.TemporaryDirectory(prefix="concepthash-") as name:
        folder = Path(name)
        if (start := tune.get_checkpoint() or _left_by_an_earlier_run(order)) is not None:
            start.to_directory(folder)

        def report(metrics: dict[str, float]) -> None:
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))

        checkpoints = Checkpoints(folder, order.trial.digest)
        train(order.trial, report, checkpoints, device=order.device, workers=order.workers)


def _left_by_an_earlier_run(order: Order) -> tune.Checkpoint | None:
    if order.resume is None:
        return None
    filesystem = filesystem_of(order.storage)
    found = filesystem.get_file_info(order.resume).type == pyarrow.fs.FileType.Directory
    return tune.Checkpoint(order.resume, filesystem=filesystem) if found else None


def filesystem_of(storage: str) -> pyarrow.fs.FileSystem:
    """The file system of a storage folder or URI."""
    if "://" in storage:
        return pyarrow.fs.FileSystem.from_uri(storage)[0]
    return pyarrow.fs.LocalFileSystem()
