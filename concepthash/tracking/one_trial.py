"""What the store knows of one trial, for a person to read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from concepthash.errors import InputError
from concepthash.tracking import study_file
from concepthash.tracking.earlier import driver_is_alive, segments_of, status_of, study_run
from concepthash.tracking.runs import Run
from concepthash.tracking.store import Store


class OneTrial(NamedTuple):
    """A trial by its newest run that is finished, or else its newest run."""

    digest: str
    study: str
    status: str
    failure: str | None
    configuration: dict[str, str]
    """Every field by its dotted name."""
    difference: dict[str, tuple[str | None, str | None]] | None
    """Fields in which it differs from the study's baseline: the baseline's value and its own, None
    where there is no such field. None if the study as it was run cannot be read."""
    metrics: dict[str, float]
    """The latest values."""
    checkpoint: str | None
    """Path in the storage."""
    runs: list[dict[str, str]]
    """Of all studies, newest first: study, run_id, status, started, artifacts."""
    provenance: list[dict[str, Any]]
    """Of each stretch of its training: device, processor, commit, data."""


class _Found(NamedTuple):
    study: str
    status: str
    run: Run
    parent: Run | None


def read_trial(store: Store, digest: str) -> OneTrial:
    """The trial whose digest begins with `digest`.

    Raises InputError with one line if there is none, or more than one.
    """
    found = _runs_of(store, digest)
    digests = sorted({each.run.data.tags["digest"] for each in found})
    if not digests:
        raise InputError(
            f"{digest}: begins the digest of no trial of {store}; `plan FILE` lists the digests"
            " of a study"
        )
    if len(digests) > 1:
        some = ", ".join(digests[:5])
        raise InputError(
            f"{digest}: begins the digests of {len(digests)} trials ({some}); give more of one"
        )
    best = next((each for each in found if each.status == "finished"), found[0])
    tags = best.run.data.tags
    return OneTrial(
        digest=digests[0],
        study=best.study,
        status=best.status,
        failure=tags.get("failure"),
        configuration=dict(best.run.data.params),
        difference=_difference(store, best),
        metrics=dict(sorted(best.run.data.metrics.items())),
        checkpoint=tags.get("checkpoint"),
        runs=[
            {
                "study": each.study,
                "run_id": str(each.run.info.run_id),
                "status": each.status,
                "started": _time(each.run.info.start_time),
                "artifacts": str(each.run.info.artifact_uri),
            }
            for each in found
        ],
        provenance=[dict(segment) for segment in segments_of(best.run)] or [_provenance(tags)],
    )


def _runs_of(store: Store, digest: str) -> list[_Found]:
    """The runs of all trials whose digest begins so, newest first."""
    found = []
    for experiment in store.experiments():
        parent = study_run(store, experiment.experiment_id)
        alive = parent is not None and driver_is_alive(parent)
        for run in store.runs(experiment.experiment_id, "trial"):
            if run.data.tags.get("digest", " ").startswith(digest):
                status = status_of(run, driver_alive=alive)
                found.append(_Found(experiment.name, status, run, parent))
    return sorted(found, key=lambda each: each.run.info.start_time, reverse=True)


def _difference(store: Store, found: _Found) -> dict[str, tuple[str | None, str | None]] | None:
    if found.parent is None:
        return None
    try:
        plan = study_file.parse(store.text(found.parent, study_file.FILE), found.study)
    except (InputError, OSError):
        return None
    baseline = {name: str(value) for name, value in plan.baseline.parameters().items()}
    own = found.run.data.params
    return {
        name: (baseline.get(name), own.get(name))
        for name in sorted({*baseline, *own})
        if name != "seed" and baseline.get(name) != own.get(name)
    }


def _provenance(tags: Mapping[str, str]) -> dict[str, Any]:
    """Of a trial that an older version trained."""
    names = ("device", "threads", "mlflow.source.git.commit", "data")
    return {name: tags[name] for name in names if name in tags}


def _time(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M} UTC"


# --- for people ----------------------------------------------------------------------------


def as_text(trial: OneTrial) -> str:
    """A paragraph for each of what is known."""
    status = f"{trial.status}: {trial.failure}" if trial.failure else trial.status
    seed = trial.configuration.get("seed", "?")
    lines = [f"{trial.digest}: {status}; study {trial.study}, seed {seed}"]
    if trial.difference is None:
        lines += ["", "difference from the baseline: unknown, the study as it was run is gone"]
    elif not trial.difference:
        lines += ["", "the baseline"]
    else:
        lines += ["", "difference from the baseline"]
        lines += _aligned({n: _change(*values) for n, values in trial.difference.items()})
    if trial.metrics:
        lines += ["", "metrics, the latest values"]
        lines += _aligned({name: f"{value:.4g}" for name, value in trial.metrics.items()})
    lines += ["", f"checkpoint: {trial.checkpoint or 'none'}", "", "runs in MLflow"]
    lines += [
        f"  {run['run_id']}  {run['study']}, {run['status']}, {run['started']}"
        for run in trial.runs
    ]
    for number, segment in enumerate(trial.provenance, start=1):
        many = f" of stretch {number}" if len(trial.provenance) > 1 else ""
        lines += ["", f"provenance{many}"]
        lines += _aligned({name: str(value) for name, value in segment.items()})
    lines += ["", "configuration", *_aligned(trial.configuration)]
    return "\n".join(lines)


def _change(baseline: str | None, own: str | None) -> str:
    was = "not there" if baseline is None else baseline
    return f"{'not there' if own is None else own}  (baseline: {was})"


def _aligned(values: Mapping[str, str]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in values.items()]
