"""From a study file to a StudySpec, or to every problem in it at once, each with its line."""

from __future__ import annotations

import json
import os.path
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from concepthash.errors import InputError
from concepthash.evaluation.catalogue import suggest
from concepthash.spec.combinations import impossible_combinations
from concepthash.spec.document import Document, KeyPath, dotted, read_document, with_overrides
from concepthash.spec.messages import Problem, follows, problem
from concepthash.spec.study import StudySpec
from concepthash.spec.trial import is_path
from concepthash.spec.unions import SCHEMA_COMMAND, TRIAL_FIELDS
from concepthash.spec_base import problem_of_path


@dataclass(frozen=True)
class Study:
    """A valid study and the file it came from."""

    spec: StudySpec
    path: Path


def load_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Reads `path`, applies each `key=value` of `overrides`, and checks everything.

    Relative paths are taken from the file's folder, those in `overrides` from the working
    directory. Raises InputError with a line for every problem.
    """
    document = read_document(path)
    _make_absolute(document.data, path.resolve().parent)
    document = with_overrides(document, overrides, _absolute_in(Path.cwd()))
    return Study(validate(document), path)


def validate(document: Document) -> StudySpec:
    """The study that the document holds. Raises InputError with a line for every problem."""
    problems = [*_unknown_fields(document.data), *_unusable_paths(document.data)]
    spec = None
    try:
        # Through JSON, so that strict models take a list for a tuple and a string for a path.
        spec = StudySpec.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        problems += [
            problem(details, document.data) for details in error.errors() if not follows(details)
        ]
    if spec is not None and not problems:
        problems += impossible_combinations(spec)
    if problems or spec is None:
        places = [(document.where(path), dotted(path), text) for path, text in problems]
        places.sort(key=lambda place: _line_number(place[0]))
        raise InputError(*dict.fromkeys(": ".join(place) for place in places))
    return spec


def _line_number(where: str) -> int:
    """Of `file:12`; what has no line comes first."""
    last = where.rsplit(":", 1)[-1]
    return int(last) if last.isdigit() else 0


def study_schema() -> dict[str, Any]:
    """JSON Schema of a study file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **StudySpec.model_json_schema(),
    }


# --- paths ---------------------------------------------------------------------------------


def _absolute_in(base: Path) -> Callable[[str, Any], Any]:
    def absolute(key: str, value: Any) -> Any:
        if is_path(key, value):
            return str(base / os.path.expanduser(value)) if "\0" not in value else value
        if isinstance(value, list):
            return [absolute(key, item) for item in value]
        if isinstance(value, dict) and "choices" in value:  # of a search, for the field `key`
            return {**value, "choices": absolute(key, value["choices"])}
        _make_absolute(value, base)
        return value

    return absolute


def _make_absolute(data: Any, base: Path) -> None:
    """Turns every relative path below `data` into one from `base`, in place."""
    if isinstance(data, dict):
        absolute = _absolute_in(base)
        for key in data:
            data[key] = absolute(key, data[key])
    elif isinstance(data, list):
        for item in data:
            _make_absolute(item, base)


def _unusable_paths(data: Any, path: KeyPath = ()) -> Iterator[Problem]:
    """Paths that no file can have."""
    items = data.items() if isinstance(data, Mapping) else enumerate(data)
    for step, value in items:
        here: KeyPath = (*path, step)
        if isinstance(value, Mapping | list):
            yield from _unusable_paths(value, here)
        elif is_path(_field_at(here), value) and (problem := problem_of_path(value)):
            yield here, problem


def _field_at(path: KeyPath) -> str:
    """The key that a value belongs to: of an item the list's, of a choice the field's."""
    names = [step for step in path if isinstance(step, str) and step != "choices"]
    return names[-1]


# --- names of fields -------------------------------------------------------------------------


def _unknown_fields(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Names in axes, search spaces and sides of claims that are no field of a trial."""
    tables = data.get("tables")
    for index, table in enumerate(tables if isinstance(tables, list) else ()):
        if not isinstance(table, Mapping):
            continue
        for axis in ("rows", "columns"):
            entry = table.get(axis)
            rows = enumerate(entry) if isinstance(entry, list) else [(None, entry)]
            for row, changes in rows:
                path: KeyPath = ("tables", index, axis, *(() if row is None else (row,)))
                yield from _unknown_names(path, changes, {"label"} if row is not None else set())
        search = table.get("search")
        space = search.get("space") if isinstance(search, Mapping) else None
        yield from _unknown_names(("tables", index, "search", "space"), space, set())
        claims = table.get("claims")
        for c, claim in enumerate(claims if isinstance(claims, list) else ()):
            for side in ("better", "than") if isinstance(claim, Mapping) else ():
                path = ("tables", index, "claims", c, side)
                yield from _unknown_names(path, claim.get(side), set())


def _unknown_names(path: KeyPath, changes: Any, besides: set[str]) -> Iterator[Problem]:
    for name in changes if isinstance(changes, Mapping) else ():
        if name not in TRIAL_FIELDS and name not in besides:
            yield (*path, name), f"no field of a trial{suggest(name, TRIAL_FIELDS, SCHEMA_COMMAND)}"
