"""Builds a method from plain numbers and words, the same for training and for a saved model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from timm.data.config import resolve_model_data_config
from torch import Tensor

from concepthash.errors import InputError
from concepthash.methods import concepthash, hashnet, itq
from concepthash.methods.base import Method, Sizes
from concepthash.model.backbone import Backbone
from concepthash.model.vit import create_vit

METHODS: Mapping[str, Callable[..., Method]] = {
    "concepthash": concepthash.build,
    "hashnet": hashnet.HashNet,
    "itq": itq.Itq,
}
"""Each takes a Backbone, the Sizes, and the method's fields by name."""


@dataclass(frozen=True)
class BackboneConfig:
    """A Vision Transformer of timm, and what of it is trained."""

    name: str
    image_size: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of timm's model, where its name does not say all."""
    adapter_width: int | None = None
    """None: no adapters."""
    adapter_sites: str = "both"
    adapter_blocks: int | None = None
    """In the last so many blocks; None: in all."""
    trained_blocks: int | None = 0
    """The last so many blocks are trained; None: the whole backbone."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything that a model is built from but its weights: plain data that JSON can hold."""

    method: str
    """A key of METHODS."""
    sizes: Sizes
    options: Mapping[str, Any]
    """The method's own fields."""
    backbone: BackboneConfig
    embedding_width: int | None = None
    """E of the class embeddings (C, E) that the method takes; None if it takes none."""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "sizes": self.sizes._asdict()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ModelConfig:
        """Raises KeyError or TypeError if something is missing or unknown."""
        backbone, sizes = BackboneConfig(**data["backbone"]), Sizes(**data["sizes"])
        return cls(**{**data, "backbone": backbone, "sizes": sizes})


def build_method(
    config: ModelConfig, class_embeddings: Tensor | None = None, *, weights: str = "none"
) -> Method:
    """The method with random weights drawn from torch's generator, frozen where it is not trained.

    `weights` of the backbone are "pretrained", "none" or a local file. Without `class_embeddings`
    a method that takes them gets zeros, to be loaded over. Raises InputError if there is no such
    backbone, or if weights or settings do not fit it.
    """
    backbone = build_backbone(config.backbone, weights)
    options = dict(config.options)
    if "class_embeddings" in options:
        if class_embeddings is None and config.embedding_width is not None:
            class_embeddings = torch.zeros(config.sizes.num_classes, config.embedding_width)
        options["class_embeddings"] = class_embeddings
    method = METHODS[config.method](backbone, config.sizes, **options)
    if method.reads_class_token and backbone.stem.cls_token is None:
        always = type(method).reads_class_token
        reader = config.method if always else "tuning: linear-probe"
        raise InputError(
            f"backbone.name: {config.backbone.name} has no class token, which {reader} reads; take"
            " another backbone"
        )
    return method


def build_backbone(config: BackboneConfig, weights: str) -> Backbone:
    """timm's model with its weights and adapters, frozen where it is not trained.

    Raises InputError if there is no such model, or if weights or settings do not fit it.
    """
    vit = create_vit(config.name, weights=weights, image_size=config.image_size, **config.settings)
    backbone = Backbone(
        vit,
        config.adapter_width,
        adapter_sites=config.adapter_sites,
        adapter_blocks=config.adapter_blocks,
    )
    if config.trained_blocks is not None:
        backbone.freeze(but_last=config.trained_blocks)
    return backbone


def normalisation(backbone: Backbone) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (3,) of the backbone's input, for values in [0, 1]."""
    statistics = resolve_model_data_config(backbone.stem)
    return torch.tensor(statistics["mean"]), torch.tensor(statistics["std"])
