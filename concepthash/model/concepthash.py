"""ConceptHash (Ng, Zhu, Song, Xiang, 2024): one sub-code from each concept token.

In the paper's letters, `specificity` is E_m, `to_bits` W, `concept_position` P_m and
`class_weights` w_c.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from concepthash.model.backbone import Backbone
from concepthash.model.concepts import ConceptTokens


class Outputs(NamedTuple):
    codes: Tensor
    """(B, K) before the sign."""
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


class FreeCenters(nn.Module):
    """Class centers (C, K) learned from nothing: guidance off."""

    def __init__(self, num_classes: int, num_bits: int) -> None:
        super().__init__()
        self.centers = nn.Parameter(0.02 * torch.randn(num_classes, num_bits))

    def forward(self) -> Tensor:
        return self.centers


class TextCenters(nn.Module):
    """Class centers (C, K) from fixed text embeddings (C, E) through a small MLP: guidance on."""

    embeddings: Tensor

    def __init__(self, embeddings: Tensor, num_bits: int) -> None:
        super().__init__()
        width = embeddings.shape[1]
        self.register_buffer("embeddings", embeddings)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, num_bits))

    def forward(self) -> Tensor:
        out: Tensor = self.mlp(self.embeddings)
        return out


class PerConceptLinear(nn.Module):
    """A linear map without bias for each concept: (B, M, D) -> (B, M, K/M)."""

    def __init__(self, num_concepts: int, width: int, bits: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_concepts, bits, width))
        nn.init.uniform_(self.weight, -(width**-0.5), width**-0.5)  # as nn.Linear's

    def forward(self, z: Tensor) -> Tensor:
        return torch.einsum("bmd,mkd->bmk", z, self.weight)


class ConceptHash(nn.Module):
    """Images to codes whose M sub-codes of K/M bits each come from one concept.

    Without concept tokens (None) the class token stands for one concept: a linear probe. The
    specificity embeddings E_m shift each bit by a constant, which batch normalisation takes out
    again: beside it they change nothing, without it they are per-concept biases.
    """

    def __init__(
        self,
        backbone: Backbone,
        concepts: ConceptTokens | None,
        class_centers: FreeCenters | TextCenters,
        *,
        num_bits: int,
        num_classes: int,
        projection: Literal["shared", "per-concept"] = "shared",
        specificity: bool = True,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        num_concepts = 1 if concepts is None else len(concepts.queries)
        width, bits = backbone.width, num_bits // num_concepts
        self.backbone = backbone
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

    def centers(self) -> Tensor:
        """The class centers o_c, (C, K)."""
        return self.class_centers()

    def forward(self, images: Tensor) -> Outputs:
        """images (B, 3, S, S), normalised as the backbone wants them."""
        tokens = None if self.concepts is None else self.concepts()
        z, attention = self.backbone(images, tokens)
        with torch.autocast(images.device.type, enabled=False):  # the heads are cheap: keep fp32
            z = z.float()  # (B, M, D)
            specific = z if self.specificity is None else z + self.specificity
            codes = self.norm(self.to_bits(specific).flatten(1))  # (B, K)
            centers = self.centers().float()  # (C, K)
            signs = torch.sign(centers) / centers.shape[1] ** 0.5
            return Outputs(
                codes=codes,
                cos_to_centers=cosine(codes, centers),
                cos_to_sign_centers=F.normalize(codes, dim=-1) @ signs.T,
                concept_embeddings=z,
                concept_cos=cosine(z + self.concept_position, self.class_weights),
                concept_attention=attention.float(),
            )


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Cosines of the rows of x (..., D) and y (C, D), (..., C)."""
    return F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).T
