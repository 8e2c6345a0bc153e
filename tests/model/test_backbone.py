"""timm's ViT with concept tokens, held against timm's own computation with them behind the patches.

Attention knows no order, so the place of the concept tokens changes nothing.
"""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import Attention, QuickGELU
from timm.models import Eva, VisionTransformer
from torch import Tensor, nn

from concepthash.model.backbone import Backbone
from concepthash.model.blocks import attend_from_first
from concepthash.model.vit import create_vit

M, N = 3, 16  # concepts; patches of the small ViTs


def randomize(module: nn.Module, std: float = 0.3) -> None:
    """Every parameter from a normal distribution, so that none is at a neutral value."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=std, generator=generator)


SMALL_VITS = {
    "plain": {},
    "without qkv bias": {"qkv_bias": False},
    "normalised queries and keys": {"qk_norm": True},
    "normalised attention output": {"scale_attn_norm": True},
    "LayerScale": {"init_values": 0.5},
    "register tokens": {"reg_tokens": 4},
    "register tokens without positions": {"reg_tokens": 4, "no_embed_class": True},
    "no class token": {"class_token": False, "global_pool": "avg"},
    "pre-norm, quick GELU": {"pre_norm": True, "act_layer": QuickGELU},
    "no position embedding": {"pos_embed": "none"},
    "one block": {"depth": 1},
}


def small_vit(**settings) -> VisionTransformer:
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 4}
    vit = VisionTransformer(**{**sizes, "num_classes": 0, **settings}).double().eval()
    randomize(vit)
    return vit


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture
def concepts() -> Tensor:
    return torch.randn(M, 24, generator=torch.Generator().manual_seed(2)).double()


def whole_computation(vit: VisionTransformer, images: Tensor, concepts: Tensor):
    """All tokens through timm's blocks, with explicit softmax: concepts, their whole rows."""
    rows: list[Tensor] = []
    vit = copy.deepcopy(vit)
    for block in vit.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_pre_hook(lambda _, args: rows.append(args[0]))
    x = vit._pos_embed(vit.patch_embed(images))
    x = vit.norm_pre(torch.cat([x, concepts.expand(len(x), -1, -1)], dim=1))
    for block in vit.blocks:
        x = block(x)
    return x[:, -M:], rows[-1][:, :, -M:]


# --- the tokens ----------------------------------------------------------------------------


@pytest.mark.parametrize("adapter_width", [None, 8], ids=["bare", "adapters"])
@pytest.mark.parametrize("settings", SMALL_VITS.values(), ids=SMALL_VITS)
@torch.no_grad()
def test_concepts_and_attention_are_those_of_the_whole_computation(
    settings, adapter_width, images, concepts
):
    vit = small_vit(**settings)
    prefix = vit.num_prefix_tokens
    expected, rows = whole_computation(vit, images, concepts)
    output = Backbone(vit, adapter_width).double()(images, concepts)
    torch.testing.assert_close(output.tokens, expected, rtol=1e-9, atol=1e-9)
    assert output.attention.shape == (2, 4, M, N)
    torch.testing.assert_close(output.attention, rows[..., prefix:-M], rtol=1e-9, atol=1e-9)
    # The rows are not renormalised: prefix and concept tokens have their share.
    assert (output.attention.sum(-1) < 1).all()
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 4, M).double())


SMALL_EVAS = {
    "EVA": {},
    "EVA-02": {"swiglu_mlp": True, "use_rot_pos_emb": True, "scale_mlp": True},
    "EVA-02, three projections": {"qkv_fused": False, "use_rot_pos_emb": True},
    "no bias": {"qkv_bias": False},
    "LayerScale": {"init_values": 0.5},
    "LayerScale of attention alone": {"init_values": 0.5, "attn_only_layer_scale": True},
    "DINOv3": {
        "num_reg_tokens": 4,
        "use_abs_pos_emb": False,
        "use_rot_pos_emb": True,
        "rope_type": "dinov3",
        "rope_rotate_half": True,
        "init_values": 0.5,
    },
    "learned rotation of each block": {"use_rot_pos_emb": True, "rope_type": "mixed"},
    "rotary attention": {"use_rot_pos_emb": True, "attn_type": "rope", "qk_norm": True},
    "grouped keys": {
        "use_rot_pos_emb": True,
        "attn_type": "rope",
        "qkv_fused": False,
        "num_kv_heads": 2,
    },
    "positions that grow with the image": {"dynamic_img_size": True, "use_rot_pos_emb": True},
}


def small_eva(**settings) -> Eva:
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 4}
    vit = Eva(**{**sizes, "num_classes": 0, **settings}).double().eval()
    randomize(vit)
    return vit


def evas_whole_computation(vit: Eva, images: Tensor, concepts: Tensor):
    """The same, with the concept tokens after the prefix, where EVA's blocks do not rotate."""
    rows: list[Tensor] = []
    vit = copy.deepcopy(vit)
    prefix = vit.num_prefix_tokens
    for block in vit.blocks:
        block.attn.fused_attn = False
        block.attn.num_prefix_tokens = prefix + M
        block.attn.attn_drop.register_forward_pre_hook(lambda _, args: rows.append(args[0]))
    x, rope = vit._pos_embed(vit.patch_embed(images))
    x = torch.cat([x[:, :prefix], concepts.expand(len(x), -1, -1), x[:, prefix:]], dim=1)
    x = vit.norm_pre(x)
    for i, block in enumerate(vit.blocks):
        x = block(x, rope=rope[i] if vit.rope_mixed else rope)
    return x[:, prefix : prefix + M], rows[-1][:, :, prefix : prefix + M, prefix + M :]


