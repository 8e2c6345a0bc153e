"""From a trial's specification to its model, frozen where it is to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn

from concepthash.build.language import class_embeddings
from concepthash.errors import InputError
from concepthash.model import (
    Backbone,
    ConceptHash,
    ConceptTokens,
    FreeCenters,
    TextCenters,
    ViT,
    create_vit,
)
from concepthash.plan import Trial
from concepthash.spec import LossSpec, TrialSpec


class Built(NamedTuple):
    model: ConceptHash
    mean: Tensor
    """(3,) of the backbone's input normalisation, for values in [0, 1]."""
    std: Tensor


def build_model(
    trial: Trial, class_names: Sequence[str], classes: Sequence[int] | None = None
) -> Built:
    """The trial's model, initialised from its seed. Raises InputError if its files do not fit.

    `classes` are the labels that it learns, by default one for each name.
    """
    spec = trial.spec
    classes = range(len(class_names)) if classes is None else classes
    embeddings = class_embeddings(spec.language, class_names, trial.seed)
    torch.manual_seed(trial.seed)
    backbone = build_backbone(spec)
    statistics = resolve_model_data_config(backbone.stem)
    if embeddings is None:
        class_centers: FreeCenters | TextCenters = FreeCenters(len(classes), spec.num_bits)
    else:
        class_centers = TextCenters(embeddings[list(classes)], spec.num_bits)
    model = ConceptHash(
        backbone,
        _concept_tokens(spec, backbone.width),
        class_centers,
        num_bits=spec.num_bits,
        num_classes=len(classes),
        projection=spec.projection,
        specificity=spec.specificity == "on",
        batch_norm=spec.batch_norm == "on",
    )
    _freeze_unread(model, spec.loss)
    return Built(model, torch.tensor(statistics["mean"]), torch.tensor(statistics["std"]))


def _freeze_unread(model: ConceptHash, loss: LossSpec) -> None:
    """Freezes what no loss of positive weight reaches: weight decay alone would move it."""
    unread: list[nn.Module | nn.Parameter | None] = []
    if not loss.classification:
        unread += [model.class_centers]  # a sign lets no gradient through
        if not loss.quantization:
            unread += [model.specificity, model.to_bits, model.norm]
    if not loss.concept_discrimination:
        unread += [model.concept_position, model.class_weights]
    for part in unread:
        if part is not None:
            part.requires_grad_(False)


def build_backbone(spec: TrialSpec) -> Backbone:
    """timm's model with its weights and adapters, frozen as `tuning` says.

    Raises InputError if there is no such model, or if weights or fields do not fit it.
    """
    vit: ViT = create_vit(
        spec.backbone.name, weights=spec.backbone.weights, image_size=spec.backbone.image_size
    )
    if spec.tuning == "linear-probe" and vit.cls_token is None:
        raise InputError(
            f"tuning: linear-probe reads the class token, but {spec.backbone.name} has none;"
            " take another backbone, or prompt-only"
        )
    backbone = (
        Backbone(
            vit,
            spec.adapter_width,
            adapter_sites=spec.adapter_sites,
            adapter_blocks=spec.adapter_blocks,
        )
        if spec.tuning == "adapters"
        else Backbone(vit, None)
    )
    if spec.tuning != "full":
        backbone.freeze(but_last=spec.tuned_blocks if spec.tuning == "last-blocks" else 0)
    return backbone


def _concept_tokens(spec: TrialSpec, width: int) -> ConceptTokens | None:
    if spec.tuning == "linear-probe":
        return None
    return ConceptTokens(
        spec.num_concepts,
        spec.concept_width,
        spec.refinement_heads,
        width,
        refined=spec.refinement == "on",
        dropout=spec.refinement_dropout,
    )
