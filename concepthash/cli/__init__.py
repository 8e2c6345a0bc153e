"""The command line: reads arguments, calls the package, prints errors and sets the exit code.

Libraries that take seconds to import are imported by the command that needs them, so that a
mistake in a study file is reported at once.
"""

from concepthash.cli import studies, trained  # noqa: F401  they add their commands to the app
from concepthash.cli.app import app, main

__all__ = ["app", "main"]
