"""timm's Vision Transformers by name, with weights from its hub, a local file, or none."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from timm.layers.patch_embed import PatchEmbed
from timm.models import Eva, VisionTransformer
from timm.models import load_state_dict as read_state_dict
from torch import Tensor

from concepthash.errors import InputError
from concepthash.model import tiny_clip  # noqa: F401  registers our own encoders with timm
from concepthash.model.blocks import ATTENTIONS, BLOCKS

ViT = VisionTransformer | Eva


def create_vit(name: str, *, weights: str, image_size: int, **settings: Any) -> ViT:
    """timm's model `name` at `image_size`, with `weights` "pretrained", "none" or a local file.

    `settings` are further arguments of timm's model.

    Raises InputError if timm has no such Vision Transformer of plain blocks, if the size does not
    fit its patches, or if the file does not fit the model (naming the keys).
    """
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models("*vit*"), n=3, cutoff=0)
        raise InputError(
            f"backbone.name: timm has no model {name!r}; it has {', '.join(near)}, ..."
        )
    try:
        vit = timm.create_model(
            name,
            pretrained=weights == "pretrained",
            num_classes=0,
            img_size=image_size,
            **settings,
        )
    except TypeError as error:  # it takes no img_size
        raise InputError(_no_vit(name)) from error
    except (RuntimeError, ValueError, AssertionError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"backbone: timm cannot build {name!r} ({reason})") from error
    if not isinstance(vit, ViT):
        raise InputError(_no_vit(name))
    for block in vit.blocks:
        other = block.attn if type(block) in BLOCKS else block
        if type(other) not in ATTENTIONS:
            known = ", ".join(kind.__name__ for kind in (*BLOCKS, *ATTENTIONS))
            raise InputError(
                f"backbone.name: {name!r} is built of {type(other).__name__}s; concept tokens pass"
                f" through timm's {known}; take e.g. vit_base_patch16_224"
            )
    if type(vit.patch_embed) is not PatchEmbed:
        raise InputError(
            f"backbone.name: {name!r} makes its patches by a {type(vit.patch_embed).__name__}; take"
            " one with timm's plain PatchEmbed, e.g. vit_base_patch16_224"
        )
    patch = vit.patch_embed.patch_size[0]
    if image_size % patch:
        raise InputError(
            f"backbone.image_size: {image_size} is not divisible by the patch size {patch} of"
            f" {name!r}; take e.g. {image_size // patch * patch or patch}"
        )
    if weights not in ("pretrained", "none"):
        load_weights(vit, Path(weights))
    return vit


def _no_vit(name: str) -> str:
    return f"backbone.name: {name!r} is no Vision Transformer of timm; take a vit_*, deit*, eva*"


def load_weights(vit: ViT, path: Path) -> None:
    """Loads a local checkpoint in any layout that timm converts. Raises InputError."""
    if not path.is_file():
        raise InputError(f"backbone.weights: {path}: no such file")
    try:
        state = dict(read_state_dict(str(path), weights_only=True))
        convert = sys.modules[type(vit).__module__].checkpoint_filter_fn
        state = convert(state, vit)
    except Exception as error:  # whatever a broken file makes the readers raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"backbone.weights: {path}: cannot be read as weights ({reason})"
        ) from error
    problems = _misfits(vit.state_dict(), state)
    if problems:
        raise InputError(
            f"backbone.weights: {path} does not fit the backbone, whose width is {vit.embed_dim}"
            f" with {len(vit.blocks)} blocks: {problems};"
            " give the weights of this backbone, or the backbone of these weights"
        )
    vit.load_state_dict(state, strict=False)


_UNUSED = ("head.", "head_dist.", "fc_norm.", "norm.", "attn_pool.", "mask_token", "pre_logits.")


def _misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    used = {key for key in wanted if not key.startswith(_UNUSED)}
    missing = sorted(used - set(given))
    unknown = sorted(key for key in set(given) - set(wanted) if not key.startswith(_UNUSED))
    shapes = [
        f"{key} is {tuple(given[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in sorted(used & set(given))
        if given[key].shape != wanted[key].shape
    ]
    parts = []
    for word, keys in (("missing", missing), ("unknown", unknown), ("shape", shapes)):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            parts.append(f"{word}: {', '.join(keys[:3])}{more}")
    return "; ".join(parts)
