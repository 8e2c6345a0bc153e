"""What the store says of a trial, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Status = Literal["finished", "pruned", "failed", "interrupted", "running"]
"""`running` only while the process that trains it is alive."""


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
