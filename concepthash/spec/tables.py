"""The kinds of tables: what a study compares.

Each kind says which cells it has; planning and checking know no kinds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from concepthash.evaluation.catalogue import TABLE_METRICS, suggest
from concepthash.spec.changes import label_of
from concepthash.spec.search import SearchSpec
from concepthash.spec.unions import SCHEMA_COMMAND, TRIAL_FIELDS
from concepthash.spec_base import Paragraph, Spec, Title, line_of_text, problem_of_text

KeyPath = tuple[str | int, ...]

MAX_TRIALS = 10_000
"""Of all tables of a study: a week of one-minute trials. Reading them takes seconds."""
MAX_LABEL = 200
"""Characters of a row's or column's label."""


class PlannedCell(NamedTuple):
    """One combination of a table, as the study file has it."""

    row: str
    column: str
    metric: str
    label: str
    """The configuration's name, where no table stands around it."""
    changes: dict[str, Any]
    """What it changes of the baseline."""
    places: Mapping[str, KeyPath]
    """Where in the table each of these fields is written."""
    place: KeyPath
    """Where in the table the cell itself is written."""


def _known_metric(name: str) -> str:
    if name not in TABLE_METRICS:
        raise ValueError(f"no metric of a table{suggest(name, TABLE_METRICS, SCHEMA_COMMAND)}")
    return name


MetricName = Annotated[
    str,
    AfterValidator(_known_metric),
    WithJsonSchema({"type": "string", "enum": list(TABLE_METRICS)}),
]
TableName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
"""A part of the names of files and folders, which may have 255 characters."""


def repeated(items: Iterable[Any]) -> list[Any]:
    """Those of the items that are there more than once, each once, in order."""
    return [item for item, count in Counter(items).items() if count > 1]


class Variant(Spec):
    """A row or a column: what it changes of the baseline, by dotted field."""

    label: str
    changes: dict[str, Any] = Field(default_factory=dict)

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {"label": self.label, **self.changes}


def _variants(raw: Any) -> Any:
    """Both spellings of an axis, fields with values or a list of changes, as variants."""
    if isinstance(raw, Mapping):
        for name, values in raw.items():
            if not isinstance(values, list) or not values:
                raise ValueError(f"{name} needs a list of values, e.g. {name}: [1, 2]")
        if (count := math.prod(map(len, raw.values()))) > MAX_TRIALS:
            raise ValueError(
                f"{count:,} combinations, but a study has at most {MAX_TRIALS:,} trials"
            )
        rows = [dict(zip(raw, values, strict=True)) for values in product(*raw.values())]
        return tuple(_variant(row, label_of(row)) for row in rows)
    if isinstance(raw, tuple):  # the default
        return raw
    if not isinstance(raw, list) or not all(isinstance(row, Mapping) for row in raw):
        raise ValueError("must be fields with lists of values, or a list of {label, field: value}")
    variants = []
    for row in raw:
        changes = {key: row[key] for key in row if key != "label"}
        variants.append(_variant(changes, row.get("label", label_of(changes))))
    return tuple(variants)


def _variant(changes: dict[str, Any], label: Any) -> Variant:
    """Raises ValueError unless the label is a number or text that fits in a line."""
    if not isinstance(label, str | int | float) or isinstance(label, bool) or label == "":
        raise ValueError(f"a label must be text, but one is {label!r}")
    label = str(label)
    if len(label) > MAX_LABEL:
        raise ValueError(
            f"a label has at most {MAX_LABEL} characters, but {label[:30]!r}... has {len(label)};"
            " write the row with a label: {label: ..., field: value}"
        )
    if problem := problem_of_text(label):
        raise ValueError(f"the label {label!r} {problem}")
    return Variant(label=label, changes=changes)


def _axis_schema() -> dict[str, Any]:
    """JSON Schema of both spellings, so that editors complete the names of fields."""
    values = {"type": "array", "minItems": 1}
    return {
        "anyOf": [
            {
                "description": "Fields with their values; several fields are combined.",
                "type": "object",
                "properties": dict.fromkeys(TRIAL_FIELDS, values),
                "additionalProperties": False,
            },
            {
                "description": "Each entry changes some fields of the baseline.",
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"label": {"type": ["string", "number"], "maxLength": MAX_LABEL}}
                    | {f: {} for f in TRIAL_FIELDS},
                    "additionalProperties": False,
                },
            },
        ]
    }


