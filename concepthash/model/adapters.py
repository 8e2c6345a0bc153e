"""Bottleneck adapters that tune a frozen transformer block."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.init import zeros_


class Adapter(nn.Module):
    """`h + scale * up(gelu(down(layernorm(h))))` of a block's inner result h (B, L, D).

    The up projection starts at zero, so that an untrained adapter leaves the block as it was.
    """

    def __init__(self, width: int, bottleneck: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=eps)
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.scale = nn.Parameter(torch.ones(1))
        zeros_(self.up.weight)
        zeros_(self.up.bias)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.scale * self.up(F.gelu(self.down(self.norm(h))))
