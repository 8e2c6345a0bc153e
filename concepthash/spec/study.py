"""The study: a data set, a baseline trial, seeds, and tables over the trial's fields."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveFloat, field_validator

from concepthash.data.readers import DatasetSpec
from concepthash.spec.methods import ConceptHashTrial, TrialSpec
from concepthash.spec.tables import Table, TableName
from concepthash.spec.trial import Seed
from concepthash.spec_base import Spec


class ResourcesSpec(Spec):
    """What one trial occupies; fractions share a processor."""

    cpu: PositiveFloat = 1.0
    gpu: NonNegativeFloat = 0.0


class StudySpec(Spec):
    name: TableName
    """Names the experiment in MLflow and the report's folder: a-z, 0-9, - and _."""
    title: str = ""
    description: str = ""
    """A paragraph for the report's head."""
    dataset: DatasetSpec
    baseline: TrialSpec = ConceptHashTrial()
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
