"""Commands on a study: schema, plan, run, report, ui, and one of its trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from concepthash.cli.app import FAILED_TRIALS, INTERRUPTED, Device, File, Set, TrackingUri, app
from concepthash.errors import InputError


@app.command()
def run(
    file: File,
    set_: Set = None,
    tracking_uri: TrackingUri = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Folder or URI for checkpoints; by default storage/ beside the store."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster, e.g. auto; by default Ray starts here."),
    ] = None,
) -> None:
    """Train the study's missing trials on Ray Tune and record them in MLflow.

    Exits 0 when every trial is trained, 2 on unusable input, 3 when a trial failed.
    """
    from concepthash.plan import make_plan
    from concepthash.spec import load_study

    study = load_study(file, set_ or [])
    plan_ = make_plan(study.spec)
    typer.echo(f"{study.spec.name}: {len(plan_.trials)} trials; starting ...", err=True)

    from concepthash.study.run import run_study
    from concepthash.tracking.store import open_store

    if storage is not None and "://" not in storage:
        storage = str(Path(storage).expanduser().resolve())
    store = open_store(tracking_uri)
    outcome = run_study(plan_, store, source=file, storage=storage, address=address)
    failed = f", {outcome.failed} failed" if outcome.failed else ""
    typer.echo(f"{study.spec.name}: {outcome.done} of {outcome.total} trials trained{failed}")
    if outcome.interrupted:
        typer.echo("interrupted; the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED)
    if outcome.failed:
        typer.echo("the report tells why; the same command tries the failed ones again", err=True)
        raise typer.Exit(FAILED_TRIALS)


@app.command()
def plan(
    file: File,
    set_: Set = None,
    tracking_uri: TrackingUri = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Print the study's tables, cells and distinct trials, and which are done. Trains nothing."""
    from concepthash.plan import make_plan, missing_inputs
    from concepthash.spec import load_study
    from concepthash.study.describe import as_text, describe
    from concepthash.study.state import state_of
    from concepthash.tracking.earlier import earlier_trials
    from concepthash.tracking.store import open_store

    study = load_study(file, set_ or [])
    plan_ = make_plan(study.spec)
    for path in missing_inputs(plan_):
        typer.echo(f"warning: {path} does not exist; `run` will need it", err=True)
    store = open_store(tracking_uri)
    store.check()
    state = state_of(plan_, earlier_trials(store, study.spec.name))
    if as_json:
        typer.echo(json.dumps(describe(plan_, state), indent=2))
        return
    typer.echo(as_text(plan_, state))


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
) -> None:
    """Train one trial of the study in this process, without Ray and MLflow."""
    import tempfile

    from concepthash.plan import find_trial, make_plan
    from concepthash.spec import load_study

    study = load_study(file, set_ or [])
    chosen = find_trial(make_plan(study.spec), digest)

    from concepthash.train.checkpoint import Checkpoints
    from concepthash.train.loop import train

    def show(metrics: dict[str, float]) -> None:
        typer.echo("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))

    with tempfile.TemporaryDirectory(prefix="concepthash-") as temporary:
        folder = Checkpoints(out or Path(temporary), chosen.digest)
        train(chosen, show, folder, device=device)


@app.command()
def report(
    study: Annotated[
        str | None,
        typer.Argument(metavar="[NAME or FILE]", help="By default the study that ran last."),
    ] = None,
    set_: Set = None,
    tracking_uri: TrackingUri = None,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder to write into; by default reports/NAME."),
    ] = None,
) -> None:
    """Write the study's tables and figures from its runs, as HTML, Markdown, LaTeX and CSV."""
    from concepthash.plan import make_plan
    from concepthash.spec import load_study

    spec = None
    if study is not None and (Path(study).suffix in (".yaml", ".yml") or Path(study).is_file()):
        spec = load_study(Path(study), set_ or []).spec
    elif set_:
        raise InputError("--set: changes a study's file; give FILE instead of a name")

    from concepthash.report import Runs, write_report
    from concepthash.tracking.frame import read_spec, read_study
    from concepthash.tracking.store import open_store

    store = open_store(tracking_uri)
    store.check()
    spec = spec or read_spec(store, study)
    frames = read_study(store, spec.name)
    written = write_report(
        make_plan(spec),
        Runs(frames.trials, frames.history),
        out or Path("reports") / spec.name,
        provenance=frames.provenance,
    )
    typer.echo(str(written))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a study file, by which editors complete and check it."""
    from concepthash.spec import study_schema

    typer.echo(json.dumps(study_schema(), indent=2))


@app.command()
def ui(
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(help="Port on this machine's loopback address.")] = 5000,
) -> None:
    """Open MLflow's own interface on the store, at http://127.0.0.1:PORT."""
    from concepthash.tracking.store import open_store
    from concepthash.tracking.ui import serve_ui

    typer.echo(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", err=True)
    raise typer.Exit(serve_ui(open_store(tracking_uri), port))
