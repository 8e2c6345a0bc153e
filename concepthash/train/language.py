"""One embedding a class for a language specification, kept in the cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from concepthash.data.folders import cache_folder, replace_file
from concepthash.errors import InputError
from concepthash.model.language import file_embeddings, open_clip_embeddings, weights_digest
from concepthash.spec import LanguageSpec, OpenClipText, OrthogonalEmbeddings, TextFile

logger = logging.getLogger(__name__)


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

    What a text encoder computed is kept in the cache folder: one pass serves every trial. A
    cached file that is broken is computed again; a warning says so.
    """
    if isinstance(language, TextFile):
        embeddings = file_embeddings(language.embeddings)
        if len(embeddings) < len(class_names):
            raise InputError(
                f"language.embeddings: {language.embeddings} holds {len(embeddings)} rows, but"
                f" the data set has {len(class_names)} classes; a row a class is needed"
            )
        return embeddings[: len(class_names)].contiguous()
    encoder = language.model_dump(mode="json", exclude={"binarize"})
    key = json.dumps([encoder, weights_digest(language.model, language.pretrained), *class_names])
    name = f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"
    cached = cache_folder() / "text" / name
    try:
        return _read(cached, len(class_names))
    except FileNotFoundError:
        pass
    except (ValueError, SafetensorError) as error:
        logger.warning("%s: %s; the text embeddings are computed again", cached, error)
    embeddings = open_clip_embeddings(
        class_names, model=language.model, pretrained=language.pretrained, prompts=language.prompts
    )
    metadata = {"crc32": _checksum(embeddings)}
    replace_file(cached, save({"text_embeddings": embeddings}, metadata))
    return embeddings


def _read(cached: Path, num_classes: int) -> Tensor:
    """Cached embeddings. Raises ValueError or SafetensorError if the file is broken."""
    with safe_open(cached, framework="pt") as file:
        embeddings: Tensor = file.get_tensor("text_embeddings")
        expected = (file.metadata() or {}).get("crc32")
    if embeddings.ndim != 2 or len(embeddings) != num_classes:
        raise ValueError(
            f"holds embeddings of shape {tuple(embeddings.shape)} for {num_classes} classes"
        )
    if _checksum(embeddings) != expected:
        raise ValueError("its checksum is wrong or missing")
    return embeddings


def _checksum(embeddings: Tensor) -> str:
    """CRC-32 of the values, as hexadecimal digits."""
    return f"{zlib.crc32(embeddings.numpy().data):08x}"
