"""From a study file to a StudySpec, or to every problem in it at once, each with its line."""

from __future__ import annotations

import difflib
import json
import os.path
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from concepthash.errors import InputError
from concepthash.spec.document import Document, KeyPath, dotted, read_document, with_overrides
from concepthash.spec.study import Claim, ClaimsTable, GridTable, SearchTable, StudySpec
from concepthash.spec.trial import TRIAL_FIELDS, TrialSpec, changed, idle_changes, is_path

Problem = tuple[KeyPath, str]


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
    problems = list(_unknown_fields(document.data))
    spec = None
    try:
        # Through JSON, so that strict models take a list for a tuple and a string for a path.
        spec = StudySpec.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        problems += [_problem(details) for details in error.errors() if not _follows(details)]
    if spec is not None and not problems:
        problems += _impossible_cells(spec)
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
            return str(base / os.path.expanduser(value))
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


# --- problems ------------------------------------------------------------------------------


def _follows(details: ErrorDetails) -> bool:
    """Whether the same is said elsewhere: a list is too short only because its items are wrong,
    a bound of a range is no integer and no number either."""
    if details["loc"][-2:] in (("low", "int"), ("high", "int")):
        return True
    given = details.get("input")
    return details["type"] == "too_short" and isinstance(given, list) and bool(given)


def _key_path(loc: tuple[int | str, ...]) -> KeyPath:
    """Pydantic's location without the tags it adds for the unions of the spec."""
    tagged = [i for i, key in enumerate(loc[:2]) if key in ("dataset", "language")]
    if loc[:1] == ("tables",):
        tagged += [1, *(i for i, key in enumerate(loc) if key in ("low", "high"))]
    return tuple(key for i, key in enumerate(loc) if i - 1 not in tagged)


def _problem(details: ErrorDetails) -> Problem:
    path = _key_path(details["loc"])
    kind, given = details["type"], details.get("input")
    if kind == "extra_forbidden":
        known, parent = _keys_at(path[:-1]), [key for key in path[:-1] if isinstance(key, str)]
        if path[-1] in known:
            return path, f"unknown key here; only another kind of {parent[-1]} has it"
        return path, f"unknown key{_suggestion(str(path[-1]), known)}"
    if kind == "missing":
        return path, "missing; it has no default"
    message = details["msg"].removeprefix("Value error, ")
    message = (message[:1].lower() + message[1:]).replace("tuple should", "list should")
    shown = "" if kind == "value_error" else f", but got {_short(given)}"
    return path, message + shown


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _suggestion(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    if close := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"; did you mean {close[0]}?"
    return f"; allowed: {', '.join(known)}" if known else ""


def _keys_at(path: KeyPath) -> set[str]:
    """The keys that the schema allows in the mapping at `path`."""
    schema = study_schema()
    nodes = [schema]
    for key in path:
        step = "items" if isinstance(key, int) else str(key)
        nodes = [child for node in nodes for child in _children(schema, node, step)]
    return {key for node in nodes for key in node.get("properties", {})}


def _children(schema: Mapping[str, Any], node: Mapping[str, Any], step: str) -> Iterator[Any]:
    named = {step: node.get("additionalProperties"), **node.get("properties", {})}
    child = node.get("items") if step == "items" else named[step]
    return _unfold(schema, child) if isinstance(child, Mapping) else iter(())


def _unfold(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[Any]:
    """The object schemas that `node` stands for, through references and unions."""
    if "$ref" in node:
        yield from _unfold(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[-1]])
    for union in ("anyOf", "oneOf"):
        for option in node.get(union, ()):
            yield from _unfold(schema, option)
    yield node


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
            yield (*path, name), f"no field of a trial{_suggestion(name, TRIAL_FIELDS)}"


def _impossible_cells(spec: StudySpec) -> Iterator[Problem]:
    """Combinations of valid values that make no valid trial."""
    for index, table in enumerate(spec.tables):
        if isinstance(table, GridTable):
            for (r, row), (c, column) in product(enumerate(table.rows), enumerate(table.columns)):
                name = f"cell ({row.label}, {column.label})"
                path: KeyPath = ("tables", index, "rows", r)
                places = dict.fromkeys(row.changes, path)
                places |= dict.fromkeys(column.changes, ("tables", index, "columns", c))
                changes = row.changes | column.changes
                yield from _cell_problems(spec.baseline, changes, path, places, name)
                yield from _idle_changes(spec.baseline, changes, places, name)
        elif isinstance(table, SearchTable):
            space = table.search.space
            if spec.baseline.validation_share == 0:
                where: KeyPath = ("baseline", "validation_share")
                yield (
                    where,
                    f"must be above 0 for the search {table.name}, which chooses by val/map",
                )
            combinations = product(*(dimension.examples() for dimension in space.values()))
            for values, _ in zip(combinations, range(4096), strict=False):
                changes = dict(zip(space, values, strict=True))
                path = ("tables", index, "search", "space")
                places = dict.fromkeys(space, path)
                name = f"combination {changes}"
                yield from _cell_problems(spec.baseline, changes, path, places, name)
        elif isinstance(table, ClaimsTable):
            for c, claim in enumerate(table.claims):
                path = ("tables", index, "claims", c)
                yield from _claim_problems(spec.baseline, claim, path)


def _claim_problems(baseline: TrialSpec, claim: Claim, path: KeyPath) -> Iterator[Problem]:
    problems: list[Problem] = []
    for side, changes in claim.sides().items():
        where = (*path, side)
        places = dict.fromkeys(changes, where)
        name = f"cell ({claim.claim}, {side})"
        problems += _cell_problems(baseline, changes, where, places, name)
        problems += _idle_changes(baseline, changes, places, name)
    yield from problems
    if not problems and changed(baseline, claim.better) == changed(baseline, claim.than):
        yield path, "better and than must differ, but both make the same trials"


def _cell_problems(
    baseline: TrialSpec,
    changes: Mapping[str, Any],
    path: KeyPath,
    places: Mapping[str, KeyPath],
    name: str,
) -> Iterator[Problem]:
    try:
        changed(baseline, changes)
    except ValidationError as error:
        for details in error.errors():
            field, text = _problem(details)
            key = next((key for key in changes if dotted(field).startswith(key)), None)
            yield (*places[key], key) if key else path, f"{name}: {dotted(field)}: {text}"


def _idle_changes(
    baseline: TrialSpec, changes: Mapping[str, Any], places: Mapping[str, KeyPath], name: str
) -> Iterator[Problem]:
    """Changes that would train the same model again under another digest."""
    try:
        trial = changed(baseline, changes)
    except ValidationError:
        return  # told already
    for field, switch in idle_changes(baseline, trial):
        if field in changes:
            yield (*places[field], field), f"{name}: {field} has no effect with {switch}"
