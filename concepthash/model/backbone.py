"""A Vision Transformer of timm, opened up so that concept tokens can pass through it.

Everything about the tower is read from timm's own attributes: prefix tokens, position
embeddings, pre-norm, LayerScale, normalised queries and keys. The last block computes only what
is used: the concept tokens, and their attention over the patches.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import torch.nn.functional as F
from timm.layers.attention import Attention
from timm.models import VisionTransformer
from timm.models import load_state_dict as read_state_dict
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from concepthash.errors import InputError
from concepthash.model import towers  # noqa: F401  registers our own towers with timm
from concepthash.model.adapters import Adapter


class BackboneOutput(NamedTuple):
    concepts: Tensor
    """(B, M, D) the concept tokens after the last block, before any final norm."""
    attention: Tensor
    """(B, H, M, N) the last block's softmax rows of the concepts, restricted to the patches."""


class AdaptedBlock(nn.Module):
    """A pre-norm block of timm with an adapter after its attention and one after its MLP."""

    def __init__(self, block: nn.Module, width: int, adapter_width: int | None) -> None:
        super().__init__()
        self.block: Any = block  # a block of timm, whose parts have no common type
        self.adapt_attention = _adapter(width, adapter_width)
        self.adapt_mlp = _adapter(width, adapter_width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)"""
        block = self.block
        x = x + block.drop_path1(
            self.adapt_attention(block.ls1(attend(block.attn, block.norm1(x))))
        )
        return x + block.drop_path2(self.adapt_mlp(block.ls2(block.mlp(block.norm2(x)))))

    def last(self, x: Tensor, num_concepts: int) -> tuple[Tensor, Tensor]:
        """(B, L, D) -> the last `num_concepts` tokens (B, M, D), their attention (B, H, M, L)."""
        block = self.block
        h, attention = attend_from_last(block.attn, block.norm1(x), num_concepts)
        z = x[:, -num_concepts:]
        z = z + block.drop_path1(self.adapt_attention(block.ls1(h)))
        z = z + block.drop_path2(self.adapt_mlp(block.ls2(block.mlp(block.norm2(z)))))
        return z, attention


def _adapter(width: int, adapter_width: int | None) -> nn.Module:
    return nn.Identity() if adapter_width is None else Adapter(width, adapter_width)


def attend(attn: Any, x: Tensor) -> Tensor:
    """timm's self-attention of x (B, L, D), fused: the attention matrix never exists."""
    qkv = attn.qkv(x).unflatten(-1, (3, attn.num_heads, -1))
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, H, L, D / H)
    q, k = attn.q_norm(q), attn.k_norm(k)
    # On a CPU the fused kernel's backward takes twice as long in bfloat16 as in float32.
    slow = x.device.type == "cpu" and v.dtype == torch.bfloat16
    dtype = torch.float32 if slow else v.dtype
    with torch.autocast(x.device.type, enabled=False):
        out = F.scaled_dot_product_attention(q.to(dtype), k.to(dtype), v.to(dtype))
    return _project(attn, out.to(v.dtype), x)


def attend_from_last(attn: Any, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """timm's self-attention, computed for the last `count` tokens of x (B, L, D) alone.

    Returns their outputs (B, count, D) and softmax rows (B, H, count, L). The queries of all
    other tokens, and the full attention matrix, never exist.
    """
    width = attn.num_heads * attn.head_dim
    weight, bias = attn.qkv.weight, attn.qkv.bias
    q_bias, kv_bias = (None, None) if bias is None else (bias[:width], bias[width:])
    last = x[:, -count:]
    q = F.linear(last, weight[:width], q_bias)
    k, v = F.linear(x, weight[width:], kv_bias).chunk(2, dim=-1)
    q, k, v = (t.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2) for t in (q, k, v))
    q, k = attn.q_norm(q), attn.k_norm(k)  # (B, H, count or L, D / H)
    attention = (q * attn.scale @ k.transpose(-2, -1)).softmax(dim=-1)
    return _project(attn, attention.to(v.dtype) @ v, last), attention


def _project(attn: Any, out: Tensor, x: Tensor) -> Tensor:
    """What timm does with the heads' outputs (B, H, L, D / H) of tokens x (B, L, D)."""
    out = attn.norm(out.transpose(1, 2).flatten(2))
    if attn.gate is not None:
        out = out * attn.gate(x).sigmoid()
    return attn.proj_drop(attn.proj(out))


