"""ConceptHash (Ng, Zhu, Song, Xiang, 2024): one sub-code from each concept token.

    z = ViT(image, concept tokens)           (B, M, D)  the concept tokens after the last block
    codes = BN(concat_m W(z_m + E_m))        (B, K)     M sub-codes of K/M bits
    centers = o_c                            (C, K)     learned, or an MLP of text embeddings

With margin softmax CE(s (cos - m [c = y]), y), the four losses are L_clf, of cos(codes, o_c);
L_quan, of cos(codes, sign(o_c)); L_cd, of cos(z_m + P_m, w_c), averaged over concepts; and L_csd,
how much the concepts' attention maps overlap.

In the code, `specificity` is E_m, `to_bits` W, `concept_position` P_m and `class_weights` w_c.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from concepthash.losses import attention_overlap, margin_softmax
from concepthash.methods.base import Batch, Progress, Sizes, TrainedMethod, full_precision
from concepthash.methods.centers import LearnedCenters, TextCenters, class_centers
from concepthash.model.backbone import Backbone
from concepthash.model.concepts import ConceptTokens


class ConceptOutputs(NamedTuple):
    codes: Tensor
    """(B, K) before they are binarized."""
    cos_to_centers: Tensor
    """(B, C) cosines of codes and class centers, in [-1, 1]."""
    cos_to_sign_centers: Tensor
    """(B, C) cosines of codes and binarized class centers, in [-1, 1]: sign(o_c) / sqrt(K)."""
    concept_embeddings: Tensor
    """(B, M, D) the concept tokens after the last block."""
    concept_cos: Tensor
    """(B, M, C) cosines of each concept with the class weights that concepts share."""
    concept_attention: Tensor
    """(B, H, M, N) softmax of the last block over the patches, not renormalised."""


class LossWeights(NamedTuple):
    """The weight of each loss in the total; 0 switches it off."""

    classification: float = 1.0
    quantization: float = 1.0
    concept_spatial_diversity: float = 1.0
    concept_discrimination: float = 1.0


class Losses(NamedTuple):
    """Scalars, unweighted but for `total`."""

    classification: Tensor
    quantization: Tensor
    concept_spatial_diversity: Tensor
    concept_discrimination: Tensor
    total: Tensor


class ConceptHash(TrainedMethod):
    """Images to codes whose M sub-codes of K/M bits each come from one concept.

    Without concept tokens (None) the class token stands for one concept: a linear probe. The
    specificity embeddings E_m shift each bit by a constant, which batch normalisation takes out
    again: beside it they change nothing, without it they are per-concept biases.
    """

    reads_class_token = False

    def __init__(
        self,
        backbone: Backbone,
        concepts: ConceptTokens | None,
        class_centers: LearnedCenters | TextCenters,
        *,
        num_bits: int,
        num_classes: int,
        projection: Literal["shared", "per-concept"] = "shared",
        specificity: bool = True,
        batch_norm: bool = True,
        weights: LossWeights = LossWeights(),  # noqa: B008  immutable
        scale: float = 8.0,
        margin: float = 0.2,
    ) -> None:
        super().__init__(backbone)
        num_concepts = 1 if concepts is None else len(concepts.queries)
        width, bits = backbone.width, num_bits // num_concepts
        self.reads_class_token = concepts is None
        self.concepts = concepts
        self.class_centers = class_centers
        self.specificity = nn.Parameter(torch.randn(num_concepts, width)) if specificity else None
        self.to_bits = (
            nn.Linear(width, bits, bias=False)
            if projection == "shared"
            else PerConceptLinear(num_concepts, width, bits)
        )
        self.norm = nn.BatchNorm1d(num_bits) if batch_norm else nn.Identity()
        self.concept_position = nn.Parameter(0.02 * torch.randn(num_concepts, width))
        self.class_weights = nn.Parameter(torch.randn(num_classes, width))
        self.weights, self.scale, self.margin = weights, scale, margin

    def centers(self) -> Tensor:
        """The class centers o_c, (C, K)."""
        return self.class_centers()

    def forward(self, images: Tensor) -> ConceptOutputs:
        """images (B, 3, S, S), normalised as the backbone expects them."""
        tokens = None if self.concepts is None else self.concepts()
        z, attention = self.backbone(images, tokens)
        with full_precision(images):
            z = z.float()  # (B, M, D)
            specific = z if self.specificity is None else z + self.specificity
            codes = self.norm(self.to_bits(specific).flatten(1))  # (B, K)
            centers = self.centers().float()  # (C, K)
            signs = torch.sign(centers) / centers.shape[1] ** 0.5
            return ConceptOutputs(
                codes=codes,
                cos_to_centers=cosine(codes, centers),
                cos_to_sign_centers=F.normalize(codes, dim=-1) @ signs.T,
                concept_embeddings=z,
                concept_cos=cosine(z + self.concept_position, self.class_weights),
                concept_attention=attention.float(),
            )

    def losses(
        self, outputs: ConceptOutputs, batch: Batch, progress: Progress
    ) -> Mapping[str, Tensor]:
        losses = concept_hash_losses(
            outputs, batch.labels, weights=self.weights, scale=self.scale, margin=self.margin
        )
        return losses._asdict()

    def freeze_unreached(self) -> None:
        """Freezes what no loss of positive weight reaches: weight decay alone would move it."""
        unreached: list[nn.Module | nn.Parameter | None] = []
        if not self.weights.classification:
            unreached += [self.class_centers]  # a sign lets no gradient through
            if not self.weights.quantization:
                unreached += [self.specificity, self.to_bits, self.norm]
        if not self.weights.concept_discrimination:
            unreached += [self.concept_position, self.class_weights]
        for part in unreached:
            if part is not None:
                part.requires_grad_(False)


def build(
    backbone: Backbone,
    sizes: Sizes,
    *,
    num_concepts: int,
    concept_width: int,
    refinement: Mapping[str, Any] | Literal["off"],
    projection: Literal["shared", "per-concept"],
    code_norm: Mapping[str, Any],
    loss: Mapping[str, float],
    class_embeddings: Tensor | None,
) -> ConceptHash:
    """The method from a trial's fields of these names; text embeddings (C, E) or None."""
    centers = class_centers(class_embeddings, sizes.num_classes, sizes.num_bits)
    tokens = None
    if sizes.own_tokens:
        block = None if refinement == "off" else refinement
        tokens = ConceptTokens(
            num_concepts,
            concept_width,
            backbone.width,
            heads=block["heads"] if block else None,
            dropout=block["dropout"] if block else 0.0,
        )
    method = ConceptHash(
        backbone,
        tokens,
        centers,
        num_bits=sizes.num_bits,
        num_classes=sizes.num_classes,
        projection=projection,
        specificity=code_norm.get("specificity", "on") == "on",
        batch_norm=code_norm["name"] == "batch",
        weights=LossWeights(*(loss[name] for name in LossWeights._fields)),
        scale=loss["scale"],
        margin=loss["margin"],
    )
    method.freeze_unreached()
    return method


