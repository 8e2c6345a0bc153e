"""What the store says of studies and trials, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Status = Literal["finished", "pruned", "failed", "interrupted", "running"]
"""`running` only while the process that trains it is alive."""


@dataclass(frozen=True)
class Experiment:
    """An experiment of MLflow: a study with its trials."""

    experiment_id: str
    name: str
    lifecycle_stage: str


@dataclass(frozen=True)
class RunInfo:
    """What MLflow knows of a run by itself."""

    experiment_id: str
    run_id: str
    status: str
    start_time: int
    """Milliseconds since 1970."""
    artifact_uri: str


@dataclass(frozen=True)
class RunData:
    """What was logged to a run; of metrics the latest values."""

    tags: dict[str, str]
    metrics: dict[str, float]
    params: dict[str, str]


@dataclass(frozen=True)
class Run:
    """A run of MLflow, with the names of `mlflow.entities`."""

    info: RunInfo
    data: RunData


class Earlier(NamedTuple):
    """A trial that the store has a run of."""

    run_id: str
    status: Status
    metrics: Mapping[str, float] = {}
    """Latest values: `val/map`, `test/map`, `time/total_s`, ..."""
    checkpoint: str | None = None
    """Path in the storage of its last checkpoint."""
    epoch: int = 0
    """How many epochs it was trained; 0 if it never reported."""
    table: str | None = None
    """The search that sampled it; None for a trial of a cell."""
    sampled: Mapping[str, Any] = {}
    """What that search changed of the baseline, by dotted field."""
    data: str | None = None
    """Fingerprint of the data set that it was trained on."""
    segments: tuple[Mapping[str, Any], ...] = ()
    """Where each stretch of its training came from: `from_epoch`, code, data and processor. A
    trial that was never interrupted has one."""
