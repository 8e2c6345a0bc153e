"""What every part of a study file is made of. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Switch = Literal["on", "off"]
"""YAML 1.2 reads on and off as words."""


class Spec(BaseModel):
    """Closed (no unknown keys), frozen, and strict: "32" is no number, 0.5 no count."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )
