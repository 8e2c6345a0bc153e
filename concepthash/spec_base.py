"""What every part of a study file is made of. No torch."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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


# --- limits of what a study may say ----------------------------------------------------------

Count = Annotated[int, Field(ge=1, le=1_000_000)]
"""Of epochs, images, classes: far beyond any study, and far below where integers overflow."""
Width = Annotated[int, Field(ge=1, le=4096)]
"""Of a layer, or its number of heads. A matrix of 4096 x 4096 takes 64 MiB."""
Positive = Annotated[float, Field(gt=0, le=1e6)]
NonNegative = Annotated[float, Field(ge=0, le=1e6)]
"""At most a million, so that its products with losses and gradients stay finite in float32."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, other ends of lines, and halves of characters."""


def problem_of_text(text: str, but: str = "") -> str | None:
    """What is wrong with text that is shown in a line: a control character, except those of `but`.

    None if it is fine.
    """
    found = next((c for c in _CONTROL.findall(text) if c not in but), None)
    return None if found is None else f"holds the control character {found!a}; take it out"


def problem_of_path(path: str) -> str | None:
    """Why a path cannot be one, whatever the disk holds; None if it can."""
    if problem := problem_of_text(path):
        return f"a path {problem}"
    longest = max(len(part.encode()) for part in path.split("/"))
    if longest > 255:
        return f"a name in a path has at most 255 bytes, but one has {longest}"
    if len(path.encode()) > 4095:
        return f"a path has at most 4,095 bytes, but got {len(path.encode())}"
    return None


def in_a_line(text: str, length: int = 200) -> str:
    """Text of any kind as a part of one line of a message: escaped, and cut to `length`."""
    cut = text if len(text) <= length else text[: length - 3] + "..."
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], cut)


def line_of_text(text: str) -> str:
    if problem := problem_of_text(text):
        raise ValueError(problem)
    return text


def _paragraph(text: str) -> str:
    if problem := problem_of_text(text, but="\t\n\r"):
        raise ValueError(problem)
    return text


Word = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(line_of_text)]
"""The name of a model or of weights: as long as the name of a file may be."""
Title = Annotated[str, Field(max_length=200), AfterValidator(line_of_text)]
"""A line above a table or beside a row."""
Paragraph = Annotated[str, Field(max_length=5000), AfterValidator(_paragraph)]
"""Text of the report, which may have several lines."""
