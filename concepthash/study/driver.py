"""What happens at each of Tune's events: the state, the store and the display learn of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune import Callback
from ray.tune.experiment import Trial as TuneTrial

from concepthash.plan import Trial
from concepthash.study.progress import Progress
from concepthash.study.state import StudyState, sampled_label
from concepthash.study.trainable import FAILURE, TrialTask, in_one_line, sampled, task_of
from concepthash.tracking.recorder import Recorder


class Driver(Callback):
    """Follows the trials of one Tune run. The only writer to the tracking store."""

    def __init__(
        self,
        state: StudyState,
        recorder: Recorder,
        progress: Progress,
        table: str | None = None,
    ) -> None:
        """`table` is the search that proposes the trials; None for the trials of cells."""
        self.state, self.recorder, self.progress, self.table = state, recorder, progress, table
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

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        ours = self._trial(trial)
        known = self.state.trials.get(ours.digest)
        if known is not None and known.status == "running":  # Tune restarts its worker
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
        self.recorder.log(digest, metrics, path)
        self.state.reported(digest, metrics)
        self.progress.reported(digest, metrics)

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
            self.state.ended(ours.digest, "finished")
        self.progress.ended(ours.digest)

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        """Called when Tune has tried the trial as often as it may."""
        self._failed(self._trial(trial).digest, failure_of(trial))

    def _failed(self, digest: str, reason: str) -> None:
        self.recorder.fail(digest, reason)
        self.state.ended(digest, "failed", reason)
        self.progress.ended(digest)


def failure_of(trial: TuneTrial) -> str:
    """Why a trial failed, in one line."""
    # At this moment only the driver's own copy of the trial's folder has the error.
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return "its worker ended, and Ray gives no reason"
    error = cloudpickle.loads(Path(path).read_bytes())
    return in_one_line(getattr(error, "cause", None) or error)