@pytest.mark.parametrize("settings", SMALL_EVAS.values(), ids=SMALL_EVAS)
@torch.no_grad()
def test_concepts_stand_with_the_prefix_that_rotary_embeddings_leave_alone(settings, images):
    vit = small_eva(**settings)
    concepts = torch.randn(M, 32, generator=torch.Generator().manual_seed(2)).double()
    expected, rows = evas_whole_computation(vit, images, concepts)
    output = Backbone(vit, None)(images, concepts)
    torch.testing.assert_close(output.tokens, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(output.attention, rows, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("qkv_bias", [False, True])
@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize("scale_norm", [False, True])
@pytest.mark.parametrize("gated", [False, True])
@torch.no_grad()
def test_the_last_attention_is_timms_own_for_the_first_tokens(qkv_bias, qk_norm, scale_norm, gated):
    attention = Attention(
        24,
        num_heads=4,
        attn_head_dim=5,
        qkv_bias=qkv_bias,
        qk_norm=qk_norm,
        scale_norm=scale_norm,
        gated=gated,
        norm_layer=nn.LayerNorm,
    ).double()
    randomize(attention)
    x = torch.randn(2, 9, 24).double()
    out, rows = attend_from_first(attention, x, 2)
    torch.testing.assert_close(out, attention(x)[:, :2], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 4, 2).double())


@torch.no_grad()
def test_every_concept_sees_every_patch_of_its_image_alone(images, concepts):
    backbone = Backbone(small_vit(), None)
    before = backbone(images, concepts)
    images[0, :, 8:16, 24:32] += 1  # the patch in row 1 and column 3
    after = backbone(images, concepts)
    assert ((after.tokens - before.tokens)[0].abs().amax(-1) > 1e-6).all()
    assert torch.equal(after.tokens[1], before.tokens[1])
    assert torch.equal(after.attention[1], before.attention[1])


@torch.no_grad()
def test_patches_of_the_attention_are_in_reading_order(images, concepts):
    """One block without positions: attention to a patch follows the patch wherever it is."""
    backbone = Backbone(small_vit(depth=1, pos_embed="none"), None)
    patches = images.unfold(2, 8, 8).unfold(3, 8, 8).flatten(2, 3)  # (B, 3, N, 8, 8)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(3))
    mixed = patches[:, :, order].unflatten(2, (4, 4)).permute(0, 1, 2, 4, 3, 5)
    moved = backbone(mixed.reshape(2, 3, 32, 32), concepts).attention
    torch.testing.assert_close(moved, backbone(images, concepts).attention[..., order])


# --- timm's families -----------------------------------------------------------------------

FAMILIES = {
    "vit_tiny_patch16_224": 32,
    "vit_small_patch14_dinov2": 28,
    "vit_small_patch14_reg4_dinov2": 28,
    "vit_base_patch32_clip_quickgelu_224": 64,
    "vit_base_patch16_siglip_224": 32,
    "deit_tiny_patch16_224": 32,
    "deit_tiny_distilled_patch16_224": 32,
    "deit3_small_patch16_224": 32,
    "vit_paperbirds_patch8_64": 64,
    "vit_base_patch16_224.mae": 32,
    "vit_small_patch16_dinov3": 32,
    "eva02_tiny_patch14_224": 28,
    "vit_small_patch16_rope_mixed_224": 32,
}
ROTARY = {
    name for name in FAMILIES if name.startswith("eva02") or "dinov3" in name or "rope" in name
}


@pytest.mark.parametrize("tuning", ["full", "adapters", "prompt-only"])
@pytest.mark.parametrize(("name", "image_size"), FAMILIES.items(), ids=FAMILIES)
def test_what_is_trained_gets_a_gradient_and_what_is_frozen_none(name, image_size, tuning):
    # Two blocks of the real ViT, if it can be built without its memory, are enough.
    with torch.device("cpu" if name in ROTARY else "meta"):
        vit = create_vit(name, weights="none", image_size=image_size)
        if name not in ROTARY:
            del vit.blocks[2:]
        backbone = Backbone(vit, 8 if tuning == "adapters" else None)
    if name not in ROTARY:
        backbone = backbone.to_empty(device="cpu")
    randomize(backbone, std=0.05)
    concepts = nn.Parameter(torch.randn(M, backbone.width))
    if tuning != "full":
        backbone.freeze()
    output = backbone(torch.randn(2, 3, image_size, image_size), concepts)
    (output.tokens * torch.randn_like(output.tokens)).sum().backward()
    trained = {n for n, p in backbone.named_parameters() if p.grad is not None and p.grad.any()}
    wanted = {
        "full": {n for n, _ in backbone.named_parameters()},
        "adapters": {n for n, _ in backbone.named_parameters() if ".adapt_" in n},
        "prompt-only": set(),
    }
    assert trained == wanted[tuning]
    assert (len(trained) == 0) == (tuning == "prompt-only")
    assert all(p.grad is None for n, p in backbone.named_parameters() if n not in trained)
    assert concepts.grad.any()
