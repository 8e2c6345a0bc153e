"""From a trial's specification to loss weights, optimizer and precision."""

from __future__ import annotations

import math
import os
import shutil

import torch

from concepthash.errors import InputError
from concepthash.losses import LossWeights
from concepthash.model import ConceptHash
from concepthash.spec import LossSpec, OptimizerSpec


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
            parameters,
            lr=spec.lr,
            momentum=spec.momentum,
            weight_decay=spec.weight_decay,
            fused=True,
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


def compile_model(model: ConceptHash) -> None:
    """torch.compile, in place: the names of its state stay. Raises InputError.

    A worker trains one trial after another: what the compiler learned of the shapes before, and
    its count of recompilations, must not decide the numbers of this one.
    """
    check_compiler()
    torch.compiler.reset()
    model.compile()


def check_compiler() -> None:
    """Raises InputError if torch.compile finds no C++ compiler here."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise InputError(
            f"compile: on needs a C++ compiler, but {compiler} is not there; install one (or name"
            " it in CXX), or set compile: off"
        )


def resolve_precision(precision: str, device: str) -> torch.dtype:
    """bfloat16 or float32; `auto` takes bfloat16 where the processor computes it natively."""
    if precision == "auto":
        if device.startswith("cuda"):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32
