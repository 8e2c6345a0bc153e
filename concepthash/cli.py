"""Words to calls. No logic here; the only place that prints an error and exits.

Libraries that take seconds to import are imported by the command that needs them, so that a
mistake in a study file is answered at once.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from concepthash.errors import InputError, TrainingError

USAGE, FAILED_TRIALS, INTERRUPTED = 2, 3, 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Hyperparameter and ablation studies of ConceptHash. `--debug` shows tracebacks.",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A study, e.g. studies/ablation.yaml.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override any key of the study, dotted, as YAML: --set baseline.epochs=1. Repeatable.",
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow store or server; by default mlflow.db in the working directory.",
    ),
]


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
    typer.echo(f"{study.spec.name}: {len(plan_.trials)} distinct trials; starting ...", err=True)

    from concepthash.study import run_study
    from concepthash.tracking import open_store

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
    from concepthash.plan import as_text, describe, make_plan, missing_inputs
    from concepthash.spec import load_study
    from concepthash.tracking import earlier_trials, open_store

    study = load_study(file, set_ or [])
    plan_ = make_plan(study.spec)
    for path in missing_inputs(plan_):
        typer.echo(f"warning: {path} does not exist; `run` will need it", err=True)
    store = open_store(tracking_uri)
    store.check()
    earlier = earlier_trials(store, study.spec.name)
    done = {digest for digest, known in earlier.items() if known.status == "FINISHED"}
    if as_json:
        typer.echo(json.dumps(describe(plan_, done), indent=2))
        return
    typer.echo(as_text(plan_, done))


@app.command()
def trial(
    file: File,
    digest: Annotated[str, typer.Option("--id", help="Digest, or its beginning (see `plan`).")],
    set_: Set = None,
    out: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Keep checkpoint and codes here, and go on from them."),
    ] = None,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to train.")] = "cpu",
) -> None:
    """Train one trial of the study in this process, without Ray and MLflow."""
    import tempfile

    from concepthash.plan import find_trial, make_plan
    from concepthash.spec import load_study

    study = load_study(file, set_ or [])
    chosen = find_trial(make_plan(study.spec), digest)

    from concepthash.checkpoint import Checkpoints
    from concepthash.train import train

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
    from concepthash.tracking import open_store, read_spec, read_study

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
def evaluate(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A trial's digest, a run id, or codes.safetensors.")
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="map, precision@10, ... (an unknown one lists all). Repeatable."),
    ] = None,
    concept: Annotated[
        int | None, typer.Option(help="Judge the sub-code of this concept alone, from 0.")
    ] = None,
    mean_center: Annotated[
        bool | None,
        typer.Option(help="Take the database's mean off before the sign; by default as trained."),
    ] = None,
    tracking_uri: TrackingUri = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Compute metrics of a finished trial from the codes it saved: no GPU, no images."""
    import tempfile

    from concepthash.evaluation import METRICS, as_text, evaluate, read_codes
    from concepthash.tracking import fetch_codes, open_store

    about: dict[str, Any] = {"codes": run}
    if Path(run).suffix == ".safetensors":
        saved = read_codes(Path(run))
    else:
        store = open_store(tracking_uri)
        store.check()
        with tempfile.TemporaryDirectory(prefix="concepthash-") as folder:
            path, about = fetch_codes(store, run, Path(folder))
            saved = read_codes(path)
    if mean_center is not None:
        about["mean_center"] = "on" if mean_center else "off"
    if about.get("mean_center") == "on":
        saved = saved.centered()
    if concept is not None:
        saved, about["concept"] = saved.of_concept(concept), concept
    values = evaluate(saved, metric or list(METRICS))
    result = {**about, "metrics": values}
    typer.echo(json.dumps(result, indent=2) if as_json else as_text(result))


@app.command()
def import_checkpoint(
    source: Annotated[Path, typer.Argument(metavar="best.pth", help="A released checkpoint.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The file to write.")],
    num_heads: Annotated[int, typer.Option(min=1, help="Attention heads of its ViT.")],
    refinement_heads: Annotated[
        int | None,
        typer.Option(min=1, help="Heads of its concept block; by default those of the ViT."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Pixels; by default what it was trained on.")
    ] = None,
) -> None:
    """Turn a checkpoint of the paper's released code into a model of this project.

    The released ViT-B/32 has --num-heads 12 --refinement-heads 8.
    """
    from concepthash.reference import import_checkpoint

    model = import_checkpoint(
        source,
        out,
        num_heads=num_heads,
        refinement_heads=refinement_heads,
        image_size=image_size,
    )
    concepts, bits = model.concept_position.shape[0], model.centers().shape[1]
    typer.echo(f"{out}: {bits} bits from {concepts} concepts, {len(model.class_weights)} classes")


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
    from concepthash.tracking import open_store, serve_ui

    typer.echo(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", err=True)
    raise typer.Exit(serve_ui(open_store(tracking_uri), port))


def main() -> NoReturn:
    """The console script. Usage errors and bad input exit 2, with one line for each problem."""
    arguments: list[Any] = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        app(arguments, prog_name="concepthash-study")
    except InputError as error:
        _fail(error.lines, USAGE, debug)
    except TrainingError as error:
        _fail([str(error)], FAILED_TRIALS, debug)
    except Exception as error:
        line = f"internal error: {type(error).__name__}: {error}"
        _fail([f"{line.splitlines()[0]} (--debug shows where)"], 1, debug)
    sys.exit(0)


def _fail(lines: Any, code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    for line in lines:
        typer.echo(line, err=True)
    sys.exit(code)
