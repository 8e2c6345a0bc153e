"""A Vision Transformer of timm that takes a method's own tokens along to its last block.

The last block computes only what is used: these tokens (or the class token), and their attention
over the patches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from concepthash.errors import InputError
from concepthash.model.blocks import AdaptedBlock
from concepthash.model.vit import ViT


class BackboneOutput(NamedTuple):
    tokens: Tensor
    """(B, M, D) the method's tokens after the last block, before any final norm."""
    attention: Tensor
    """(B, H, M, N) the last block's softmax rows of these tokens, restricted to the patches."""


class Backbone(nn.Module):
    """timm's ViT with adapters, and a method's tokens in front of its prefix (class, registers).

    The released code puts them behind the patches. Attention knows no order, so the numbers are
    the same, and the patches stand last, where rotary embeddings expect them.

    `adapter_width` None means no adapters. Else the last `adapter_blocks` (None: all) get one
    after `attention`, after the `mlp`, or `both`. Raises InputError if there are fewer blocks.
    """

    def __init__(
        self,
        vit: ViT,
        adapter_width: int | None,
        *,
        adapter_sites: str = "both",
        adapter_blocks: int | None = None,
    ) -> None:
        super().__init__()
        self.width: int = vit.embed_dim
        self.num_prefix_tokens: int = vit.num_prefix_tokens
        # Only the way up to the last block is used: final norm, pooling and head would be
        # parameters without a gradient.
        stem: Any = vit
        stem.norm = stem.fc_norm = stem.head = nn.Identity()
        stem.attn_pool = None
        blocks = list(stem.blocks)
        stem.blocks = nn.Sequential()
        self.stem: Any = stem
        first_adapted = len(blocks) - _at_most(adapter_blocks, len(blocks))
        of_attention = adapter_width if adapter_sites != "mlp" else None
        of_mlp = adapter_width if adapter_sites != "attention" else None
        self.blocks = nn.ModuleList(
            AdaptedBlock(block, self.width, of_attention, of_mlp)
            if index >= first_adapted
            else AdaptedBlock(block, self.width, None, None)
            for index, block in enumerate(blocks)
        )

    def freeze(self, *, but_last: int = 0) -> None:
        """Leaves trainable the adapters, and the last `but_last` blocks. Raises InputError."""
        depth = len(self.blocks)
        self.requires_grad_(False)
        for index, block in enumerate(self.blocks):
            if index >= depth - _at_most(but_last, depth):
                block.requires_grad_(True)
            block.adapt_attention.requires_grad_(True)
            block.adapt_mlp.requires_grad_(True)

    def forward(self, images: Tensor, tokens: Tensor | None) -> BackboneOutput:
        """images (B, 3, S, S) and tokens (M, D), through every block together.

        Without tokens the class token is what comes out: M = 1.
        """
        embedded = self.stem._pos_embed(self.stem.patch_embed(images))
        x, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
        num_patches = x.shape[1] - self.num_prefix_tokens
        num_tokens = 1
        if tokens is not None:
            num_tokens = len(tokens)
            x = torch.cat([tokens.expand(len(x), -1, -1).to(x.dtype), x], dim=1)
        x = self.stem.norm_pre(x)  # (B, M + prefix + N, D)
        blocks: list[Any] = list(self.blocks)
        # A rotary embedding is one for all blocks, or learned: one for each.
        ropes = rope if getattr(self.stem, "rope_mixed", False) else [rope] * len(blocks)
        for block, its_rope in zip(blocks[:-1], ropes[:-1], strict=True):
            x = block(x, its_rope)
        z, attention = blocks[-1].first(x, num_tokens, ropes[-1])
        return BackboneOutput(z, attention[..., -num_patches:])


def _at_most(count: int | None, depth: int) -> int:
    if count is not None and count > depth:
        raise InputError(f"tuning.blocks: {count} is more than the {depth} blocks of this backbone")
    return depth if count is None else count
