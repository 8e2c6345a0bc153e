"""The optimizer and its schedule: linear warm-up, then half a cosine down to zero."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from concepthash.spec.shortform import ShortForm
from concepthash.spec_base import NonNegative, Positive, Spec


class _Optimizer(Spec):
    lr: Positive = 1e-3
    weight_decay: NonNegative = 5e-4
    warmup_epochs: Annotated[int, Field(ge=0, le=100_000)] = 10
    """Linear warm-up before the cosine decay; at most the first half of the epochs."""


class Sgd(_Optimizer):
    name: Literal["sgd"] = "sgd"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9


class AdamW(_Optimizer):
    """With the usual betas, 0.9 and 0.999."""

    name: Literal["adamw"] = "adamw"


OptimizerSpec = Annotated[
    Sgd | AdamW, Field(discriminator="name"), ShortForm("name", default="sgd")
]
