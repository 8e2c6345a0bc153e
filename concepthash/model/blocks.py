"""timm's transformer blocks, opened up: adapters inside, and a last block for few tokens.

Everything is read from timm's own attributes, so one code serves its plain blocks and EVA's:
LayerScale, normalised queries and keys, gates, grouped keys, rotary position embeddings.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.attention import Attention, AttentionRope
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from concepthash.model.activations import use_fast_quick_gelu
from concepthash.model.adapters import Adapter

BLOCKS = (Block, EvaBlock)
ATTENTIONS = (Attention, EvaAttention, AttentionRope)


class AdaptedBlock(nn.Module):
    """A pre-norm block of timm with an adapter after its attention and one after its MLP.

    A width of None leaves the adapter out. Rotary embeddings, if there are any, cover the last
    tokens: the patches.
    """

    def __init__(
        self, block: nn.Module, width: int, attention_adapter: int | None, mlp_adapter: int | None
    ) -> None:
        super().__init__()
        use_fast_quick_gelu(block)
        self.block: Any = block  # a block of timm, whose parts have no common type
        self.adapt_attention = _adapter(width, attention_adapter)
        self.adapt_mlp = _adapter(width, mlp_adapter)

    def forward(self, x: Tensor, rope: Tensor | None) -> Tensor:
        """(B, L, D) -> (B, L, D)"""
        block = self.block
        return self._rest(x, attend(block.attn, block.norm1(x), rope))

    def first(self, x: Tensor, count: int, rope: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, L, D) -> the first `count` tokens (B, count, D), their attention (B, H, count, L)."""
        block = self.block
        h, attention = attend_from_first(block.attn, block.norm1(x), count, rope)
        return self._rest(x[:, :count], h), attention

    def _rest(self, x: Tensor, h: Tensor) -> Tensor:
        """What follows the attention's output h of tokens x."""
        block = self.block
        x = x + block.drop_path1(self.adapt_attention(_layer_scale(block, 1, h)))
        h = _layer_scale(block, 2, block.mlp(block.norm2(x)))
        return x + block.drop_path2(self.adapt_mlp(h))


def _adapter(width: int, adapter_width: int | None) -> nn.Module:
    return nn.Identity() if adapter_width is None else Adapter(width, adapter_width)


def _layer_scale(block: Any, number: int, h: Tensor) -> Tensor:
    if isinstance(block, EvaBlock):
        gamma = getattr(block, f"gamma_{number}")
        return h if gamma is None else gamma * h
    scaled: Tensor = getattr(block, f"ls{number}")(h)
    return scaled


def attend(attn: Any, x: Tensor, rope: Tensor | None = None) -> Tensor:
    """timm's self-attention of x (B, L, D), fused: the attention matrix never exists."""
    weight, bias, width = _projection(attn)
    of_kv = (len(weight) - width) // 2
    q, k, v = F.linear(x, weight, bias).split([width, of_kv, of_kv], dim=-1)
    q, k, v = _heads(attn, q, k, v, rope)
    if rope is not None:
        q = _rotate(attn, q, rope)
    # On a CPU the fused kernel's backward takes twice as long in bfloat16 as in float32.
    slow = x.device.type == "cpu" and v.dtype == torch.bfloat16
    dtype = torch.float32 if slow else v.dtype
    with torch.autocast(x.device.type, enabled=False):
        out = F.scaled_dot_product_attention(q.to(dtype), k.to(dtype), v.to(dtype))
    return _project(attn, out.to(v.dtype), x)


def attend_from_first(
    attn: Any, x: Tensor, count: int, rope: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """timm's self-attention, computed for the first `count` tokens of x (B, L, D) alone.

    Returns their outputs (B, count, D) and softmax rows (B, H, count, L). The queries of all
    other tokens, and the full attention matrix, never exist. The first tokens are never patches,
    so that rotary embeddings do not turn their queries.
    """
    weight, bias, width = _projection(attn)
    q_bias, kv_bias = (None, None) if bias is None else (bias[:width], bias[width:])
    first = x[:, :count]
    q = F.linear(first, weight[:width], q_bias)
    k, v = F.linear(x, weight[width:], kv_bias).chunk(2, dim=-1)
    q, k, v = _heads(attn, q, k, v, rope)
    attention = (q * attn.scale @ k.transpose(-2, -1)).softmax(dim=-1)
    return _project(attn, attention.to(v.dtype) @ v, first), attention


def _projection(attn: Any) -> tuple[Tensor, Tensor | None, int]:
    """Weight and bias that make queries, keys and values, and how many rows are the queries'."""
    width = attn.num_heads * attn.head_dim
    if attn.qkv is None:  # three layers, of which that of the keys may have no bias
        layers = (attn.q_proj, attn.k_proj, attn.v_proj)
        biases = [
            layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias
            for layer in layers
        ]
        return torch.cat([layer.weight for layer in layers]), torch.cat(biases), width
    if getattr(attn, "q_bias", None) is not None:  # EVA's, whose keys' bias is a constant zero
        return attn.qkv.weight, torch.cat([attn.q_bias, attn.k_bias, attn.v_bias]), width
    return attn.qkv.weight, attn.qkv.bias, width


def _heads(
    attn: Any, q: Tensor, k: Tensor, v: Tensor, rope: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Projected tokens (B, L, H * E) as heads (B, H, L, E); keys rotated, queries not yet."""
    q, k, v = (t.unflatten(-1, (-1, attn.head_dim)).transpose(1, 2) for t in (q, k, v))
    q, k = attn.q_norm(q), attn.k_norm(k)
    if rope is not None:
        k = _rotate(attn, k, rope)
    groups = attn.num_heads // k.shape[1]
    if groups > 1:  # several heads share their keys and values
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    return q, k, v


def _rotate(attn: Any, heads: Tensor, rope: Tensor) -> Tensor:
    """Rotates the last tokens of (B, H, L, E), the N that `rope` (..., N, *) covers."""
    before, patches = heads.tensor_split([heads.shape[-2] - rope.shape[-2]], dim=-2)
    patches = apply_rot_embed_cat(patches, rope, half=attn.rotate_half)
    return torch.cat([before, patches.to(heads.dtype)], dim=-2)


def _project(attn: Any, out: Tensor, x: Tensor) -> Tensor:
    """What timm does with the heads' outputs (B, H, L, E) of tokens x (B, L, D)."""
    out = attn.norm(out.transpose(1, 2).flatten(2))
    if attn.gate is not None:
        out = out * attn.gate(x).sigmoid()
    projected: Tensor = attn.proj_drop(attn.proj(out))
    return projected
