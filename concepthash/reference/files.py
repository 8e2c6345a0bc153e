"""Checkpoint files of the released code, and the model files that they are imported to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor

from concepthash.errors import InputError
from concepthash.methods.bundle import Bundle, write_bundle
from concepthash.methods.concepthash import ConceptHash
from concepthash.reference.model import Architecture, build
from concepthash.reference.names import translate
from concepthash.spec_base import in_a_line, problem_of_path


def read_released(path: Path) -> dict[str, Tensor]:
    """The state dict of a released .pth file, which is read as tensors only. Raises InputError."""
    if not os.path.isfile(path):
        what = "is no regular file" if os.path.exists(path) else "no such file"
        raise InputError(f"{path}: {what}; give a released checkpoint, e.g. best.pth")
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a broken file makes the reader raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: cannot be read as a checkpoint of tensors ({reason})") from error
    for wrapper in ("model", "state_dict"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise InputError(f"{path}: holds no state dict, a mapping from names to tensors")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def import_checkpoint(
    source: Path,
    out: Path,
    *,
    num_heads: int,
    refinement_heads: int | None = None,
    image_size: int | None = None,
) -> ConceptHash:
    """The model of a released .pth file, written to `out` as a bundle. Raises InputError."""
    if problem := problem_of_path(str(out)):
        raise InputError(f"{in_a_line(str(out))}: {problem}")
    if out.suffix != ".safetensors":
        raise InputError(f"{out}: must end in .safetensors")
    if out.is_dir():
        raise InputError(f"{out}: is a folder; give a file")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent}: no such folder; create it first")
    architecture = Architecture(num_heads, refinement_heads or num_heads)
    model, config = build(translate(read_released(source)), architecture, image_size)
    bundle = Bundle(model, config, torch.tensor(OPENAI_CLIP_MEAN), torch.tensor(OPENAI_CLIP_STD))
    write_bundle(out, bundle, hub_weights=False)
    return model
