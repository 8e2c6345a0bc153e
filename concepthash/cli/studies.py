"""Commands on a study: plan, run, report, schema, and MLflow's interface."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concepthash.cli.app import FAILED_TRIALS, INTERRUPTED, File, Set, TrackingUri, app
from concepthash.cli.commands import command, store_arguments, study_arguments
from concepthash.errors import InputError

if TYPE_CHECKING:
    from concepthash.tracking.store import Store


@app.command()
def plan(
    file: File,
    set_: Set = None,
    tracking_uri: TrackingUri = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Check a study and show what it trains.

    Trains nothing, and marks what is trained. A digest is the name of a trial: `show DIGEST` has
    its configuration, and so has --json.
    """
    from concepthash.plan import make_plan
    from concepthash.spec import load_study
    from concepthash.study.describe import as_text, describe
    from concepthash.study.inputs import check_present_inputs
    from concepthash.study.state import state_of
    from concepthash.tracking.earlier import earlier_trials
    from concepthash.tracking.store import open_store

    plan_ = make_plan(load_study(file, set_ or []).spec)
    for warning in check_present_inputs(plan_):
        typer.echo(f"warning: {warning}", err=True)
    store = open_store(tracking_uri)
    store.check()
    _warn_of_other_study(store, plan_.study.name, file)
    state = state_of(plan_, earlier_trials(store, plan_.study.name))
    typer.echo(json.dumps(describe(plan_, state), indent=2) if as_json else as_text(plan_, state))


def _warn_of_other_study(store: Store, name: str, file: Path) -> None:
    from concepthash.tracking.source import other_file

    if (other := other_file(store, name, file)) is not None:
        typer.echo(
            f"warning: {other} was run as study {name}, too: trials of both are kept together, and"
            f" `report {name}` shows the one that ran last; to keep them apart, change a name",
            err=True,
        )


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
    """Train what is missing of a study.

    Ray Tune trains, MLflow records, and the tables are printed. The same command goes on after an
    interruption. Exits 0 when every trial is trained, 2 on unusable input, 3 when a trial failed.
    """
    from concepthash.plan import make_plan
    from concepthash.spec import load_study
    from concepthash.study.describe import size_in_words
    from concepthash.study.inputs import check_inputs
    from concepthash.tracking.store import open_store

    plan_ = make_plan(load_study(file, set_ or []).spec)
    check_inputs(plan_)
    store = open_store(tracking_uri)
    store.check()
    name = plan_.study.name
    _warn_of_other_study(store, name, file)
    typer.echo(f"{name}: {size_in_words(plan_)}; starting ...", err=True)

    from concepthash.study.run import run_study

    if storage is not None and "://" not in storage:
        storage = str(Path(storage).expanduser().resolve())
    outcome = run_study(
        plan_, store, source=file, overrides=set_ or [], storage=storage, address=address
    )
    if not outcome.interrupted:
        from concepthash.report.text import as_text
        from concepthash.tracking.frame import read_study

        typer.echo(f"\n{as_text(plan_, read_study(store, name).trials)}\n")
    failed = f", {outcome.failed} failed" if outcome.failed else ""
    typer.echo(f"{name}: {outcome.done} of {outcome.total} trials trained{failed}")
    if outcome.interrupted:
        typer.echo("interrupted; the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED)
    named = study_arguments(file, set_ or [], tracking_uri)
    typer.echo(f"next: {command('report', *named)}")
    typer.echo(f"      {command('ui', *store_arguments(tracking_uri))}")
    if outcome.failed:
        typer.echo("the report tells why; the same command tries the failed ones again", err=True)
        raise typer.Exit(FAILED_TRIALS)


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
    """Write a study's tables and figures.

    From its runs in MLflow, as HTML, Markdown, LaTeX and CSV.
    """
    from concepthash.plan import make_plan
    from concepthash.spec import load_study

    plan_, named = None, None
    if study is not None and (Path(study).suffix in (".yaml", ".yml") or os.path.isfile(study)):
        plan_ = make_plan(load_study(Path(study), set_ or []).spec)
        named = study_arguments(Path(study), set_ or [], tracking_uri)
    elif set_:
        raise InputError("--set: changes a study's file; give FILE instead of a name")

    from concepthash.tracking.store import open_store

    store = open_store(tracking_uri)
    store.check()

    from concepthash.report.render import FILE, Runs, write_report
    from concepthash.tracking.frame import read_plan, read_study

    plan_ = plan_ or read_plan(store, study)
    name = plan_.study.name
    frames = read_study(store, name)
    if named is None and frames.source is not None:
        named = study_arguments(frames.source.file, frames.source.overrides, tracking_uri)
    written = write_report(
        plan_,
        Runs(frames.trials, frames.history),
        out or Path("reports") / name,
        provenance=frames.provenance,
        arguments=named or [FILE],
    )
    typer.echo(str(written))


@app.command()
def schema() -> None:
    """Print the JSON Schema of a study file.

    Editors complete and check a study by it.
    """
    from concepthash.spec import study_schema

    typer.echo(json.dumps(study_schema(), indent=2))


@app.command()
def ui(
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(help="Port on this machine's loopback address.")] = 5000,
) -> None:
    """Open MLflow's own interface on the store.

    At http://127.0.0.1:PORT.
    """
    from concepthash.tracking.store import open_store
    from concepthash.tracking.ui import check_ui, serve_ui

    store = open_store(tracking_uri)
    check_ui(store, port)
    typer.echo(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", err=True)
    raise typer.Exit(serve_ui(store, port))
