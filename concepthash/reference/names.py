"""The names of the released state dict, and ours.

The released ones are those of a CLIP of Hugging Face's transformers with adapters, and of the
hashing head beside it. Every tensor is either taken over or known to be unused; any other name
is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from concepthash.errors import InputError

State = Mapping[str, Tensor]

_VISION = "backbone.vision_model"
_UNUSED = re.compile(
    r"backbone\.(text_model\..*|logit_scale|visual_projection\.weight|text_projection\.weight)"
    rf"|{re.escape(_VISION)}\.(post_layernorm\..*|embeddings\.position_ids)"
    r"|(trainable_params|adapter_params)\..*"  # each tensor a second time
)

# The released name of each tensor or module, and ours.
_TENSORS = {
    "hash_queries": "concepts.queries",
    "hash_attention.sa.in_proj_weight": "concepts.attention.in_proj_weight",
    "hash_attention.sa.in_proj_bias": "concepts.attention.in_proj_bias",
    "hash_pe": "specificity",
    "hash_fc.weight": "to_bits.weight",
    "hash_bn.running_mean": "norm.running_mean",
    "hash_bn.running_var": "norm.running_var",
    "hash_bn.num_batches_tracked": "norm.num_batches_tracked",
    "concept_pe": "concept_position",
    "concept_ce.centroids": "class_weights",
    f"{_VISION}.embeddings.class_embedding": "backbone.stem.cls_token",
    f"{_VISION}.embeddings.position_embedding.weight": "backbone.stem.pos_embed",
    f"{_VISION}.embeddings.patch_embedding.weight": "backbone.stem.patch_embed.proj.weight",
}
_LAYERS = {
    "hash_attention.sa.out_proj": "concepts.attention.out_proj",
    "hash_attention.norm1": "concepts.norm1",
    "hash_attention.norm2": "concepts.norm2",
    "hash_attention.ffn.0": "concepts.hidden",
    "hash_attention.ffn.3": "concepts.out",
    "hash_attention.ffn2": "concepts.to_width",
    "hash_bn": "norm",
    f"{_VISION}.pre_layrnorm": "backbone.stem.norm_pre",
}
_BLOCK_LAYERS = {
    "layer_norm1": "block.norm1",
    "layer_norm2": "block.norm2",
    "self_attn.out_proj": "block.attn.proj",
    "mlp.fc1": "block.mlp.fc1",
    "mlp.fc2": "block.mlp.fc2",
}
_ADAPTERS = {"adapt_mlp_1": "adapt_attention", "adapt_mlp_2": "adapt_mlp"}
_ADAPTER_LAYERS = {"adapter_layer_norm": "norm", "down_proj": "down", "up_proj": "up"}
_TEXT_LAYERS = {
    "text_projection.0": "class_centers.mlp.0",
    "text_projection.2": "class_centers.mlp.2",
}


def translate(state: State) -> dict[str, Tensor]:
    """The state by our names. Raises InputError for what is missing or unknown."""
    depth = 1 + max(
        (int(i) for i in re.findall(r"encoder\.layers\.(\d+)\.", " ".join(state))), default=0
    )
    names = _released_names(state, depth)
    needed = {theirs for group in names.values() for theirs in group}
    missing = sorted(needed - state.keys())
    unknown = sorted(key for key in state.keys() - needed if not _UNUSED.fullmatch(key))
    problems = [
        f"the checkpoint has {len(keys)} {word} keys: {', '.join(keys[:5])}"
        + (", ..." if len(keys) > 5 else "")
        for word, keys in (("missing", missing), ("unknown", unknown))
        if keys
    ]
    if problems:
        raise InputError(
            *(f"{problem}; give a released ConceptHash state dict" for problem in problems)
        )
    ours = {}
    for name, group in names.items():
        ours[name] = (
            torch.cat([state[theirs] for theirs in group]) if len(group) > 1 else state[group[0]]
        )
    return _without_leading_axis(ours)


def _released_names(state: State, depth: int) -> dict[str, tuple[str, ...]]:
    """Our name of each tensor, and the released ones; several are laid one below the other."""
    tensors, layers = dict(_TENSORS), dict(_LAYERS)
    names: dict[str, tuple[str, ...]] = {}
    guided = "text_projection.0.weight" in state
    tensors["center"] = "class_centers.embeddings" if guided else "class_centers.centers"
    layers |= _TEXT_LAYERS if guided else {}
    adapters = [theirs for theirs in _ADAPTERS if any(f".{theirs}." in key for key in state)]
    for index in range(depth):
        theirs, ours = f"{_VISION}.encoder.layers.{index}", f"backbone.blocks.{index}"
        layers |= {f"{theirs}.{t}": f"{ours}.{o}" for t, o in _BLOCK_LAYERS.items()}
        for adapter in adapters:
            there, here = f"{theirs}.{adapter}", f"{ours}.{_ADAPTERS[adapter]}"
            layers |= {f"{there}.{t}": f"{here}.{o}" for t, o in _ADAPTER_LAYERS.items()}
            tensors[f"{there}.scale"] = f"{here}.scale"
        for kind in ("weight", "bias"):
            names[f"{ours}.block.attn.qkv.{kind}"] = tuple(
                f"{theirs}.self_attn.{part}_proj.{kind}" for part in "qkv"
            )
    for theirs, ours in layers.items():
        tensors |= {f"{theirs}.{kind}": f"{ours}.{kind}" for kind in ("weight", "bias")}
    return names | {ours: (theirs,) for theirs, ours in tensors.items()}


def _without_leading_axis(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Queries and embeddings come as (1, M, D) and stay as (M, D); timm wants it of its own."""
    for name in ("concepts.queries", "specificity", "concept_position"):
        ours[name] = ours[name].flatten(0, -2)
    ours["backbone.stem.cls_token"] = ours["backbone.stem.cls_token"].reshape(1, 1, -1)
    positions = ours["backbone.stem.pos_embed"]
    ours["backbone.stem.pos_embed"] = positions.reshape(1, -1, positions.shape[-1])
    return ours
