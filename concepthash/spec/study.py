"""The study: a data set, a baseline trial, seeds, and tables over the trial's fields."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from concepthash.data.readers import DatasetSpec
from concepthash.spec.methods import ConceptHashTrial, TrialSpec
from concepthash.spec.tables import MAX_TRIALS, Table, TableName, repeated
from concepthash.spec.trial import Seed
from concepthash.spec_base import Paragraph, Spec, Title


class ResourcesSpec(Spec):
    """What one trial occupies; fractions share a processor.

    Ray counts in units of 0.0001, rounds down, and fails at 0: a hundredth of a processor is the
    least, and more trials than that would not fit its memory.
    """

    cpu: Annotated[float, Field(ge=0.01, le=10_000)] = 1.0
    gpu: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """0, a share of one (0.01 or more), or several whole ones."""
    silent_minutes: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """A worker that reports no epoch for so long is ended, and its trial goes on from its last
    checkpoint. It must be longer than an epoch, its validation and test, and the set-up before
    the first one. By default there is no limit."""

    @field_validator("gpu")
    @classmethod
    def _part_of_one_or_whole(cls, gpu: float) -> float:
        if 0 < gpu < 0.01 or (gpu > 1 and gpu % 1):
            raise ValueError(f"must be 0, a share from 0.01 to 1, or a whole number, but got {gpu}")
        return gpu


class StudySpec(Spec):
    name: TableName
    """Names the experiment in MLflow and the report's folder: a-z, 0-9, - and _."""
    title: Title = ""
    description: Paragraph = ""
    """A paragraph for the report's head."""
    dataset: DatasetSpec
    baseline: TrialSpec = ConceptHashTrial()
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=1000)] = (0, 1, 2)
    tables: Annotated[tuple[Table, ...], Field(min_length=1, max_length=1000)]
    """Together at most 10,000 trials: cells times seeds, and those of searches."""
    resources: ResourcesSpec = ResourcesSpec()

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if again := repeated(seeds):
            raise ValueError(f"seeds must differ, but {', '.join(map(str, again))} is repeated")
        return seeds

    @field_validator("tables")
    @classmethod
    def _distinct_tables(cls, tables: tuple[Any, ...]) -> tuple[Any, ...]:
        if again := repeated(table.name for table in tables):
            raise ValueError(f"table names must differ, but {', '.join(again)} is repeated")
        return tables

    @field_validator("tables")
    @classmethod
    def _not_too_many_trials(cls, tables: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        seeds = len(info.data.get("seeds", [0]))
        trials = sum(table.num_trials(seeds) for table in tables)
        if trials > MAX_TRIALS:
            raise ValueError(
                f"{trials:,} trials in all, but a study has at most {MAX_TRIALS:,}; make several"
                " studies of it, or search"
            )
        return tables
