"""Language guidance: where the class centers come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from concepthash.spec.shortform import ShortForm
from concepthash.spec.trial import is_path
from concepthash.spec_base import Spec, Switch, Title, Word, problem_of_path


class _Embeddings(Spec):
    """What all sources of class embeddings share.

    A list is taken for a tuple, and a string for a path, in the fields that say `strict=False`:
    behind a short form pydantic no longer knows that the data was JSON.
    """

    binarize: Switch = "off"
    """Whether only the signs of the embeddings enter the MLP to the code space (released code)."""


class OpenClipText(_Embeddings):
    """Class centers from the text encoder of an open_clip model."""

    source: Literal["open_clip"] = "open_clip"
    model: Word = "ViT-B-32-quickgelu"
    """Name of an open_clip model configuration."""
    pretrained: Annotated[str, Field(min_length=1, max_length=4095)] = "openai"
    """open_clip's tag of the weights, a local file of them, or `none` for random weights."""
    prompts: Annotated[tuple[Title, ...], Field(min_length=1, max_length=1000, strict=False)] = (
        "a photo of a {}",
    )
    """Templates for the class name; the embeddings of several are averaged."""

    @field_validator("pretrained")
    @classmethod
    def _may_name_a_file(cls, pretrained: str) -> str:
        if not is_path("pretrained", pretrained) and (problem := problem_of_path(pretrained)):
            raise ValueError(problem)
        return pretrained

    @field_validator("prompts")
    @classmethod
    def _name_the_class(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        for prompt in prompts:
            if prompt.count("{}") != 1:
                raise ValueError(f"a prompt holds the class name once, as {{}}, but got {prompt!r}")
        return prompts


class TextFile(_Embeddings):
    """Class centers from precomputed text embeddings."""

    source: Literal["file"] = "file"
    embeddings: Annotated[Path, Field(strict=False)]
    """A .safetensors file with `text_embeddings` (C, E), a row a class in label order."""


class OrthogonalEmbeddings(_Embeddings):
    """Random class vectors, the control: orthogonal unit vectors instead of text, drawn by seed.

    What language guidance gains over them is due to the meaning of the class names; what they
    gain over learned class centers is due to the MLP alone.
    """

    source: Literal["orthogonal"] = "orthogonal"
    width: Annotated[int, Field(ge=1, le=65_536)] = 512
    """E, at least the number of classes; CLIP's text embeddings have 512."""


def _source(value: Any) -> str | None:
    if isinstance(value, Mapping):
        return value.get("source")
    return getattr(value, "source", value)


LanguageSpec = Annotated[
    Annotated[Literal["off"], Tag("off")]
    | Annotated[OpenClipText, Tag("open_clip")]
    | Annotated[TextFile, Tag("file")]
    | Annotated[OrthogonalEmbeddings, Tag("orthogonal")],
    Discriminator(
        _source,
        custom_error_type="language",
        custom_error_message="must be off, or a mapping with source: open_clip, file or orthogonal",
    ),
    ShortForm("source", bare=("off",)),
    Field(description="Language guidance: where class centers come from; `off` learns them."),
]
