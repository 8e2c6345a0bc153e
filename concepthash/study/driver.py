"""What happens at each of Tune's events: the state, the store and the display learn of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial as TuneTrial

from concepthash.plan import Trial
from concepthash.spec import ResourcesSpec
from concepthash.study.cluster import missing
from concepthash.study.describe import duration
from concepthash.study.leftovers import keep_model_only
from concepthash.study.progress import Progress
from concepthash.study.state import StudyState, sampled_label
from concepthash.study.trainable import COMPUTED, FAILURE, TrialTask, sampled, task_of
from concepthash.tracking.recorder import Recorder

_WAITING_S = 30.0
"""So often a run says that none of its trials has started, and why."""


class Driver(Callback):
    """Follows the trials of one Tune run. The only writer to the tracking store."""

    def __init__(
        self,
        state: StudyState,
        recorder: Recorder,
        progress: Progress,
        resources: ResourcesSpec,
        table: str | None = None,
    ) -> None:
        """`table` is the search that proposes the trials; None for the trials of cells."""
        self.state, self.recorder, self.progress, self.table = state, recorder, progress, table
        self.resources = resources
        self.idle_since = time.monotonic()  # or since that was last said
        self.idle_s = 0.0  # that was said
        self.silences: dict[str, int] = {}  # how often a trial's worker was ended for it
        self.tasks: dict[str, TrialTask] = {}  # by Tune's id of the trial
        self.earlier_seconds: dict[str, float] = {}  # of training in earlier runs, by digest

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles callbacks with its experiment, which we never restore."""
        return {}

    def _trial(self, tune_trial: TuneTrial) -> Trial:
        key = tune_trial.trial_id
        if key not in self.tasks:
            self.tasks[key] = task_of(tune_trial.config)
        return self.tasks[key].trial

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        self.recorder.heartbeat()
        self.progress.tick()
        now = time.monotonic()
        if self.state.running:
            self.idle_since, self.idle_s = now, 0.0
            self.progress.waits_for("")
        elif now - self.idle_since > _WAITING_S:
            self.idle_since = now
            self.idle_s += _WAITING_S
            self.progress.waits_for(
                f"no trial has started for {self.idle_s:.0f} s: {missing(self.resources)}"
            )
        if (limit := self.resources.silent_minutes) is not None:
            for trial in trials:
                self._end_if_silent(trial, 60 * limit, now)

    def _end_if_silent(self, tune_trial: TuneTrial, limit: float, now: float) -> None:
        """Ends a worker that reports nothing. To Tune it is lost: another one goes on."""
        ours, actor = self._trial(tune_trial), tune_trial.temporary_state.ray_actor
        heard = self.state.pace.heard.get(ours.digest)
        if actor is None or heard is None or now - heard <= limit:
            return
        self.silences[ours.digest] = self.silences.get(ours.digest, 0) + 1
        self.progress.say(
            f"{self.state.trials[ours.digest].name}: reported nothing for {duration(now - heard)};"
            " its worker is ended"
        )
        self.state.pace.started(ours.digest, now)  # of the next one
        ray.kill(actor)

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        ours = self._trial(trial)
        known = self.state.trials.get(ours.digest)
        if known is not None and known.status == "running":  # another worker goes on with it
            self.state.pace.started(ours.digest, time.monotonic())
            return
        if known is not None:
            self.earlier_seconds[ours.digest] = known.metrics.get("time/total_s", 0.0)
        task, values = self.tasks[trial.trial_id], sampled(trial.config)
        self.recorder.begin(
            ours, device=task.device, threads=task.threads, table=self.table, sampled=values
        )
        self.state.started(ours, time.monotonic(), self.table, sampled_label(values))
        self.progress.started(ours.digest)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        if FAILURE in result:
            return  # its last report, which on_trial_complete reads
        digest = self._trial(trial).digest
        metrics = {
            name: float(value)
            for name, value in result.items()
            if name in ("epoch", "lr") or name.startswith(("train/", "val/", "test/"))
        }
        before = self.earlier_seconds.get(digest, 0.0)
        metrics["time/total_s"] = before + float(result["time_total_s"])
        checkpoint = result.get("checkpoint_dir_name")
        path = f"{trial.path}/{checkpoint}" if checkpoint else None
        self.recorder.log(digest, metrics, path, result[COMPUTED])
        self.state.reported(digest, metrics, time.monotonic())
        self.progress.reported(digest)

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        ours = self._trial(trial)
        if (reason := trial.last_result.get(FAILURE)) is not None:
            self._failed(ours.digest, reason)
            return
        if trial.last_result.get("epoch", 0) < ours.spec.epochs:
            self.recorder.prune(ours.digest)
            self.state.ended(ours.digest, "pruned")
        else:
            assert trial.checkpoint is not None  # every report brings one
            with trial.checkpoint.as_directory() as folder:
                self.recorder.finish(ours.digest, Path(folder))
            keep_model_only(trial.checkpoint.filesystem, trial.checkpoint.path)
            self.state.ended(ours.digest, "finished")
        self.progress.ended(ours.digest)

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Called when Tune has tried the trial as often as it may."""
        digest = self._trial(trial).digest
        reason = failure_of(trial)
        if (silences := self.silences.get(digest)) is not None:
            minutes = self.resources.silent_minutes
            reason = f"reported nothing for {minutes:g} min, {silences} times; {reason}"
        self._failed(digest, reason)

    def _failed(self, digest: str, reason: str) -> None:
        self.recorder.fail(digest, reason)
        self.state.ended(digest, "failed", reason)
        self.progress.ended(digest)


def failure_of(trial: TuneTrial) -> str:
    """Why a trial's worker ended, in one line: what Tune wrote of it as text.

    Tune pickles the error, too. It is not unpickled: that would run what the file says.
    """
    # At this moment only the driver's own copy of the trial's folder has the error.
    path = trial.error_file
    if path is None or not Path(path).exists():
        return "its worker ended, and Ray gives no reason"
    text = Path(path).read_text(errors="replace")
    lines = [line.strip() for line in text.rpartition("Failure # ")[2].splitlines()[1:]]
    lines = [line for line in lines if line]
    if any(line.startswith(("Traceback", "ray::")) for line in lines):
        lines = lines[-1:]  # the exception, below where it was raised
    return " ".join(lines)[:400]
