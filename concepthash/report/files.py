"""Files that appear whole or not at all, and are taken away by whoever made them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from concepthash.errors import InputError

MANIFEST = ".report-files"
"""Names the files of the report in its folder, a line each."""

_FORMULA = r"^[=+\-@\t\r]"
"""How a text begins that spreadsheets take for a formula."""


def as_csv(frame: pl.DataFrame) -> str:
    """The frame as CSV. A text that a spreadsheet would run as a formula is quoted with '."""
    safe = {
        name: pl.when(pl.col(name).str.contains(_FORMULA))
        .then(pl.concat_str(pl.lit("'"), pl.col(name)))
        .otherwise(pl.col(name))
        for name, kind in frame.schema.items()
        if kind == pl.String
    }
    return frame.with_columns(**safe).write_csv()


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Puts all files in place in their order, then removes those of the last report not among them.

    Everything is written beside the folder first, so that a full disk leaves the old report as it
    was. Files that no report made stay.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        reason = error.strerror or "cannot be written"
        raise InputError(f"{folder}: {reason}; give a folder for the report") from None
    try:
        old = _manifest(folder)
        everything = {**files, MANIFEST: "".join(f"{name}\n" for name in files).encode()}
        for name, content in everything.items():
            (staging / name).write_bytes(content)
        for name in everything:
            os.replace(staging / name, folder / name)
        for name in old - set(everything):
            (folder / name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _manifest(folder: Path) -> set[str]:
    try:
        names = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return set()
    return {name for name in names if Path(name).name == name and (folder / name).is_file()}
