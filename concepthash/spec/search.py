"""Where a search looks, and how long."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from concepthash.spec.trial import Seed
from concepthash.spec.unions import TRIAL_FIELDS
from concepthash.spec_base import Count, Spec


class Dimension(Spec):
    """Where a search looks for one field: listed choices, or a range."""

    choices: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    low: int | float | None = None
    high: int | float | None = None
    log: bool = False

    @model_validator(mode="after")
    def _choices_or_range(self) -> Self:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("give choices, or low and high, not both")
        elif self.low is None or self.high is None:
            raise ValueError("give choices: [...], or low: and high:")
        elif not self.low < self.high:
            raise ValueError(f"`low < high` must hold, but got low={self.low}, high={self.high}")
        elif self.log and self.low <= 0:
            raise ValueError(f"a log range needs low > 0, but got low={self.low}")
        return self

    @property
    def size(self) -> float:
        """How many values there are; infinite for a range of real numbers."""
        if self.choices is not None:
            return len(self.choices)
        if isinstance(self.low, int) and isinstance(self.high, int):
            return self.high - self.low + 1
        return math.inf

    def examples(self) -> tuple[Any, ...]:
        """Every value if there are few, the ends of other ranges."""
        if self.choices is not None:
            return self.choices
        if isinstance(self.low, int) and isinstance(self.high, int) and self.size <= 64:
            return tuple(range(self.low, self.high + 1))
        return self.low, self.high


class SearchSpec(Spec):
    space: Annotated[
        dict[str, Dimension],
        Field(min_length=1, json_schema_extra={"propertyNames": {"enum": list(TRIAL_FIELDS)}}),
    ]
    trials: Count = 20
    show: Annotated[int, Field(ge=1, le=1000)] = 5
    """How many of the best the report lists."""
    seed: Seed = 0
    """Of the sampler."""
    grace_epochs: Count = 1
    """Epochs that no trial is pruned before."""
