"""The four losses of ConceptHash, as pure functions of the model's outputs.

s is the scale (inverse temperature) and m the margin, taken from the cosine to the true class:
`margin_softmax(cos, y) = CE(s * (cos - m * [c = y]), y)`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class HashOutputs(Protocol):
    """What the losses read of a model's outputs; shapes as in `concepthash.model.Outputs`."""

    @property
    def cos_to_centers(self) -> Tensor: ...
    @property
    def cos_to_sign_centers(self) -> Tensor: ...
    @property
    def concept_cos(self) -> Tensor: ...
    @property
    def concept_attention(self) -> Tensor: ...


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


def margin_softmax(cos: Tensor, labels: Tensor, scale: float, margin: float) -> Tensor:
    """Mean cross-entropy of cosines (..., C) with a margin on the true class of labels (...)."""
    logits = scale * (cos - margin * F.one_hot(labels, cos.shape[-1]))
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())


def attention_overlap(attention: Tensor) -> Tensor:
    """L_csd of attention (B, H, M, N): mean over pairs of concepts of their maps' cosine.

    A map is the mean over heads. In [0, 1]; 0 for a single concept, which has no pair.
    """
    maps = F.normalize(attention.mean(dim=1), dim=-1)  # (B, M, N)
    num_concepts = maps.shape[1]
    if num_concepts == 1:
        return maps.new_zeros(())
    cosines = maps @ maps.transpose(-2, -1)  # (B, M, M)
    rows, columns = torch.triu_indices(num_concepts, num_concepts, offset=1, device=maps.device)
    return cosines[:, rows, columns].mean()


def concept_hash_losses(
    outputs: HashOutputs,
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
