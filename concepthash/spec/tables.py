"""The kinds of tables: what a study compares.

Each kind says which cells it has; planning and checking know no kinds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from concepthash.spec.unions import TRIAL_FIELDS
from concepthash.spec_base import Spec

KeyPath = tuple[str | int, ...]


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
        raise ValueError(f"no metric of a table{suggest(name, TABLE_METRICS)}")
    return name


MetricName = Annotated[
    str,
    AfterValidator(_known_metric),
    WithJsonSchema({"type": "string", "enum": list(TABLE_METRICS)}),
]
TableName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]


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
        rows: list[dict[str, Any]] = [{}]
        for name, values in raw.items():
            if not isinstance(values, list) or not values:
                raise ValueError(f"{name} needs a list of values, e.g. {name}: [1, 2]")
            rows = [{**row, name: value} for row in rows for value in values]
        return tuple(Variant(label=label_of(row), changes=row) for row in rows)
    if isinstance(raw, tuple):  # the default
        return raw
    if not isinstance(raw, list) or not all(isinstance(row, Mapping) for row in raw):
        raise ValueError("must be fields with lists of values, or a list of {label, field: value}")
    changes = [{key: row[key] for key in row if key != "label"} for row in raw]
    labels = [
        str(row.get("label", label_of(change))) for row, change in zip(raw, changes, strict=True)
    ]
    return tuple(Variant(label=a, changes=b) for a, b in zip(labels, changes, strict=True))


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
                    "properties": {"label": {"type": "string"}} | {f: {} for f in TRIAL_FIELDS},
                    "additionalProperties": False,
                },
            },
        ]
    }


Axis = Annotated[tuple[Variant, ...], Field(min_length=1), WithJsonSchema(_axis_schema())]


class GridTable(Spec):
    """One cell for each row and column; its trials differ in the seed alone."""

    kind: ClassVar[str] = "grid"

    name: TableName
    title: str = ""
    metric: MetricName = "test/map"
    rows: Axis
    columns: Axis = (Variant(label="baseline"),)

    _read_axis = field_validator("rows", "columns", mode="before")(_variants)

    @field_validator("rows", "columns")
    @classmethod
    def _distinct_labels(cls, axis: tuple[Variant, ...]) -> tuple[Variant, ...]:
        labels = [variant.label for variant in axis]
        if repeated := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(
                f"labels must differ, but {', '.join(map(repr, repeated))} is repeated"
            )
        return axis

    @model_validator(mode="after")
    def _axes_set_different_fields(self) -> Self:
        rows = {name for row in self.rows for name in row.changes}
        both = sorted(rows & {name for column in self.columns for name in column.changes})
        if both:
            raise ValueError(f"{', '.join(both)} varies in the rows and in the columns; keep one")
        return self

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
    title: str = ""
    metric: MetricName = "test/map"
    search: SearchSpec

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

    claim: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    metric: MetricName = "test/map"
    better: Changes
    than: Changes
    note: str = ""
    """A remark that the report prints below the claim."""

    def sides(self) -> dict[str, dict[str, Any]]:
        """What each side changes of the baseline."""
        return {"better": self.better, "than": self.than}


class ClaimsTable(Spec):
    """What is said of the method, a row each with its test."""

    kind: ClassVar[str] = "claims"

    name: TableName
    title: str = ""
    claims: Annotated[tuple[Claim, ...], Field(min_length=1)]

    @field_validator("claims")
    @classmethod
    def _distinct_claims(cls, claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
        texts = [claim.claim for claim in claims]
        if repeated := sorted({text for text in texts if texts.count(text) > 1}):
            raise ValueError(
                f"claims must differ, but {', '.join(map(repr, repeated))} is repeated"
            )
        return claims

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
