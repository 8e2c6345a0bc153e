"""Reads what earlier runs of a study left in the store."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import psutil

from concepthash.tracking.runs import Earlier, Run, Status
from concepthash.tracking.store import Store

SEGMENT = "segment."
"""Begins the tags of a trial that say where each stretch of its training came from."""
HEARTBEAT_S = 15
"""How often a driver says that it is alive."""
_SILENT_S = 90
"""A driver on another host without a heartbeat for so long counts as dead."""

_STATUS: dict[str, Status] = {
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "interrupted",
    "RUNNING": "running",
    "SCHEDULED": "running",
}


def earlier_trials(store: Store, study: str) -> dict[str, Earlier]:
    """What the store knows of a study's trials, by digest; empty without a store.

    A run without a digest is none of ours and left out.
    """
    experiment = store.experiment(study)
    if experiment is None:
        return {}
    parent = study_run(store, experiment.experiment_id)
    alive = parent is not None and driver_is_alive(parent)
    runs = store.runs(experiment.experiment_id, "trial")
    return {
        run.data.tags["digest"]: _earlier(run, driver_alive=alive)
        for run in reversed(runs)  # the newest of a digest counts
        if "digest" in run.data.tags
    }


def _earlier(run: Run, *, driver_alive: bool) -> Earlier:
    tags = run.data.tags
    return Earlier(
        str(run.info.run_id),
        status_of(run, driver_alive=driver_alive),
        dict(run.data.metrics),
        tags.get("checkpoint"),
        int(tags.get("epoch", 0)),
        tags.get("table"),
        json.loads(tags.get("sampled", "{}")),
        tags.get("data"),
        segments_of(run),
    )


def segments_of(run: Run) -> tuple[dict[str, Any], ...]:
    """Where each stretch of a trial's training came from, in order."""
    tags = run.data.tags
    numbers = sorted(int(tag.removeprefix(SEGMENT)) for tag in tags if tag.startswith(SEGMENT))
    return tuple(json.loads(tags[f"{SEGMENT}{number}"]) for number in numbers)


def status_of(run: Run, *, driver_alive: bool) -> Status:
    """A trial's status. Without a driver, a run that MLflow calls running was interrupted."""
    if run.data.tags.get("pruned") == "true":
        return "pruned"
    status = _STATUS[run.info.status]
    return "interrupted" if status == "running" and not driver_alive else status


def study_run(store: Store, experiment_id: str) -> Run | None:
    """The run of the study itself, the parent of its trials; None if it was never started."""
    found = store.runs(experiment_id, "study")
    return found[-1] if found else None


def driver_is_alive(parent: Run) -> bool:
    """Whether the process that claimed a study still runs it.

    On this host by the process itself, on another by its heartbeat.
    """
    if parent.info.status != "RUNNING":
        return False
    tags = parent.data.tags
    if tags.get("owner.host") == socket.gethostname():
        try:
            process = psutil.Process(int(tags["owner.pid"]))
        except (psutil.NoSuchProcess, KeyError, ValueError):
            return False
        # A process of the same number that started at another time is a different one.
        return abs(process.create_time() - float(tags.get("owner.started", 0))) < 1
    return time.time() - float(tags.get("heartbeat", 0)) < _SILENT_S
