"""The optimizer with its schedule, and torch.compile."""

from __future__ import annotations

import math
import os
import shutil

import torch
from torch import nn

from concepthash.errors import InputError
from concepthash.spec.optimizer import OptimizerSpec, Sgd


def build_optimizer(
    spec: OptimizerSpec, model: nn.Module, *, epochs: int, steps_per_epoch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """The optimizer of the trainable parameters, and its schedule by step.

    Linear warm-up, then half a cosine down to zero.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if isinstance(spec, Sgd):
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


def compile_model(model: nn.Module) -> None:
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
