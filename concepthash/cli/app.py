"""The application, the options that commands share, and how errors end."""

from __future__ import annotations

import errno
import os
import signal
import sys
import termios
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal, NoReturn

import typer

from concepthash.errors import InputError, TrainingError

USAGE, FAILED_TRIALS, INTERRUPTED = 2, 3, 130

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
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
    received = _interrupt_at_signals()
    try:
        app(arguments, prog_name="concepthash-study")
    except SystemExit as end:
        if received and end.code == INTERRUPTED:
            sys.exit(128 + received[0])
        raise
    except InputError as error:
        _fail(error.lines, USAGE, debug)
    except TrainingError as error:
        _fail([str(error)], FAILED_TRIALS, debug)
    except Exception as error:
        line = f"internal error: {type(error).__name__}: {error}"
        _fail([f"{line.splitlines()[0]} (--debug shows where)"], 1, debug)
    sys.exit(0)


def _interrupt_at_signals() -> list[int]:
    """Makes SIGTERM and SIGHUP do what Ctrl-C does. Returns a list that gets those received."""
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if number == signal.SIGHUP:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the shell repeats the kernel's
            _write_to_no_closed_terminal()
        handler = signal.getsignal(signal.SIGINT)  # while Ray Tune runs, it is Tune's
        if callable(handler):
            handler(signal.SIGINT, frame)
        else:
            raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, interrupt)
    return received


def _write_to_no_closed_terminal() -> None:
    """What is still printed must not fail because the terminal is gone."""
    for stream in (1, 2):
        try:
            termios.tcgetattr(stream)
        except termios.error as error:
            if error.args[0] == errno.EIO:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def _fail(lines: Iterable[str], code: int, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exc()
    for line in lines:
        typer.echo(line, err=True)
    sys.exit(code)
