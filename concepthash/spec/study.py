"""The study: a data set, a baseline trial, seeds, and tables over its fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    StringConstraints,
    Tag,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from concepthash.spec.base import Spec
from concepthash.spec.dataset import DatasetSpec
from concepthash.spec.search import SearchSpec, Seed
from concepthash.spec.trial import TRIAL_FIELDS, TrialSpec, is_path

METRICS = {
    "test/map": "mAP@all",
    "val/map": "validation mAP@all",
    "test/cosine_map": "mAP@all before the sign (cosine)",
    "test/family_map": "family-level mAP@all",
    "test/concept_map": "mAP@all of a single concept",
    "test/quantization_error": "quantization error",
    "test/bit_balance": "bit balance",
    "test/distinct_codes": "share of distinct codes",
    "test/attention_overlap": "concept-attention overlap",
    "test/part_consistency": "part consistency",
    "test/part_coverage": "part coverage",
    "test/peak_stability": "stability of attention peaks",
}
LOWER_IS_BETTER = frozenset({"test/quantization_error", "test/attention_overlap"})
Metric = Literal[
    "test/map",
    "val/map",
    "test/cosine_map",
    "test/family_map",
    "test/concept_map",
    "test/quantization_error",
    "test/bit_balance",
    "test/distinct_codes",
    "test/attention_overlap",
    "test/part_consistency",
    "test/part_coverage",
    "test/peak_stability",
]


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


def label_of(changes: Mapping[str, Any]) -> str:
    """`M = 4, epochs = 3`; `baseline` where nothing changes."""
    words = {"num_bits": "{} bits", "num_concepts": "M = {}"}
    parts = []
    for name, value in changes.items():
        shown = Path(value).name if is_path(name, value) else value
        shown = shown.get("source", shown) if isinstance(shown, Mapping) else shown
        parts.append(words.get(name, f"{name} = {{}}").format(shown))
    return ", ".join(parts) or "baseline"


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

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str = ""
    metric: Metric = "test/map"
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


class SearchTable(Spec):
    """An Optuna search (TPE) with ASHA pruning on val/map instead of a grid."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    title: str = ""
    metric: Metric = "test/map"
    search: SearchSpec


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
    metric: Metric = "test/map"
    better: Changes
    than: Changes
    note: str = ""
    """A remark that the report prints below the claim."""

    def sides(self) -> dict[str, dict[str, Any]]:
        """What each side changes of the baseline."""
        return {"better": self.better, "than": self.than}


class ClaimsTable(Spec):
    """What is said of the method, a row each with its test."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
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


def _kind(table: Any) -> str:
    keys = table if isinstance(table, Mapping) else dir(table)
    return next((kind for kind in ("search", "claims") if kind in keys), "grid")


Table = Annotated[
    Annotated[GridTable, Tag("grid")]
    | Annotated[SearchTable, Tag("search")]
    | Annotated[ClaimsTable, Tag("claims")],
    Discriminator(_kind),
]


class ResourcesSpec(Spec):
    """What one trial occupies; fractions share a processor."""

    cpu: PositiveFloat = 1.0
    gpu: NonNegativeFloat = 0.0


class StudySpec(Spec):
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    """Names the experiment in MLflow and the report's folder: a-z, 0-9, - and _."""
    title: str = ""
    description: str = ""
    """A paragraph for the report's head."""
    dataset: DatasetSpec
    baseline: TrialSpec = TrialSpec()
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0, 1, 2)
    tables: Annotated[tuple[Table, ...], Field(min_length=1)]
    resources: ResourcesSpec = ResourcesSpec()

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"seeds must differ, but got {list(seeds)}")
        return seeds

    @field_validator("tables")
    @classmethod
    def _distinct_tables(cls, tables: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [table.name for table in tables]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"table names must differ, but {', '.join(repeated)} is repeated")
        return tables
