"""Class centers (C, K) in the code space, learned or from text embeddings of the class names."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LearnedCenters(nn.Module):
    """Class centers (C, K) as free parameters: language guidance off."""

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


def class_centers(
    embeddings: Tensor | None, num_classes: int, num_bits: int
) -> LearnedCenters | TextCenters:
    """Centers from embeddings (C, E) of the classes; learned ones without."""
    if embeddings is None:
        return LearnedCenters(num_classes, num_bits)
    return TextCenters(embeddings, num_bits)
