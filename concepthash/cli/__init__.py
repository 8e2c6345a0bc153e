"""The command line: reads arguments, calls the package, prints errors and sets the exit code.

Libraries that take seconds to import are imported by the command that needs them, so that a
mistake in a study file is reported at once.
"""

from typing import Annotated

import typer

from concepthash import __version__
from concepthash.cli.app import app, main

# isort: off
# These add their commands to the application, and `--help` lists them in this order.
from concepthash.cli import init, studies, trials, trained  # noqa: F401
# isort: on


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"concepthash-study {__version__}")
        raise typer.Exit


@app.callback()
def _application(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Hyperparameter and ablation studies of ConceptHash: hash codes for image retrieval.

    From a folder of images, one folder for each class, to a report:

    \b
      concepthash-study init IMAGES         writes study.yaml: what to compare
      concepthash-study plan study.yaml     checks it and shows what it trains
      concepthash-study run study.yaml      trains it, or goes on after an interruption
      concepthash-study report study.yaml   writes reports/NAME/report.html

    `concepthash-study COMMAND --help` explains a command; --debug, anywhere, shows tracebacks.
    """


__all__ = ["app", "main"]
