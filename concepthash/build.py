"""From a trial's specification to data, model, losses and optimizer: where spec meets maths."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save_file
from timm.data.config import resolve_model_data_config
from timm.models import VisionTransformer
from torch import Tensor

from concepthash.data import cub, manifest, paperbirds
from concepthash.data.cache import cache_folder
from concepthash.data.image_set import ImageSet
from concepthash.errors import InputError
from concepthash.losses import LossWeights
from concepthash.model import (
    Backbone,
    ConceptHash,
    ConceptTokens,
    FreeCenters,
    TextCenters,
    create_vit,
)
from concepthash.model.language import file_embeddings, open_clip_embeddings
from concepthash.plan import Trial
from concepthash.spec import (
    BackboneSpec,
    CubSpec,
    DatasetSpec,
    LossSpec,
    ManifestSpec,
    OpenClipText,
    OptimizerSpec,
    PaperbirdsSpec,
    TextFile,
    TrialSpec,
)

# --- data ----------------------------------------------------------------------------------


def dataset_root(dataset: DatasetSpec) -> Path:
    """Where the data set lies; a generated one without a root in the user's cache folder."""
    if isinstance(dataset, PaperbirdsSpec) and dataset.root is None:
        settings = _settings(dataset)
        key = json.dumps([paperbirds.PAPERBIRDS_VERSION, repr(settings)])
        return cache_folder() / f"paperbirds-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    assert dataset.root is not None  # only paperbirds may lack one
    return dataset.root


def open_images(dataset: DatasetSpec) -> ImageSet:
    """The image set, drawn first if it is generated and not there. Raises InputError."""
    root = dataset_root(dataset)
    if isinstance(dataset, PaperbirdsSpec):
        paperbirds.write(_settings(dataset), root)  # does nothing where this set lies already
        images = replace(cub.read(root), name="paperbirds")
    elif not root.exists():
        raise InputError(f"dataset.root: {root}: no such folder; give where {dataset.name} lies")
    elif isinstance(dataset, CubSpec):
        images = cub.read(root)
    elif isinstance(dataset, ManifestSpec):
        images = replace(manifest.read(root), name=dataset.title)
    return _first_classes(images, dataset.num_classes)


def _settings(dataset: PaperbirdsSpec) -> paperbirds.Paperbirds:
    return paperbirds.Paperbirds(
        **dataset.model_dump(exclude={"name", "root", "num_classes"}),
    )


def _first_classes(images: ImageSet, num_classes: int | None) -> ImageSet:
    if num_classes is None:
        return images
    if num_classes > len(images.class_names):
        raise InputError(
            f"dataset.num_classes: {num_classes} is more than the {len(images.class_names)}"
            f" classes of {images.name}"
        )
    keep = images.labels < num_classes
    return replace(
        images,
        paths=tuple(path for path, kept in zip(images.paths, keep, strict=True) if kept),
        labels=images.labels[keep],
        is_train=images.is_train[keep],
        class_names=images.class_names[:num_classes],
        families=images.families[:num_classes],
        parts=None if images.parts is None else images.parts[keep],
    )


# --- model ---------------------------------------------------------------------------------


class Built(NamedTuple):
    model: ConceptHash
    mean: Tensor
    """(3,) of the backbone's input normalisation, for values in [0, 1]."""
    std: Tensor


def build_model(trial: Trial, class_names: Sequence[str]) -> Built:
    """The trial's model, initialised from its seed. Raises InputError if its files do not fit."""
    spec = trial.spec
    embeddings = text_embeddings(spec, class_names)
    torch.manual_seed(trial.seed)
    vit = build_vit(spec.backbone)
    statistics = resolve_model_data_config(vit)
    backbone = Backbone(vit, spec.adapter_width if spec.tuning == "adapters" else None)
    if embeddings is None:
        class_centers: FreeCenters | TextCenters = FreeCenters(len(class_names), spec.num_bits)
    else:
        class_centers = TextCenters(embeddings, spec.num_bits)
    model = ConceptHash(
        backbone,
        ConceptTokens(spec.num_concepts, spec.concept_width, spec.refinement_heads, backbone.width),
        class_centers,
        num_bits=spec.num_bits,
        num_classes=len(class_names),
    )
    if spec.tuning != "full":
        freeze_backbone(backbone)
    return Built(model, torch.tensor(statistics["mean"]), torch.tensor(statistics["std"]))


def build_vit(spec: BackboneSpec) -> VisionTransformer:
    """timm's model with its weights. Raises InputError if there is none or they do not fit."""
    return create_vit(spec.name, weights=spec.weights, image_size=spec.image_size)


def freeze_backbone(backbone: Backbone) -> None:
    """Leaves nothing of the backbone trainable but its adapters."""
    backbone.requires_grad_(False)
    for block in backbone.blocks:
        block.adapt_attention.requires_grad_(True)
        block.adapt_mlp.requires_grad_(True)


def text_embeddings(spec: TrialSpec, class_names: Sequence[str]) -> Tensor | None:
    """(C, E), a row a class; None with guidance off. Raises InputError.

    What a text tower computed is kept in the cache folder: one pass serves every trial.
    """
    language = spec.language
    if isinstance(language, TextFile):
        embeddings = file_embeddings(language.embeddings)
        if len(embeddings) < len(class_names):
            raise InputError(
                f"language.embeddings: {language.embeddings} holds {len(embeddings)} rows, but"
                f" the data set has {len(class_names)} classes; a row a class is needed"
            )
        return embeddings[: len(class_names)].contiguous()
    if isinstance(language, OpenClipText):
        key = json.dumps([language.model_dump(mode="json"), list(class_names)])
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
        cached = cache_folder() / "text" / name
        if not cached.exists():
            embeddings = open_clip_embeddings(
                class_names,
                model=language.model,
                pretrained=language.pretrained,
                prompts=language.prompts,
            )
            cached.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cached.parent) as folder:
                temporary = Path(folder, name)
                save_file({"text_embeddings": embeddings}, temporary)
                temporary.replace(cached)
        return load_file(cached)["text_embeddings"]
    return None


# --- training ------------------------------------------------------------------------------


def loss_weights(spec: LossSpec) -> LossWeights:
    return LossWeights(
        spec.classification,
        spec.quantization,
        spec.concept_spatial_diversity,
        spec.concept_discrimination,
    )


def build_optimizer(
    spec: OptimizerSpec, model: ConceptHash, *, epochs: int, steps_per_epoch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """The optimizer of the trainable parameters, and its schedule by step.

    Linear warm-up, then half a cosine down to zero.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if spec.name == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            parameters, lr=spec.lr, momentum=spec.momentum, weight_decay=spec.weight_decay
        )
    else:
        optimizer = torch.optim.AdamW(
            parameters, lr=spec.lr, weight_decay=spec.weight_decay, fused=True
        )
    total = epochs * steps_per_epoch
    warmup = min(spec.warmup_epochs, epochs / 2) * steps_per_epoch

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def resolve_precision(precision: str, device: str) -> torch.dtype:
    """bfloat16 or float32; `auto` takes bfloat16 where the processor computes it natively."""
    if precision == "auto":
        if device.startswith("cuda"):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32
