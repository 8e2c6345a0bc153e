"""The trial: every field that a study can vary, with the paper's defaults.

The paper is ConceptHash (Ng, Zhu, Song, Xiang, 2024); a field's default is its value there,
unless the comment says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)


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


class LossSpec(Spec):
    """Weights of the four losses, and the shape of the margin softmax they share."""

    classification: NonNegativeFloat = 1.0
    """L_clf: classification of the codes to the class centers."""
    quantization: NonNegativeFloat = 1.0
    """L_quan: the same to the binarized centers."""
    concept_spatial_diversity: NonNegativeFloat = 1.0
    """L_csd: attention maps of different concepts differ."""
    concept_discrimination: NonNegativeFloat = 1.0
    """L_cd: each concept by itself tells the classes apart."""
    scale: PositiveFloat = 8.0
    """Inverse temperature s of the cosine softmax."""
    margin: NonNegativeFloat = 0.2
    """Margin m taken from the cosine to the true class."""

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        weights = (
            self.classification,
            self.quantization,
            self.concept_spatial_diversity,
            self.concept_discrimination,
        )
        if not any(weights):
            raise ValueError("at least one loss needs a weight above 0, but all four are 0")
        return self


class OpenClipText(Spec):
    """Class centers from the text tower of an open_clip model."""

    source: Literal["open_clip"]
    model: str = "ViT-B-32-quickgelu"
    """Name of an open_clip model configuration."""
    pretrained: str = "openai"
    """open_clip's tag of the weights, a local file of them, or `none` for an untrained tower."""
    prompts: Annotated[tuple[str, ...], Field(min_length=1)] = ("a photo of a {}",)
    """Templates for the class name; the embeddings of several are averaged."""

    @field_validator("prompts")
    @classmethod
    def _name_the_class(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        for prompt in prompts:
            if prompt.count("{}") != 1:
                raise ValueError(f"a prompt holds the class name once, as {{}}, but got {prompt!r}")
        return prompts


class TextFile(Spec):
    """Class centers from precomputed text embeddings."""

    source: Literal["file"]
    embeddings: Path
    """A .safetensors file with `text_embeddings` (C, E), a row a class in label order."""


def _language_source(value: Any) -> str | None:
    if isinstance(value, Mapping):
        return value.get("source")
    return getattr(value, "source", value)


LanguageSpec = Annotated[
    Annotated[Literal["off"], Tag("off")]
    | Annotated[OpenClipText, Tag("open_clip")]
    | Annotated[TextFile, Tag("file")],
    Discriminator(
        _language_source,
        custom_error_type="language",
        custom_error_message="must be off, or a mapping with source: open_clip or source: file",
    ),
    Field(description="Language guidance: where class centers come from; `off` learns them."),
]


class BackboneSpec(Spec):
    name: str = "vit_base_patch32_clip_quickgelu_224.openai"
    """Any Vision Transformer of timm, by timm's name."""
    weights: str = "pretrained"
    """`pretrained` (timm's hub), `none` (random), or a local .safetensors or .pth file."""
    image_size: Annotated[int, Field(ge=16, le=1024)] = 224
    """Side S of the input in pixels; position embeddings are interpolated to it."""

    @field_validator("weights")
    @classmethod
    def _word_or_file(cls, weights: str) -> str:
        if weights not in ("pretrained", "none") and not is_path("weights", weights):
            raise ValueError(
                "must be pretrained, none, or the path of a .safetensors or .pth file, but got"
                f" {weights!r}"
            )
        return weights


class OptimizerSpec(Spec):
    name: Literal["sgd", "adamw"] = "sgd"
    lr: PositiveFloat = 1e-3
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD; AdamW has its usual betas."""
    weight_decay: NonNegativeFloat = 5e-4
    warmup_epochs: NonNegativeInt = 10
    """Linear warm-up before the cosine decay; at most the first half of the epochs."""


class TrialSpec(Spec):
    """Everything that a trial can vary. The baseline is one of these."""

    num_bits: PositiveInt = 64
    """K, the length of a code."""
    num_concepts: PositiveInt = 4
    """M, the number of concept tokens; it divides num_bits, a concept has K/M bits."""
    epochs: PositiveInt = 100
    batch_size: Annotated[int, Field(ge=2)] = 32
    loss: LossSpec = LossSpec()
    language: LanguageSpec = OpenClipText(source="open_clip")
    backbone: BackboneSpec = BackboneSpec()
    tuning: Literal["adapters", "full", "prompt-only"] = "adapters"
    """What is trained of the backbone: adapters beside its frozen blocks, all of it, or nothing
    but the concept tokens that enter it."""
    adapter_width: PositiveInt = 384
    concept_width: PositiveInt = 512
    """Width of the concept queries before they are mapped to the backbone's width."""
    refinement_heads: PositiveInt = 8
    """Attention heads of the block that refines the concept queries."""
    optimizer: OptimizerSpec = OptimizerSpec()
    augmentation: Literal["trivial", "crop-flip-color", "none"] = "trivial"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto` is bf16 where the processor computes it natively."""
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of each class's training images (of classes with at least 4) held out to choose by."""
    validate_every: PositiveInt = 5
    """Epochs between two evaluations on the validation part."""

    @field_validator("num_concepts")
    @classmethod
    def _divide_the_bits(cls, num_concepts: int, info: ValidationInfo) -> int:
        num_bits = info.data.get("num_bits")
        if num_bits is not None and num_bits % num_concepts:
            raise ValueError(
                "num_bits must be divisible by num_concepts (a concept has K/M bits), but got"
                f" num_bits={num_bits}, num_concepts={num_concepts}"
            )
        return num_concepts

    @field_validator("refinement_heads")
    @classmethod
    def _divide_the_width(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("concept_width")
        if width is not None and width % heads:
            raise ValueError(
                "concept_width must be divisible by refinement_heads, but got"
                f" concept_width={width}, refinement_heads={heads}"
            )
        return heads


WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def is_path(key: str, value: Any) -> bool:
    """Whether `value` of a (dotted) key names a file or folder rather than a word."""
    last = key.rsplit(".", 1)[-1]
    if not isinstance(value, str):
        return False
    if last in ("weights", "pretrained"):
        return "/" in value or value.endswith(WEIGHT_SUFFIXES)
    return last in ("root", "embeddings")


def _models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, UnionType):
        for argument in get_args(annotation):
            yield from _models_of(argument)


def _field_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        for nested in _models_of(field.annotation):
            yield from _field_names(nested, f"{prefix}{name}.")


TRIAL_FIELDS = tuple(dict.fromkeys(_field_names(TrialSpec)))
"""Every field that a table may vary, dotted: `num_bits`, `loss.quantization`, ..."""


def changed(baseline: TrialSpec, changes: Mapping[str, Any]) -> TrialSpec:
    """The baseline with dotted fields replaced. Raises pydantic's ValidationError."""
    data = baseline.model_dump(mode="json")
    for name, value in changes.items():
        *parents, last = name.split(".")
        target = data
        for parent in parents:
            if not isinstance(target.get(parent), dict):
                target[parent] = {}
            target = target[parent]
        target[last] = value
    # Through JSON, so that strict models take a list for a tuple and a string for a path.
    return TrialSpec.model_validate_json(json.dumps(data))
