"""Concept tokens: learnable queries, refined by one small transformer block or as they are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConceptTokens(nn.Module):
    """M learnable queries (M, E) become the visual prompts (M, D) of the backbone.

    With a refinement block of so many `heads`, `x = norm1(q) + SA(q)`, `x = norm2(x) + FFN(x)`, as
    in the paper's released implementation: the norms stand on the residual. Then a linear map to
    the backbone's width. `dropout` acts in training, on attention weights and in the feed-forward.
    """

    def __init__(
        self,
        num_concepts: int,
        concept_width: int,
        width: int,
        *,
        heads: int | None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(num_concepts, concept_width))
        self.refined = heads is not None
        if heads is not None:
            self.attention = nn.MultiheadAttention(
                concept_width, heads, dropout=dropout, batch_first=True
            )
            self.norm1 = nn.LayerNorm(concept_width)
            self.norm2 = nn.LayerNorm(concept_width)
            self.hidden = nn.Linear(concept_width, concept_width)
            self.dropout = nn.Dropout(dropout)
            self.out = nn.Linear(concept_width, concept_width)
        self.to_width = nn.Linear(concept_width, width)

    def forward(self) -> Tensor:
        """-> (M, D)"""
        x = self.queries.unsqueeze(0)  # (1, M, E)
        if self.refined:
            x = self.norm1(x) + self.attention(x, x, x, need_weights=False)[0]
            x = self.norm2(x) + self.out(self.dropout(F.relu(self.hidden(x))))
        out: Tensor = self.to_width(x).squeeze(0)
        return out
