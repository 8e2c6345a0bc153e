"""A data set described by a CSV file with one line for each image.

    path,label,class_name,family,style,split
    images/000_frog/noto.png,0,frog,amphibian,noto,train

`path` is relative to the file's folder and does not lead out of it, or absolute; `\\` in it is read
as `/`. `split` is `train` (training set and database) or `query`. `label` is 0 to C - 1, and each
has a `class_name` of its own; without the column, labels follow the class names in natural order
(2 before 10). `family` is optional; `style` and any other column are ignored.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from concepthash.data.image_set import MAX_BYTES, ImageSet, check
from concepthash.data.problems import shortened
from concepthash.data.readers.base import InFolder
from concepthash.data.readers.names import natural_order
from concepthash.errors import InputError
from concepthash.spec_base import Title, in_a_line

if TYPE_CHECKING:  # imported where it is used: every command that reads a study imports this file
    import polars as pl

REQUIRED = ("path", "class_name", "split")
SPLITS = ("train", "query")
_LINE = "line of the file"
_PLACE = "path on this machine"


class Manifest(InFolder):
    """A CSV of images: path, class_name, split (train or query), and maybe label and family."""

    name: Literal["manifest"] = "manifest"
    root: Path
    """The folder of manifest.csv, or the path of the CSV."""
    title: Annotated[Title, Field(min_length=1)] = "manifest"  # type: ignore[misc]  # no constant here
    """What tables call this data set; part of a trial's identity, since the path is not."""

    def read(self) -> ImageSet:
        return read(self.root)


def read(root: Path) -> ImageSet:
    """Read the images of `root`, a CSV file or a folder with a manifest.csv.

    Raises InputError with a line for each mistake: file, line, what is wrong, what is right.
    """
    root = Path(root).resolve()
    file = root / "manifest.csv" if root.is_dir() else root
    if not file.is_file():
        what = "is no regular file" if file.exists() else "no such file"
        missing = f"{file}: {what}{' or folder' if file == root and not file.exists() else ''}"
        raise InputError(f"{missing}; a CSV file with the columns {', '.join(REQUIRED)} is needed")
    if (size := file.stat().st_size) > MAX_BYTES:
        raise InputError(f"{file}: has {size:,} bytes; at most {MAX_BYTES:,} are read")
    table = _checked(file, _table(file))
    classes = table.unique("label", keep="first").sort("label")
    return check(
        ImageSet(
            name=file.parent.name if file.name == "manifest.csv" else file.stem,
            root=file.parent,
            paths=tuple(file.parent / path for path in table["path"]),
            labels=table["label"].to_numpy().astype(np.int64),
            is_train=(table["split"] == "train").to_numpy().astype(np.bool_),
            class_names=tuple(classes["class_name"]),
            families=tuple(classes["family"]),
        )
    )


def _table(file: Path) -> pl.DataFrame:
    """All columns as text ("" if empty), with the line number of each record.

    Line numbers are wrong below a quoted field that has a line break.
    """
    import polars as pl

    try:
        table = pl.read_csv(file, infer_schema=False, row_index_name=_LINE, row_index_offset=2)
    except pl.exceptions.NoDataError:
        raise InputError(
            f"{file}: is empty; the first line should be {','.join(REQUIRED)}"
        ) from None
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file}: cannot be read as CSV in UTF-8: {reason}") from None
    missing = [column for column in REQUIRED if column not in table.columns]
    if missing:
        found = in_a_line(", ".join(table.columns[1:]))
        raise InputError(
            *(f"{file}:1: column {column} is missing; there are: {found}" for column in missing)
        )
    if table.is_empty():
        raise InputError(f"{file}: has no images below its first line; at least one is needed")
    if "family" not in table.columns:
        table = table.with_columns(family=pl.lit(""))
    table = table.with_columns(pl.col(pl.String).fill_null("").str.strip_chars())
    if "label" not in table.columns:
        names = sorted(table["class_name"].unique(), key=natural_order)
        labels = {name: str(label) for label, name in enumerate(names)}
        table = table.with_columns(label=pl.col("class_name").replace_strict(labels))
    table = table.with_columns(pl.col("path").str.replace_all("\\", "/", literal=True))
    places = [os.path.normpath(file.parent / path) for path in table["path"]]
    return table.with_columns(pl.Series(_PLACE, places))


def _checked(file: Path, table: pl.DataFrame) -> pl.DataFrame:
    """The table with integer labels. Raises InputError with a line for each mistake."""
    import polars as pl

    number = pl.col("label").cast(pl.Int64, strict=False)
    wrong = [
        *_mistakes(
            file,
            table.filter(number.is_null() | (number < 0)),
            lambda row: f"label is {row['label']!r}, but must be a whole number of 0 or more",
        ),
        *_mistakes(
            file,
            table.filter(~pl.col("split").is_in(SPLITS)),
            lambda row: f"split is {row['split']!r}, but must be {' or '.join(SPLITS)}",
        ),
    ]
    for column in ("path", "class_name"):
        empty = table.filter(pl.col(column) == "").with_columns(empty=pl.lit(column))
        wrong += _mistakes(
            file, empty, lambda row: f"{row['empty']} is empty, but each image needs one"
        )
    wrong += _mistakes(
        file,
        table.filter(~pl.col(_PLACE).is_first_distinct() & (pl.col("path") != "")),
        lambda row: f"path {row['path']} has an earlier line; each image may have one",
    )
    outside = ~pl.col("path").str.starts_with("/") & (
        ~pl.col(_PLACE).str.starts_with(os.path.join(file.parent, ""))
    )
    wrong += _mistakes(
        file,
        table.filter(outside & (pl.col("path") != "")),
        lambda row: (
            f"path {row['path']} leads out of the file's folder; give a path below it, or an"
            " absolute one"
        ),
    )
    if wrong:
        raise InputError(*wrong)
    table = table.with_columns(label=number)
    labels = table["label"].unique().sort()
    gaps = sorted(set(range(len(labels))) - set(labels))
    if gaps:
        wrong.append(
            f"{file}: label {gaps[0]} has no images; the {len(labels)} labels must be "
            f"0 to {len(labels) - 1}, but the highest is {labels[-1]}"
        )
    for column in ("class_name", "family"):
        first = pl.col(column).first().over("label")
        differing = table.select(
            _LINE, "label", what=pl.lit(column), given=pl.col(column), first=first
        ).filter(pl.col("given") != pl.col("first"))
        wrong += _mistakes(
            file,
            differing,
            lambda row: (
                f"label {row['label']} has the {row['what']} {row['given']!r}, but "
                f"{row['first']!r} in an earlier line; a label has one"
            ),
        )
    first = pl.col("label").first().over("class_name")
    shared = table.unique("label", keep="first", maintain_order=True).with_columns(first=first)
    wrong += _mistakes(
        file,
        shared.filter(pl.col("label") != pl.col("first")),
        lambda row: (
            f"labels {row['first']} and {row['label']} both have the class_name "
            f"{row['class_name']!r}; each label needs a name of its own"
        ),
    )
    if wrong:
        raise InputError(*wrong)
    return table


def _mistakes(
    file: Path, rows: pl.DataFrame, message: Callable[[dict[str, object]], str]
) -> list[str]:
    return shortened(
        f"{file}:{row[_LINE]}: {in_a_line(message(row), 500)}" for row in rows.iter_rows(named=True)
    )
