"""CLIP's activation, with fewer passes over memory than timm's."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.activations import QuickGELU as TimmQuickGELU
from torch import Tensor, nn

SLOPE = 1.702  # timm.layers.activations.quick_gelu


class QuickGELU(nn.Module):
    """`x * sigmoid(1.702 x)` elementwise, as `silu(1.702 x) / 1.702`.

    It keeps one tensor for the backward pass, which then is a single kernel; timm's keeps two and
    takes five. On a CPU these tensors are larger than its caches, so that passes are what it costs.
    """

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _QuickGELU.apply(x)
        return out


class _QuickGELU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scaled = x * SLOPE
        ctx.save_for_backward(scaled)
        return F.silu(scaled).mul_(1 / SLOPE)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (scaled,) = ctx.saved_tensors
        grad: Tensor = torch.ops.aten.silu_backward(grads[0], scaled)
        return grad


def use_fast_quick_gelu(block: nn.Module) -> None:
    """Puts our QuickGELU in the place of timm's, if the block's MLP has one."""
    mlp: Any = getattr(block, "mlp", None)
    if isinstance(getattr(mlp, "act", None), TimmQuickGELU):
        mlp.act = QuickGELU()