Axis = Annotated[
    tuple[Variant, ...],
    Field(min_length=1, max_length=MAX_TRIALS),
    WithJsonSchema(_axis_schema()),
]


class GridTable(Spec):
    """One cell for each row and column; its trials differ in the seed alone."""

    kind: ClassVar[str] = "grid"

    name: TableName
    title: Title = ""
    metric: MetricName = "test/map"
    rows: Axis
    columns: Axis = (Variant(label="baseline"),)

    _read_axis = field_validator("rows", "columns", mode="before")(_variants)

    @field_validator("rows", "columns")
    @classmethod
    def _distinct_labels(cls, axis: tuple[Variant, ...]) -> tuple[Variant, ...]:
        if again := repeated(variant.label for variant in axis):
            raise ValueError(f"labels must differ, but {', '.join(map(repr, again))} is repeated")
        return axis

    @model_validator(mode="after")
    def _axes_set_different_fields(self) -> Self:
        rows = {name for row in self.rows for name in row.changes}
        both = sorted(rows & {name for column in self.columns for name in column.changes})
        if both:
            raise ValueError(f"{', '.join(both)} varies in the rows and in the columns; keep one")
        return self

    def num_trials(self, seeds: int) -> int:
        return len(self.rows) * len(self.columns) * seeds

    def cells(self) -> Iterator[PlannedCell]:
        for (r, row), (c, column) in product(enumerate(self.rows), enumerate(self.columns)):
            places: dict[str, KeyPath] = dict.fromkeys(row.changes, ("rows", r))
            places |= dict.fromkeys(column.changes, ("columns", c))
            yield PlannedCell(
                row.label,
                column.label,
                self.metric,
                row.label,
                row.changes | column.changes,
                places,
                ("rows", r),
            )


class SearchTable(Spec):
    """An Optuna search (TPE) with ASHA pruning on val/map instead of a grid."""

    kind: ClassVar[str] = "search"

    name: TableName
    title: Title = ""
    metric: MetricName = "test/map"
    search: SearchSpec

    def num_trials(self, seeds: int) -> int:
        """Those that it samples, each with one seed."""
        return self.search.trials

    def cells(self) -> Iterator[PlannedCell]:
        """None: what a search trains is known when it has run."""
        return iter(())


def _changes_schema() -> dict[str, Any]:
    return {
        "description": "What it changes of the baseline; {} is the baseline itself.",
        "type": "object",
        "properties": {f: {} for f in TRIAL_FIELDS},
        "additionalProperties": False,
    }


Changes = Annotated[dict[str, Any], WithJsonSchema(_changes_schema())]


class Claim(Spec):
    """One thing is better than another: both are trained over all seeds, and compared by seed."""

    claim: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=500),
        AfterValidator(line_of_text),
    ]
    metric: MetricName = "test/map"
    better: Changes
    than: Changes
    note: Paragraph = ""
    """A remark that the report prints below the claim."""

    def sides(self) -> dict[str, dict[str, Any]]:
        """What each side changes of the baseline."""
        return {"better": self.better, "than": self.than}


class ClaimsTable(Spec):
    """What is said of the method, a row each with its test."""

    kind: ClassVar[str] = "claims"

    name: TableName
    title: Title = ""
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]

    @field_validator("claims")
    @classmethod
    def _distinct_claims(cls, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
        if again := repeated(claim.claim for claim in claims):
            raise ValueError(f"claims must differ, but {', '.join(map(repr, again))} is repeated")
        return claims

    def num_trials(self, seeds: int) -> int:
        return 2 * len(self.claims) * seeds

    def cells(self) -> Iterator[PlannedCell]:
        for c, claim in enumerate(self.claims):
            for side, changes in claim.sides().items():
                place = ("claims", c, side)
                places = dict.fromkeys(changes, place)
                yield PlannedCell(
                    claim.claim, side, claim.metric, label_of(changes), changes, places, place
                )


def _kind(table: Any) -> str:
    if not isinstance(table, Mapping):
        return getattr(table, "kind", "grid")
    return next((kind for kind in ("search", "claims") if kind in table), "grid")


Table = Annotated[
    Annotated[GridTable, Tag("grid")]
    | Annotated[SearchTable, Tag("search")]
    | Annotated[ClaimsTable, Tag("claims")],
    Discriminator(_kind),
]
