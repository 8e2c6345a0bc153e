"""Commands on one trial: train it again in this process, and show what is known of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concepthash.cli.app import Device, File, Set, TrackingUri, app

if TYPE_CHECKING:
    from concepthash.plan import Plan, Trial


@app.command()
def trial(
    file: File,
    digest: Annotated[str, typer.Option("--id", help="Digest, or its beginning (see `plan`).")],
    set_: Set = None,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Keep checkpoint and codes here, and go on from them."),
    ] = None,
    device: Device = "cpu",
    tracking_uri: TrackingUri = None,
) -> None:
    """Train one trial without Ray and MLflow.

    It trains in this process, for a debugger. One that a search sampled is known from the store.
    """
    import tempfile

    from concepthash.plan import make_plan
    from concepthash.spec import load_study

    plan = make_plan(load_study(file, set_ or []).spec)
    chosen = _trial(plan, digest, tracking_uri)

    from concepthash.train.checkpoint import Checkpoints
    from concepthash.train.loop import train

    def show(metrics: dict[str, float]) -> None:
        typer.echo("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))

    with tempfile.TemporaryDirectory(prefix="concepthash-") as temporary:
        folder = Checkpoints(out or Path(temporary), chosen.digest)
        train(chosen, show, folder, device=device)


def _trial(plan: Plan, digest: str, tracking_uri: str | None) -> Trial:
    """The trial of a cell, or the one that a search sampled."""
    from concepthash.plan import find_trial

    sampled = {}
    if plan.searches and not any(known.startswith(digest) for known in plan.trials):
        from concepthash.study.state import state_of
        from concepthash.tracking.earlier import earlier_trials
        from concepthash.tracking.store import open_store

        store = open_store(tracking_uri)
        store.check()
        state = state_of(plan, earlier_trials(store, plan.study.name))
        sampled = {known: of.trial for known, of in state.trials.items() if of.table}
    return find_trial(plan, digest, sampled)


@app.command()
def show(
    digest: Annotated[
        str, typer.Argument(metavar="DIGEST", help="A trial's digest, or its beginning.")
    ],
    tracking_uri: TrackingUri = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show what is known of a trial.

    What it changes of the baseline, its metrics, checkpoint, runs, provenance and configuration.
    """
    from concepthash.tracking.one_trial import as_text, read_trial
    from concepthash.tracking.store import open_store

    store = open_store(tracking_uri)
    store.check()
    found = read_trial(store, digest)
    typer.echo(json.dumps(found._asdict(), indent=2) if as_json else as_text(found))
