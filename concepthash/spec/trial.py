"""The trial: every field that a study can vary, with the paper's defaults.

The paper is ConceptHash (Ng, Zhu, Song, Xiang, 2024); a field's default is its value there,
unless the comment says otherwise.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from concepthash.spec.base import Spec, Switch
from concepthash.spec.language import LanguageSpec, OpenClipText


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
        if not any((self.classification, self.quantization, self.concept_discrimination)):
            raise ValueError(
                "classification, quantization or concept_discrimination needs a weight above 0:"
                " concept_spatial_diversity knows no classes"
            )
        return self


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
    tuning: Literal["adapters", "prompt-only", "last-blocks", "full", "linear-probe"] = "adapters"
    """What is trained of the backbone: adapters beside its frozen blocks; nothing but the concept
    tokens that enter it; its last `tuned_blocks`; all of it. A linear probe has no concept tokens
    either: it reads the frozen class token, so num_concepts is 1."""
    tuned_blocks: PositiveInt = 1
    """Of tuning: last-blocks."""
    adapter_width: PositiveInt = 384
    """Width of an adapter's bottleneck; of tuning: adapters, like the next two."""
    adapter_sites: Literal["both", "attention", "mlp"] = "both"
    """After which part of a block an adapter stands."""
    adapter_blocks: PositiveInt | None = None
    """How many of the last blocks have adapters; null means all."""
    concept_width: PositiveInt = 512
    """Width of the concept queries before they are mapped to the backbone's width."""
    refinement: Switch = "on"
    """The transformer block that refines the concept queries before they enter the backbone."""
    refinement_heads: PositiveInt = 8
    """Attention heads of that block."""
    refinement_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout in that block while it trains."""
    projection: Literal["shared", "per-concept"] = "shared"
    """The linear map W from concepts to bits: one for all of them, or one for each."""
    specificity: Switch = "on"
    """The embedding E_m added to each concept before W. It shifts each bit by a constant, which
    batch_norm: on takes out again, so that it then changes nothing but rounding."""
    batch_norm: Switch = "on"
    """Batch normalisation of the codes."""
    optimizer: OptimizerSpec = OptimizerSpec()
    augmentation: Literal["trivial", "crop-flip-color", "none"] = "trivial"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto` is bf16 where the processor computes it natively."""
    compile: Switch = "off"
    """torch.compile of the model: minutes at the start, for faster steps; rounding differs."""
    protocol: Literal["paper", "published-code", "unseen", "cross-split"] = "paper"
    """What trains, asks and is searched. `paper`: test images search the training set, once, after
    the last epoch. `published-code`: the best of the epochs tested, as in the released code, which
    leaks. `unseen`: classes that training never saw. `cross-split`: training and test images
    pooled and split anew, seed s asking with fold s."""
    unseen_share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of the classes, drawn by seed, that protocol: unseen keeps out of training."""
    unseen_search: Literal["unseen", "all"] = "unseen"
    """Whether queries and database are of the unseen classes alone, or of all."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Of protocol: cross-split; the study's seeds 0 to folds - 1 are one cross-validation."""
    images_per_class: PositiveInt | None = None
    """Train on at most so many images of each class, drawn by seed; the database stays whole."""
    mean_center: Switch = "off"
    """Whether codes are judged after the database's mean is taken off, so that bits balance."""
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of each class's training images (of classes with at least 4) held out to choose by."""
    validate_every: PositiveInt = 5
    """Epochs between two evaluations on the validation part; published-code tests as often."""

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

    @field_validator("tuning")
    @classmethod
    def _probe_one_token(cls, tuning: str, info: ValidationInfo) -> str:
        num_concepts = info.data.get("num_concepts")
        if tuning == "linear-probe" and num_concepts not in (None, 1):
            raise ValueError(
                "tuning: linear-probe reads the class token alone, so num_concepts must be 1,"
                f" but got num_concepts={num_concepts}"
            )
        return tuning

    @field_validator("refinement_heads")
    @classmethod
    def _divide_the_width(cls, heads: int, info: ValidationInfo) -> int:
        width = info.data.get("concept_width")
        if info.data.get("refinement") == "on" and width is not None and width % heads:
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


# Fields that act only where another has one of these values.
_ACTS_WITH: dict[str, tuple[str, tuple[str, ...]]] = {
    "tuned_blocks": ("tuning", ("last-blocks",)),
    "adapter_width": ("tuning", ("adapters",)),
    "adapter_sites": ("tuning", ("adapters",)),
    "adapter_blocks": ("tuning", ("adapters",)),
    "concept_width": ("tuning", ("adapters", "prompt-only", "last-blocks", "full")),
    "refinement": ("tuning", ("adapters", "prompt-only", "last-blocks", "full")),
    "refinement_heads": ("refinement", ("on",)),
    "refinement_dropout": ("refinement", ("on",)),
    "optimizer.momentum": ("optimizer.name", ("sgd",)),
    "unseen_share": ("protocol", ("unseen",)),
    "unseen_search": ("protocol", ("unseen",)),
    "folds": ("protocol", ("cross-split",)),
}


def idle_changes(baseline: TrialSpec, trial: TrialSpec) -> Iterator[tuple[str, str]]:
    """Dotted fields in which a trial differs from the baseline to no effect, and what makes them
    idle: `("adapter_width", "tuning: full")`."""
    for field, (switch, values) in _ACTS_WITH.items():
        setting = _value(trial, switch)
        if setting not in values and _value(trial, field) != _value(baseline, field):
            yield field, f"{switch}: {setting}"


def _value(spec: TrialSpec, field: str) -> Any:
    return functools.reduce(getattr, field.split("."), spec)


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
