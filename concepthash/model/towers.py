"""Small towers of our own, registered with timm and open_clip so that both build them by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
from timm.models import register_model
from timm.models.vision_transformer import VisionTransformer

OPEN_CLIP_CONFIGS = Path(__file__).with_name("open_clip_configs")
open_clip.add_model_config(OPEN_CLIP_CONFIGS)


@register_model
def vit_paperbirds_patch8_64(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """A ViT for the embedded data set: 64 px, patch 8, 4 blocks of width 128. No weights yet."""
    if pretrained:
        raise ValueError("vit_paperbirds_patch8_64 has no pretrained weights; set weights: none")
    for key in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        kwargs.pop(key, None)
    sizes = {"img_size": 64, "patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 4}
    return VisionTransformer(**{**sizes, "pre_norm": True, **kwargs})