class PerConceptLinear(nn.Module):
    """A linear map without bias for each concept: (B, M, D) -> (B, M, K/M)."""

    def __init__(self, num_concepts: int, width: int, bits: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_concepts, bits, width))
        nn.init.uniform_(self.weight, -(width**-0.5), width**-0.5)  # as nn.Linear's

    def forward(self, z: Tensor) -> Tensor:
        return torch.einsum("bmd,mkd->bmk", z, self.weight)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Cosines of the rows of x (..., D) and y (C, D), (..., C)."""
    return F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).T


class LossInputs(Protocol):
    """What the losses read of the outputs; shapes as in `ConceptOutputs`."""

    @property
    def cos_to_centers(self) -> Tensor: ...
    @property
    def cos_to_sign_centers(self) -> Tensor: ...
    @property
    def concept_cos(self) -> Tensor: ...
    @property
    def concept_attention(self) -> Tensor: ...


def concept_hash_losses(
    outputs: LossInputs,
    labels: Tensor,
    *,
    weights: LossWeights = LossWeights(),  # noqa: B008  immutable
    scale: float = 8.0,
    margin: float = 0.2,
) -> Losses:
    """L_clf, L_quan, L_csd, L_cd of a batch with labels (B,) int64, and their weighted sum.

    At least one weight must be positive.
    """
    num_concepts = outputs.concept_cos.shape[1]
    per_concept = labels.unsqueeze(1).expand(-1, num_concepts)  # (B, M)
    classification = margin_softmax(outputs.cos_to_centers, labels, scale, margin)
    quantization = margin_softmax(outputs.cos_to_sign_centers, labels, scale, margin)
    diversity = attention_overlap(outputs.concept_attention)
    discrimination = margin_softmax(outputs.concept_cos, per_concept, scale, margin)
    parts = (classification, quantization, diversity, discrimination)
    # A loss of weight 0 is left out of the sum, so that it cannot spoil it with a NaN.
    weighted = [weight * part for weight, part in zip(weights, parts, strict=True) if weight]
    return Losses(*parts, total=torch.stack(weighted).sum())
