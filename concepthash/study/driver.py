"""What the driver does at each of Tune's events: write to MLflow, and show progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune import Callback
from ray.tune.experiment import Trial as TuneTrial

from concepthash.plan import Trial
from concepthash.study.progress import Progress
from concepthash.study.trainable import ORDER, Order, order_of
from concepthash.tracking import Recorder


class Driver(Callback):
    """Follows the trials of one Tune run. The only writer to the tracking store."""

    def __init__(self, recorder: Recorder, progress: Progress, table: str | None = None) -> None:
        self.recorder, self.progress, self.table = recorder, progress, table
        self.orders: dict[str, Order] = {}
        self.first: dict[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles callbacks with its experiment, which we never restore."""
        return {}

    def _trial(self, tune_trial: TuneTrial) -> Trial:
        key = tune_trial.trial_id
        if key not in self.orders:
            self.orders[key] = order_of(tune_trial.config)
        return self.orders[key].trial

    def _is_repeat(self, tune_trial: TuneTrial) -> bool:
        """Whether a search proposed what is trained already: the numbers are the same."""
        digest, key = self._trial(tune_trial).digest, tune_trial.trial_id
        if self.table is not None and digest in self.recorder.settled:
            self.first.setdefault(digest, "settled before")
        return self.first.setdefault(digest, key) != key

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        self.recorder.beat()

    def on_trial_start(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        ours = self._trial(trial)
        if self._is_repeat(trial) or ours.digest in self.progress.running:  # or restarted
            return
        order = self.orders[trial.trial_id]
        self.recorder.begin(
            ours,
            device=order.device,
            threads=order.threads,
            table=self.table,
            sampled={name: value for name, value in trial.config.items() if name != ORDER},
        )
        self.progress.start(ours)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,
    ) -> None:
        if self._is_repeat(trial):
            return
        digest = self._trial(trial).digest
        metrics = {
            name: float(value)
            for name, value in result.items()
            if name in ("epoch", "lr") or name.startswith(("train/", "val/", "test/"))
        }
        metrics["time/total_s"] = float(result["time_total_s"])
        checkpoint = result.get("checkpoint_dir_name")
        path = f"{trial.path}/{checkpoint}" if checkpoint else None
        self.recorder.log(digest, metrics, path)
        self.progress.epoch(digest, metrics)

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        if self._is_repeat(trial):
            self.progress.repeated += 1
            return
        ours, last = self._trial(trial), trial.last_result
        if last.get("epoch", 0) < ours.spec.epochs:
            self.recorder.prune(ours.digest)
            self.progress.finish(ours.digest, f"pruned after epoch {last.get('epoch', 0):.0f}")
            return
        assert trial.checkpoint is not None  # every report brings one
        with trial.checkpoint.as_directory() as folder:
            self.recorder.finish(ours.digest, Path(folder))
        self.progress.finish(ours.digest, f"done, test/map {last['test/map']:.3f}")

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any
    ) -> None:
        if self._is_repeat(trial):
            self.progress.repeated += 1
            return
        digest, reason = self._trial(trial).digest, failure_of(trial)
        self.recorder.fail(digest, reason)
        self.progress.finish(digest, f"failed: {reason}")


def failure_of(trial: TuneTrial) -> str:
    """Why a trial failed, in one line."""
    # At this moment the error lies in the driver's own copy of the trial's folder only.
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return "lost, for a reason that Ray does not tell"
    error = cloudpickle.loads(Path(path).read_bytes())
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {' '.join(lines)[:400]}"
