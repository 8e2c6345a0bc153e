"""Commands that are printed, as a user can repeat them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path


def command(name: str, *arguments: str) -> str:
    """`concepthash-study NAME ARGUMENTS`, quoted for a shell."""
    return shlex.join(["concepthash-study", name, *arguments])


def study_arguments(file: Path, overrides: Sequence[str], tracking_uri: str | None) -> list[str]:
    """What names a study: its file, what --set changed of it, and its store.

    The file is relative to the working directory if it lies below it, else absolute.
    """
    file, here = file.resolve(), Path.cwd()
    shown = file.relative_to(here) if file.is_relative_to(here) else file
    settings = [word for override in overrides for word in ("--set", override)]
    return [str(shown), *settings, *store_arguments(tracking_uri)]


def store_arguments(tracking_uri: str | None) -> list[str]:
    """--tracking-uri, unless the store is the default one, or that of the environment.

    A URI with a secret is left out.
    """
    from concepthash.tracking.uri import masked

    if tracking_uri in (None, os.environ.get("MLFLOW_TRACKING_URI")):
        return []
    assert tracking_uri is not None
    secret = masked(tracking_uri) != tracking_uri
    return [] if secret else ["--tracking-uri", tracking_uri]