class Backbone(nn.Module):
    """timm's ViT with adapters, taking concept tokens along behind the patches."""

    def __init__(self, vit: VisionTransformer, adapter_width: int | None) -> None:
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
        self.blocks = nn.ModuleList(AdaptedBlock(b, self.width, adapter_width) for b in blocks)

    def forward(self, images: Tensor, concepts: Tensor) -> BackboneOutput:
        """images (B, 3, S, S) and concept tokens (M, D), through every block together."""
        x = self.stem._pos_embed(self.stem.patch_embed(images))  # (B, prefix + N, D)
        concepts = concepts.expand(len(x), -1, -1).to(x.dtype)  # (B, M, D)
        x = self.stem.norm_pre(torch.cat([x, concepts], dim=1))  # (B, prefix + N + M, D)
        blocks: list[Any] = list(self.blocks)
        for block in blocks[:-1]:
            x = block(x)
        num_concepts = concepts.shape[1]
        z, attention = blocks[-1].last(x, num_concepts)
        return BackboneOutput(z, attention[..., self.num_prefix_tokens : -num_concepts])


def create_vit(name: str, *, weights: str, image_size: int) -> VisionTransformer:
    """timm's model `name` at `image_size`, with `weights` "pretrained", "none" or a local file.

    Raises InputError if timm has no such Vision Transformer of plain blocks, if the size does not
    fit its patches, or if the file does not fit the model (naming the keys).
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models("*vit*"), n=3, cutoff=0)
        raise InputError(
            f"backbone.name: timm has no model {name!r}; it has {', '.join(near)}, ..."
        )
    try:
        vit = timm.create_model(
            name, pretrained=weights == "pretrained", num_classes=0, img_size=image_size
        )
    except TypeError as error:  # it takes no img_size
        raise InputError(_no_vit(name)) from error
    except (RuntimeError, ValueError, AssertionError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"backbone: timm cannot build {name!r} ({reason})") from error
    if not isinstance(vit, VisionTransformer):
        raise InputError(_no_vit(name))
    for block in vit.blocks:
        other = block if type(block) is not Block else block.attn
        if type(other) not in (Block, Attention):
            raise InputError(
                f"backbone.name: {name!r} is built of {type(other).__name__}s; concept tokens pass"
                " through timm's plain Block and Attention, take e.g. vit_base_patch16_224"
            )
    patch = vit.patch_embed.patch_size[0]
    if image_size % patch:
        raise InputError(
            f"backbone.image_size: {image_size} is not divisible by the patch size {patch} of"
            f" {name!r}; take e.g. {image_size // patch * patch or patch}"
        )
    if weights not in ("pretrained", "none"):
        load_weights(vit, Path(weights))
    return vit


def _no_vit(name: str) -> str:
    return f"backbone.name: {name!r} is no VisionTransformer of timm; take a vit_* or deit* model"


def load_weights(vit: VisionTransformer, path: Path) -> None:
    """Loads a local checkpoint in any layout that timm converts. Raises InputError."""
    if not path.is_file():
        raise InputError(f"backbone.weights: {path}: no such file")
    try:
        state = dict(read_state_dict(str(path), weights_only=True))
        convert = sys.modules[type(vit).__module__].checkpoint_filter_fn
        state = convert(state, vit)
    except Exception as error:  # whatever a broken file makes the readers raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"backbone.weights: {path}: cannot be read as weights ({reason})"
        ) from error
    problems = _misfits(vit.state_dict(), state)
    if problems:
        raise InputError(
            f"backbone.weights: {path} does not fit the backbone, whose width is {vit.embed_dim}"
            f" with {len(vit.blocks)} blocks: {problems};"
            " give the weights of this backbone, or the backbone of these weights"
        )
    vit.load_state_dict(state, strict=False)


_UNUSED = ("head.", "head_dist.", "fc_norm.", "norm.", "attn_pool.", "mask_token", "pre_logits.")


def _misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    used = {key for key in wanted if not key.startswith(_UNUSED)}
    missing = sorted(used - set(given))
    unknown = sorted(key for key in set(given) - set(wanted) if not key.startswith(_UNUSED))
    shapes = [
        f"{key} is {tuple(given[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in sorted(used & set(given))
        if given[key].shape != wanted[key].shape
    ]
    parts = []
    for word, keys in (("missing", missing), ("unknown", unknown), ("shape", shapes)):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            parts.append(f"{word}: {', '.join(keys[:3])}{more}")
    return "; ".join(parts)
