"""One embedding a class for a language specification, kept in the cache folder."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from concepthash.data.folders import cache_folder
from concepthash.errors import InputError
from concepthash.model.language import file_embeddings, open_clip_embeddings, weights_digest
from concepthash.spec import LanguageSpec, OpenClipText, OrthogonalEmbeddings, TextFile


def class_embeddings(
    language: LanguageSpec, class_names: Sequence[str], seed: int
) -> Tensor | None:
    """(C, E), a row a class; None with guidance off. Raises InputError."""
    if language == "off":
        return None
    if isinstance(language, OrthogonalEmbeddings):
        embeddings = _orthogonal(len(class_names), language.width, seed)
    else:
        embeddings = text_embeddings(language, class_names)
    return embeddings.sign() if language.binarize == "on" else embeddings


def _orthogonal(num_classes: int, width: int, seed: int) -> Tensor:
    if num_classes > width:
        raise InputError(
            f"language.width: no {num_classes} vectors, one a class, are orthogonal in {width}"
            f" dimensions; give {num_classes} or more"
        )
    generator = torch.Generator().manual_seed(seed)
    return nn.init.orthogonal_(torch.empty(num_classes, width), generator=generator)


def text_embeddings(language: OpenClipText | TextFile, class_names: Sequence[str]) -> Tensor:
    """(C, E), a row a class. Raises InputError.

    What a text encoder computed is kept in the cache folder: one pass serves every trial.
    """
    if isinstance(language, TextFile):
        embeddings = file_embeddings(language.embeddings)
        if len(embeddings) < len(class_names):
            raise InputError(
                f"language.embeddings: {language.embeddings} holds {len(embeddings)} rows, but"
                f" the data set has {len(class_names)} classes; a row a class is needed"
            )
        return embeddings[: len(class_names)].contiguous()
    tower = language.model_dump(mode="json", exclude={"binarize"})
    key = json.dumps([tower, weights_digest(language.model, language.pretrained), *class_names])
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
