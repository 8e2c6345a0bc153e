"""Image and text encoders of our own, which timm and open_clip build by name.

timm knows them when this module is imported, open_clip after `register_with_open_clip`. A tiny
CLIP that ships with the project, and the ViT of the released code in any size.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from timm.layers.activations import QuickGELU
from timm.layers.norm import LayerNorm
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

RELEASED_VIT = "vit_concepthash_released"
"""timm's name of CLIP's ViT in any size, as the released code of the paper has it."""
MODEL = "paperbirds"
"""open_clip's name of the tiny CLIP."""
TAG = "v1"
"""open_clip's name of its weights."""

_WEIGHTS = Path(__file__).with_name("weights")
CLIP_FILE = _WEIGHTS / "paperbirds_clip.safetensors"
IMAGE_ENCODER_FILE = _WEIGHTS / "vit_paperbirds_patch8_64.safetensors"
RECORD_FILE = _WEIGHTS / "paperbirds_clip.json"

OPEN_CLIP_CONFIGS = Path(__file__).with_name("open_clip_configs")


def register_with_open_clip() -> None:
    """Makes `MODEL` one of open_clip's models, which is imported here; again changes nothing."""
    import open_clip
    from open_clip.pretrained import _PRETRAINED

    if MODEL not in _PRETRAINED:
        open_clip.add_model_config(OPEN_CLIP_CONFIGS)
        _PRETRAINED[MODEL] = {TAG: {"file": str(CLIP_FILE)}}


# timm finds these beside the function that it registers.
default_cfgs = generate_default_cfgs(
    {
        "vit_paperbirds_patch8_64.clip": {
            "file": str(IMAGE_ENCODER_FILE),
            "num_classes": 0,
            "input_size": (3, 64, 64),
            "mean": (0.5, 0.5, 0.5),
            "std": (0.25, 0.25, 0.25),
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
        RELEASED_VIT: {"mean": OPENAI_CLIP_MEAN, "std": OPENAI_CLIP_STD},
    }
)


@register_model
def vit_paperbirds_patch8_64(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """A ViT for the embedded data set: 64 px, patch 8, 4 blocks of width 128."""
    sizes = {"img_size": 64, "patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 4}
    model: VisionTransformer = build_model_with_cfg(
        VisionTransformer,
        "vit_paperbirds_patch8_64",
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        **{**sizes, "pre_norm": True, **kwargs},
    )
    return model


@register_model
def vit_concepthash_released(pretrained: bool = False, **kwargs: Any) -> VisionTransformer:
    """CLIP's ViT; the sizes are arguments."""
    fixed: dict[str, Any] = {
        "pre_norm": True,
        "norm_layer": partial(LayerNorm, eps=1e-5),
        "act_layer": QuickGELU,
    }
    model: VisionTransformer = build_model_with_cfg(
        VisionTransformer, RELEASED_VIT, pretrained, **fixed, **kwargs
    )
    return model
