"""A released state dict as a model of this project."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from timm.layers.activations import QuickGELU
from timm.layers.norm import LayerNorm
from timm.models import VisionTransformer
from torch import Tensor

from concepthash.errors import InputError
from concepthash.model import Backbone, ConceptHash, ConceptTokens, FreeCenters, TextCenters
from concepthash.reference.names import State, translate


class Architecture(NamedTuple):
    """What the shapes of a state do not tell."""

    num_heads: int
    """Attention heads of the ViT."""
    refinement_heads: int
    """Attention heads of the block that refines the concept queries."""
    dropout: float = 0.0
    """In that block, while it trains."""


def from_reference_state(
    state: State,
    *,
    num_heads: int,
    image_size: int | None = None,
    refinement_heads: int | None = None,
    dropout: float = 0.0,
) -> ConceptHash:
    """The model that a released state dict describes, frozen as in the released training.

    Sizes are those of the shapes. `image_size` in pixels defaults to that of the position
    embeddings, which are interpolated to any other. `refinement_heads` defaults to `num_heads`;
    the released ViT-B/32 has 12 and 8. Raises InputError that names missing and unknown keys.
    """
    architecture = Architecture(num_heads, refinement_heads or num_heads, dropout)
    return build(translate(state), architecture, image_size)


def build(
    state: dict[str, Tensor], architecture: Architecture, image_size: int | None
) -> ConceptHash:
    """The model of a state by our names, with these weights."""
    width, _, patch_size, _ = state["backbone.stem.patch_embed.proj.weight"].shape
    grid = math.isqrt(state["backbone.stem.pos_embed"].shape[1] - 1)
    image_size = image_size or grid * patch_size
    if image_size % patch_size:
        raise InputError(
            f"image_size: {image_size} is not divisible by the patch size {patch_size}"
        )
    for field, heads, size in (
        ("num_heads", architecture.num_heads, width),
        ("refinement_heads", architecture.refinement_heads, state["concepts.queries"].shape[1]),
    ):
        if size % heads:
            raise InputError(
                f"{field}: {heads} does not divide the width {size}; give one that does"
            )
    if image_size != grid * patch_size:
        state["backbone.stem.pos_embed"] = _interpolated(
            state["backbone.stem.pos_embed"], grid, image_size // patch_size
        )
    num_concepts, concept_width = state["concepts.queries"].shape
    num_classes, num_bits = len(state["class_weights"]), len(state["norm.weight"])
    if num_bits % num_concepts:
        raise InputError(f"hash_bn: {num_bits} bits are no multiple of {num_concepts} concepts")
    embeddings = state.get("class_centers.embeddings")
    model = ConceptHash(
        _backbone(state, patch_size, image_size, architecture.num_heads),
        ConceptTokens(
            num_concepts,
            concept_width,
            architecture.refinement_heads,
            width,
            dropout=architecture.dropout,
        ),
        FreeCenters(num_classes, num_bits)
        if embeddings is None
        else TextCenters(torch.empty(num_classes, embeddings.shape[1]), num_bits),
        num_bits=num_bits,
        num_classes=num_classes,
    )
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    problems = [
        f"{name} is {tuple(tensor.shape)}, not {wanted[name]}, as the other shapes have it"
        for name, tensor in state.items()
        if tuple(tensor.shape) != wanted[name]
    ]
    if problems:
        raise InputError(*problems)
    model.load_state_dict(state)
    model.backbone.freeze()
    return model


def _interpolated(positions: Tensor, grid: int, wanted: int) -> Tensor:
    """(1, 1 + N, D) for another number of patches, as the released models/arch/coop.py does it.

    Its 0.1 guards against rounding, and shifts the samples a little.
    """
    of_class, of_patches = positions.split([1, grid * grid], dim=1)
    of_patches = F.interpolate(
        of_patches.transpose(1, 2).unflatten(2, (grid, grid)),
        scale_factor=(wanted + 0.1) / grid,
        mode="bicubic",
    )
    return torch.cat([of_class, of_patches.flatten(2).transpose(1, 2)], dim=1)


def _backbone(state: State, patch_size: int, image_size: int, num_heads: int) -> Backbone:
    width = state["backbone.stem.cls_token"].shape[-1]
    depth = sum(name.endswith(".block.norm1.weight") for name in state)
    hidden = len(state["backbone.blocks.0.block.mlp.fc1.weight"])
    vit = VisionTransformer(
        img_size=image_size,
        patch_size=patch_size,
        embed_dim=width,
        depth=depth,
        num_heads=num_heads,
        mlp_ratio=(hidden + 0.5) / width,  # timm rounds the product down
        num_classes=0,
        pre_norm=True,
        norm_layer=partial(LayerNorm, eps=1e-5),
        act_layer=QuickGELU,
    )
    widths = {
        site: len(state[key])
        for site, key in (
            ("attention", "backbone.blocks.0.adapt_attention.down.weight"),
            ("mlp", "backbone.blocks.0.adapt_mlp.down.weight"),
        )
        if key in state
    }
    sites: Literal["both", "attention", "mlp"] = "both"
    if len(widths) == 1:
        sites = "attention" if "attention" in widths else "mlp"
    return Backbone(vit, next(iter(widths.values()), None), adapter_sites=sites)
