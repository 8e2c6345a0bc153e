"""Fetches what a trial left in the store."""

from __future__ import annotations

from pathlib import Path

from mlflow.exceptions import MlflowException

from concepthash.errors import InputError
from concepthash.tracking.runs import Run
from concepthash.tracking.store import Store


def fetch_codes(store: Store, run: str, folder: Path) -> tuple[Path, dict[str, str]]:
    """The codes.safetensors of one finished trial, brought into `folder`, and whose it is.

    `run` is the trial's digest or its beginning, or MLflow's run id. Raises InputError unless it
    is exactly one that left codes.
    """
    found = _trials(store, run)
    if not found:
        raise InputError(
            f"{run}: no finished trial of {store} has this digest or run id; `plan` lists the"
            " digests"
        )
    if len(found) > 1:
        names = ", ".join(
            f"{study} {r.data.tags['digest']} run {r.info.run_id}" for study, r in found[:5]
        )
        raise InputError(
            f"{run}: {len(found)} finished trials of {store} have this digest or run id"
            f" ({names}); give one's run id"
        )
    ((study, trial),) = found
    try:
        path = store.client.download_artifacts(trial.info.run_id, "codes.safetensors", str(folder))
    except (MlflowException, OSError) as error:
        raise InputError(
            f"{run}: the store has no codes of trial {trial.data.tags['digest']} (pruned, or its"
            f" artifact is gone: {str(error).splitlines()[0]})"
        ) from error
    tags = trial.data.tags
    about = {"study": study, "digest": tags["digest"], "seed": tags.get("seed", "")}
    params = trial.data.params
    about["protocol"] = params.get("protocol.name", "")
    about["mean_center"] = params.get("mean_center", "")
    return Path(path), about


def _trials(store: Store, run: str) -> list[tuple[str, Run]]:
    return [
        (experiment.name, trial)
        for experiment in store.experiments()
        for trial in store.runs(experiment.experiment_id, "trial")
        if trial.info.status == "FINISHED"
        and "digest" in trial.data.tags
        and (trial.info.run_id == run or trial.data.tags["digest"].startswith(run))
    ]
