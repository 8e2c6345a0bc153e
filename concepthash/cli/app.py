"""The application, the options that commands share, and how errors end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, NoReturn

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
Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to compute.")]


def main() -> NoReturn:
    """The console script. Usage errors and bad input exit 2, with one line for each problem."""
    arguments: list[str] = [argument for argument in sys.argv[1:] if argument != "--debug"]
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


def _fail(lines: Iterable[str], code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    for line in lines:
        typer.echo(line, err=True)
    sys.exit(code)
