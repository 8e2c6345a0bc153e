"""A released state dict as a model of this project."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from concepthash.errors import InputError
from concepthash.methods.base import Sizes
from concepthash.methods.build import BackboneConfig, ModelConfig, build_method
from concepthash.methods.concepthash import ConceptHash, LossWeights
from concepthash.model.tiny_clip import RELEASED_VIT
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
    return build(translate(state), architecture, image_size)[0]


def build(
    state: dict[str, Tensor], architecture: Architecture, image_size: int | None
) -> tuple[ConceptHash, ModelConfig]:
    """The model of a state by our names, with these weights, and what it is built from."""
    patch_size = state["backbone.stem.patch_embed.proj.weight"].shape[-1]
    grid = math.isqrt(state["backbone.stem.pos_embed"].shape[1] - 1)
    image_size = image_size or grid * patch_size
    _check_sizes(state, architecture, patch_size, image_size)
    if image_size != grid * patch_size:
        state["backbone.stem.pos_embed"] = _interpolated(
            state["backbone.stem.pos_embed"], grid, image_size // patch_size
        )
    config = _config(state, architecture, patch_size, image_size)
    model = build_method(config)
    assert isinstance(model, ConceptHash)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    problems = [
        f"{name} is {tuple(tensor.shape)}, not {wanted[name]}, as the other shapes have it"
        for name, tensor in state.items()
        if tuple(tensor.shape) != wanted[name]
    ]
    if problems:
        raise InputError(*problems)
    model.load_state_dict(state)
    return model, config


def _check_sizes(
    state: State, architecture: Architecture, patch_size: int, image_size: int
) -> None:
    """Raises InputError where sizes do not divide each other."""
    num_concepts, concept_width = state["concepts.queries"].shape
    if image_size % patch_size:
        raise InputError(
            f"image_size: {image_size} is not divisible by the patch size {patch_size}"
        )
    for field, heads, width in (
        ("num_heads", architecture.num_heads, state["backbone.stem.cls_token"].shape[-1]),
        ("refinement_heads", architecture.refinement_heads, concept_width),
    ):
        if width % heads:
            raise InputError(
                f"{field}: {heads} does not divide the width {width}; give one that does"
            )
    num_bits = len(state["norm.weight"])
    if num_bits % num_concepts:
        raise InputError(f"hash_bn: {num_bits} bits are no multiple of {num_concepts} concepts")


def _config(
    state: State, architecture: Architecture, patch_size: int, image_size: int
) -> ModelConfig:
    """What a model of these shapes is built from; losses are as in the paper."""
    num_concepts, concept_width = state["concepts.queries"].shape
    embeddings = state.get("class_centers.embeddings")
    width = state["backbone.stem.cls_token"].shape[-1]
    hidden = len(state["backbone.blocks.0.block.mlp.fc1.weight"])
    widths = {
        site: len(state[key])
        for site, key in (
            ("attention", "backbone.blocks.0.adapt_attention.down.weight"),
            ("mlp", "backbone.blocks.0.adapt_mlp.down.weight"),
        )
        if key in state
    }
    return ModelConfig(
        "concepthash",
        Sizes(len(state["norm.weight"]), len(state["class_weights"]), num_images=0),
        {
            "num_concepts": num_concepts,
            "concept_width": concept_width,
            "refinement": {"heads": architecture.refinement_heads, "dropout": architecture.dropout},
            "projection": "shared",
            "code_norm": {"name": "batch"},
            "loss": {**LossWeights()._asdict(), "scale": 8.0, "margin": 0.2},
            "class_embeddings": None,
        },
        BackboneConfig(
            RELEASED_VIT,
            image_size,
            {
                "patch_size": patch_size,
                "embed_dim": width,
                "depth": sum(name.endswith(".block.norm1.weight") for name in state),
                "num_heads": architecture.num_heads,
                "mlp_ratio": (hidden + 0.5) / width,  # timm rounds the product down
            },
            adapter_width=next(iter(widths.values()), None),
            adapter_sites="both" if len(widths) != 1 else next(iter(widths)),
        ),
        embedding_width=None if embeddings is None else embeddings.shape[1],
    )


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
