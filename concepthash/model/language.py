"""Text embeddings of class names, the raw material of language-guided class centers."""

from __future__ import annotations

import difflib
import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

from concepthash.errors import InputError
from concepthash.model.tiny_clip import CLIP_FILE, MODEL, TAG, register_with_open_clip


def open_clip_embeddings(
    class_names: Sequence[str], *, model: str, pretrained: str, prompts: Sequence[str]
) -> Tensor:
    """Unit vectors (C, E): the mean over `prompts` of each class's unit text embeddings.

    `pretrained` is open_clip's tag, a local file, or "none" for an untrained encoder (always the
    same one). Raises InputError if open_clip has no such model or weights.
    """
    import open_clip  # here and below: whoever needs no text encoder does not wait for it

    register_with_open_clip()
    if model not in open_clip.list_models():
        near = difflib.get_close_matches(model, open_clip.list_models(), n=3, cutoff=0)
        raise InputError(
            f"language.model: open_clip has no model {model!r}; it has {', '.join(near)}, ..."
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained != "none" and pretrained not in tags and not Path(pretrained).is_file():
        raise InputError(
            f"language.pretrained: {model} has no weights {pretrained!r}, and no such file exists;"
            f" give none or one of: {', '.join(tags) or '(open_clip knows no tag of it)'}"
        )
    try:
        with torch.random.fork_rng(devices=[]), _without_warnings():
            open_clip.get_tokenizer(model)  # some lie on a hub, too
            torch.manual_seed(0)  # an untrained encoder is to be the same for every trial
            encoder = open_clip.create_model(
                model, pretrained=None if pretrained == "none" else pretrained
            ).eval()
    except Exception as error:  # whatever a broken file makes the readers raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"language: weights or tokenizer of {model}, {pretrained} not loaded ({reason})"
        ) from error
    return encoder_embeddings(encoder, model, class_names, prompts)


@torch.no_grad()
def encoder_embeddings(
    encoder: Any, model: str, class_names: Sequence[str], prompts: Sequence[str]
) -> Tensor:
    """The same from a model of open_clip that is there already."""
    import open_clip

    register_with_open_clip()
    tokenize = open_clip.get_tokenizer(model)
    of_prompts = [
        torch.cat(
            [
                encoder.encode_text(
                    tokenize([prompt.replace("{}", name) for name in names]), normalize=True
                )
                for names in _chunks(class_names, 256)
            ]
        )
        for prompt in prompts
    ]
    return F.normalize(torch.stack(of_prompts).mean(0), dim=-1)


def weights_digest(model: str, pretrained: str) -> str:
    """SHA-256 of weights that lie on this disk: trained anew, they are others of the same name."""
    path = CLIP_FILE if (model, pretrained) == (MODEL, TAG) else Path(pretrained)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@contextmanager
def _without_warnings() -> Iterator[None]:
    """open_clip warns on the root logger of what was asked for: an untrained encoder."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _chunks(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def file_embeddings(path: Path) -> Tensor:
    """`text_embeddings` (C, E) of a .safetensors file, as float32. Raises InputError."""
    if not path.is_file():
        raise InputError(f"language.embeddings: {path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if "text_embeddings" not in names:
                raise InputError(
                    f"language.embeddings: {path} has no tensor text_embeddings; it has"
                    f" {', '.join(names[:5])}"
                )
            embeddings = file.get_tensor("text_embeddings").float()
    except SafetensorError as error:
        raise InputError(f"language.embeddings: {path} is no safetensors file ({error})") from error
    if embeddings.ndim != 2 or not embeddings.shape[1]:
        raise InputError(
            f"language.embeddings: {path}: text_embeddings must be (classes, width), but is"
            f" {tuple(embeddings.shape)}"
        )
    if not embeddings.isfinite().all():
        row = int((~embeddings.isfinite()).any(dim=1).nonzero()[0])
        raise InputError(
            f"language.embeddings: {path}: row {row} of text_embeddings holds NaN or infinity"
        )
    return embeddings
