"""Concept tokens: learnable queries, refined by one small transformer block."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConceptTokens(nn.Module):
    """M learnable queries (M, E) become the visual prompts (M, D) of the backbone.

    `x = norm1(q) + SA(q)`, `x = norm2(x) + FFN(x)`, then a linear map to the backbone's width,
    as in the paper's released implementation: the norms stand on the residual.
    """

    def __init__(self, num_concepts: int, concept_width: int, heads: int, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(num_concepts, concept_width))
        self.attention = nn.MultiheadAttention(concept_width, heads, batch_first=True)
        self.norm1 = nn.LayerNorm(concept_width)
        self.norm2 = nn.LayerNorm(concept_width)
        self.hidden = nn.Linear(concept_width, concept_width)
        self.out = nn.Linear(concept_width, concept_width)
        self.to_width = nn.Linear(concept_width, width)

    def forward(self) -> Tensor:
        """-> (M, D)"""
        q = self.queries.unsqueeze(0)  # (1, M, E)
        x = self.norm1(q) + self.attention(q, q, q, need_weights=False)[0]
        x = self.norm2(x) + self.out(F.relu(self.hidden(x)))
        return self.to_width(x).squeeze(0)
