"""Writes a study and its trials into the store. Only the driver does; workers never write."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from mlflow.entities import Metric, Param, RunTag

from concepthash.errors import InputError
from concepthash.plan import Plan, Trial
from concepthash.tracking import study_file
from concepthash.tracking.earlier import (
    HEARTBEAT_S,
    SEGMENT,
    driver_is_alive,
    earlier_trials,
    study_run,
)
from concepthash.tracking.source import Source, as_tags
from concepthash.tracking.store import PARENT, Store


class Recorder:
    """The runs of one study: a parent for the study, a child a trial."""

    def __init__(self, store: Store, plan: Plan, tags: Mapping[str, str]) -> None:
        """`tags` go to the study's run and to each trial's: versions, commit, data."""
        self.store, self.plan, self.study = store, plan, plan.study.name
        self.client = store.client
        self.experiment_id = store.create_experiment(self.study)
        self.common_tags = dict(tags)
        found = study_run(store, self.experiment_id)
        self.parent = str(found.info.run_id) if found else None
        self.earlier = earlier_trials(store, self.study)
        self.runs: dict[str, str] = {}  # the open ones, by digest
        self.segments: dict[str, list[dict[str, Any]]] = {}  # theirs
        self.last_heartbeat = 0.0

    # --- the study ---

    def open(self, source: Source | None = None) -> None:
        """Claims the study for this process; `source` says by which arguments it was started.

        Raises InputError if another process runs it.
        """
        self._refuse_if_running()
        now = str(time.time())
        if self.parent is None:
            self.parent = self.client.create_run(
                self.experiment_id, tags={"kind": "study"}, run_name=self.study
            ).info.run_id
        self.client.update_run(self.parent, status="RUNNING")
        owner = {"owner.host": socket.gethostname(), "owner.pid": str(os.getpid())}
        owner["owner.started"] = str(psutil.Process().create_time())
        self._tag(self.parent, owner | {"last_started": now, "heartbeat": now} | self.common_tags)
        self._tag(self.parent, as_tags(source) if source else {})
        with self.store.errors_in_one_line():
            self.client.log_dict(self.parent, study_file.as_data(self.plan), study_file.FILE)

    def close(self, status: str) -> None:
        """Gives the study back; `status` is FINISHED, FAILED or KILLED.

        Trials that are still open are marked; the next run of the study goes on with them.
        """
        for digest in list(self.runs):
            self._end(digest, "KILLED")
        if self.parent is not None:
            self.client.set_terminated(self.parent, status)

    def discard_interrupted(self, table: str) -> None:
        """Throws away a search's unfinished trials: the search will sample others."""
        for digest, known in list(self.earlier.items()):
            if known.table == table and known.status in ("interrupted", "running"):
                self.client.delete_run(known.run_id)
                del self.earlier[digest]  # should it be sampled again, it is a new trial

    def heartbeat(self) -> None:
        """Says that this driver is alive, at most every few seconds."""
        if self.parent is not None and time.time() - self.last_heartbeat > HEARTBEAT_S:
            self.last_heartbeat = time.time()
            self.client.set_tag(self.parent, "heartbeat", str(self.last_heartbeat))

    # --- its trials ---

    def begin(
        self,
        trial: Trial,
        *,
        device: str,
        threads: int,
        table: str | None = None,
        sampled: Mapping[str, Any] | None = None,
    ) -> None:
        """Opens the trial's run: the one it was interrupted in, or a new one.

        `table` and `sampled` are given for a trial that a search proposed.
        """
        known = self.earlier.get(trial.digest)
        provenance = {"device": device, "threads": str(threads), **self.common_tags}
        if known is not None and known.status == "failed":
            self.client.delete_run(known.run_id)  # into MLflow's trash: a new attempt replaces it
        elif known is not None:
            self.runs[trial.digest] = known.run_id
            self.segments[trial.digest] = [dict(segment) for segment in known.segments]
            self.client.update_run(known.run_id, status="RUNNING")
            self._tag(known.run_id, provenance)
            self._add_segment(trial.digest, {"from_epoch": known.epoch, **provenance})
            return
        assert self.parent is not None
        tags = {
            "kind": "trial",
            PARENT: self.parent,
            "digest": trial.digest,
            "seed": str(trial.seed),
            **({"table": table, "sampled": json.dumps(sampled)} if table else {}),
            **provenance,
        }
        run = self.client.create_run(
            self.experiment_id, tags=tags, run_name=f"{trial.digest} seed {trial.seed}"
        )
        self.runs[trial.digest] = run.info.run_id
        params = [Param(name, str(value)) for name, value in trial.parameters().items()]
        self.client.log_batch(run.info.run_id, params=params)
        self.segments[trial.digest] = []
        self._add_segment(trial.digest, {"from_epoch": 0, **provenance})

    def log(
        self,
        digest: str,
        metrics: Mapping[str, float],
        checkpoint: str | None,
        computed: Mapping[str, str],
    ) -> None:
        """The metrics of one epoch, which is their step; `computed` says in which precision and
        on which processor."""
        now = int(time.time() * 1000)
        step = int(metrics["epoch"])
        self._computed(digest, computed, step)
        logged = [
            Metric(name, value, now, step)
            for name, value in metrics.items()
            if name != "epoch" and math.isfinite(value)
        ]
        tags = [RunTag("epoch", str(step))]
        tags += [RunTag("checkpoint", checkpoint)] if checkpoint else []
        self.client.log_batch(self.runs[digest], metrics=logged, tags=tags)

    def finish(self, digest: str, folder: Path | None) -> None:
        """Ends a trial that is trained, keeping the codes that it left in `folder`."""
        if folder is not None and (folder / "codes.safetensors").is_file():
            with self.store.errors_in_one_line():
                self.client.log_artifact(self.runs[digest], str(folder / "codes.safetensors"))
        self.client.set_tag(self.runs[digest], "pruned", "false")
        self._end(digest, "FINISHED")

    def prune(self, digest: str) -> None:
        """Ends a trial of a search that was stopped early."""
        self.client.set_tag(self.runs[digest], "pruned", "true")
        self._end(digest, "FINISHED")

    def fail(self, digest: str, reason: str) -> None:
        self._tag(self.runs[digest], {"failure": reason[:500]})
        self._end(digest, "FAILED")

    # --- inside ---

    def _add_segment(self, digest: str, segment: dict[str, Any]) -> None:
        self.segments[digest].append(segment)
        self._write_segment(digest)

    def _write_segment(self, digest: str) -> None:
        """The last one: its tag."""
        number, segment = len(self.segments[digest]), self.segments[digest][-1]
        self.client.set_tag(self.runs[digest], f"{SEGMENT}{number}", json.dumps(segment))

    def _computed(self, digest: str, computed: Mapping[str, str], epoch: int) -> None:
        """Says where an epoch was computed. A lost worker may go on on another processor."""
        last = self.segments[digest][-1]
        if all(last.get(name) == value for name, value in computed.items()):
            return
        self._tag(self.runs[digest], computed)
        if any(name in last for name in computed):
            self._add_segment(digest, last | {"from_epoch": epoch - 1} | dict(computed))
        else:
            last |= computed
            self._write_segment(digest)

    def _end(self, digest: str, status: str) -> None:
        self.client.set_terminated(self.runs.pop(digest), status)

    def _tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        self.client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])

    def _refuse_if_running(self) -> None:
        if self.parent is None:
            return
        run = self.store.run(self.parent)
        if driver_is_alive(run):
            tags = run.data.tags
            raise InputError(
                f"study {self.study} is being run by process {tags.get('owner.pid')} on"
                f" {tags.get('owner.host')}; wait for it or end it first"
            )
