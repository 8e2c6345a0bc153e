"""Each method's own fields; `method` says which of these a trial is.

A method is one class here, and one file in `concepthash/methods` that computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from concepthash.spec.language import LanguageSpec, OpenClipText
from concepthash.spec.shortform import ShortForm
from concepthash.spec.trial import FittedTrial, TrainedTrial
from concepthash.spec.tuning import Adapters, LinearProbe, TokenlessTuningSpec
from concepthash.spec_base import Count, NonNegative, Positive, Spec, Switch, Width

# --- ConceptHash ---------------------------------------------------------------------------


class ConceptHashLoss(Spec):
    """Weights of the four losses, and the shape of the margin softmax they share."""

    classification: NonNegative = 1.0
    """L_clf: classification of the codes to the class centers."""
    quantization: NonNegative = 1.0
    """L_quan: the same to the binarized centers."""
    concept_spatial_diversity: NonNegative = 1.0
    """L_csd: attention maps of different concepts differ."""
    concept_discrimination: NonNegative = 1.0
    """L_cd: each concept by itself tells the classes apart."""
    scale: Positive = 8.0
    """Inverse temperature s of the cosine softmax."""
    margin: NonNegative = 0.2
    """Margin m taken from the cosine to the true class."""

    @model_validator(mode="after")
    def _something_to_learn(self) -> Self:
        if not any((self.classification, self.quantization, self.concept_discrimination)):
            raise ValueError(
                "classification, quantization or concept_discrimination needs a weight above 0:"
                " concept_spatial_diversity knows no classes"
            )
        return self


class Refinement(Spec):
    """The transformer block that refines the concept queries before they enter the backbone."""

    heads: Width = 8
    """Attention heads of the block."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout in the block while it trains."""


RefinementSpec = Annotated[
    Annotated[Literal["off"], Tag("off")] | Annotated[Refinement, Tag("on")],
    Discriminator(
        lambda value: "off" if value == "off" else "on",
    ),
]


class BatchNorm(Spec):
    """Batch normalisation of the codes."""

    name: Literal["batch"] = "batch"


class NoNorm(Spec):
    """The codes as the linear map gives them."""

    name: Literal["none"] = "none"
    specificity: Switch = "on"
    """The embedding E_m added to each concept before W: a bias of each bit. (Batch normalisation
    takes it out again, so that it is a choice here alone.)"""


CodeNormSpec = Annotated[
    BatchNorm | NoNorm, Field(discriminator="name"), ShortForm("name", default="batch")
]


class ConceptHashTrial(TrainedTrial):
    """ConceptHash (Ng, Zhu, Song, Xiang, 2024): one sub-code from each concept token."""

    method: Literal["concepthash"] = "concepthash"
    num_concepts: Annotated[int, Field(ge=1, le=1024)] = 4
    """M, the number of concept tokens; it divides num_bits, a concept has K/M bits. The losses
    compare every two of them: 1,024 are half a million pairs an image."""
    loss: ConceptHashLoss = ConceptHashLoss()
    language: LanguageSpec = OpenClipText(source="open_clip")
    concept_width: Width = 512
    """Width of the concept queries before they are mapped to the backbone's width."""
    refinement: RefinementSpec = Refinement()
    """The block that refines the concept queries, or `off`."""
    projection: Literal["shared", "per-concept"] = "shared"
    """The linear map W from concepts to bits: one for all of them, or one for each."""
    code_norm: CodeNormSpec = BatchNorm()

    @field_validator("num_concepts")
    @classmethod
    def _divide_the_bits(cls, num_concepts: int, info: ValidationInfo) -> int:
        num_bits = info.data.get("num_bits")
        if num_bits is not None and num_bits % num_concepts:
            raise ValueError(
                "num_bits must be divisible by num_concepts (a concept has K/M bits), but got"
                f" num_bits={num_bits}, num_concepts={num_concepts}"
            )
        tuning = info.data.get("tuning")
        if isinstance(tuning, LinearProbe) and num_concepts != 1:
            raise ValueError(
                "tuning: linear-probe reads the class token alone, so num_concepts must be 1,"
                f" but got num_concepts={num_concepts}"
            )
        return num_concepts

    @field_validator("refinement", mode="before")
    @classmethod
    def _on_means_the_defaults(cls, refinement: Any) -> Any:
        return {} if refinement == "on" else refinement

    @field_validator("refinement")
    @classmethod
    def _divide_the_width(
        cls, refinement: Literal["off"] | Refinement, info: ValidationInfo
    ) -> Literal["off"] | Refinement:
        width = info.data.get("concept_width")
        if isinstance(refinement, Refinement) and width is not None and width % refinement.heads:
            raise ValueError(
                "concept_width must be divisible by refinement.heads, but got"
                f" concept_width={width}, refinement.heads={refinement.heads}"
            )
        return refinement

    def without_effect(self) -> Mapping[str, str]:
        idle = dict(super().without_effect())
        if self.num_concepts == 1:
            one = dict.fromkeys(("projection", "loss.concept_spatial_diversity"), "num_concepts: 1")
            idle |= one
        if isinstance(self.tuning, LinearProbe):  # the class token stands for the one concept
            idle |= dict.fromkeys(("concept_width", "refinement"), "tuning: linear-probe")
        return idle


# --- Methods that ConceptHash is compared with ---------------------------------------------


class HashNetLoss(Spec):
    alpha: Positive = 1.0
    """Scale of the inner product in the pairwise likelihood. (Comparison code of the ConceptHash
    paper; other releases have 0.1.)"""


class HashNetTrial(TrainedTrial):
    """HashNet (Cao, Long, Wang, Yu, ICCV 2017): pairwise likelihood of codes that sharpen."""

    method: Literal["hashnet"] = "hashnet"
    loss: HashNetLoss = HashNetLoss()
    tuning: TokenlessTuningSpec = Adapters()
    sharpen_every: Count = 20
    """Epochs until the scale of the tanh grows: beta = sqrt(1 + epoch // sharpen_every)."""


class ItqTrial(FittedTrial):
    """ITQ (Gong & Lazebnik, CVPR 2011): a rotation of principal components close to binary."""

    method: Literal["itq"] = "itq"
    iterations: Count = 50


TrialSpec = Annotated[
    ConceptHashTrial | HashNetTrial | ItqTrial,
    Field(discriminator="method"),
    ShortForm("method", default="concepthash"),
]
