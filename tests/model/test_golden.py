"""The numbers of the paper's released implementation, reproduced from the same weights.

tests/golden/ holds two tiny random models: `language` with guidance from text embeddings,
`learned` with free class centers. Each has its state, one batch, and everything that the released
code computed from them in float32 on a CPU, before and after training steps.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from timm.layers import LayerNorm, QuickGELU
from timm.models import VisionTransformer
from torch import Tensor

from concepthash.build import freeze_backbone
from concepthash.losses import concept_hash_losses
from concepthash.model import Backbone, ConceptHash, ConceptTokens, FreeCenters, TextCenters

FOLDER = Path(__file__).parents[1] / "golden"

LOSSES = {
    "cont": "classification",
    "bin": "quantization",
    "attn_div": "concept_spatial_diversity",
    "concept": "concept_discrimination",
}


class Golden(NamedTuple):
    config: dict[str, Any]
    numbers: dict[str, Any]
    state: dict[str, Tensor]
    """By our names."""
    names: dict[str, str]
    """Our names of parameters, and the released ones."""
    tensors: dict[str, Tensor]


# Modules of one kind: the released name and ours.
BLOCK = {
    "self_attn.out_proj": "block.attn.proj",
    "layer_norm1": "block.norm1",
    "layer_norm2": "block.norm2",
    "mlp.fc1": "block.mlp.fc1",
    "mlp.fc2": "block.mlp.fc2",
    "adapt_mlp_1.adapter_layer_norm": "adapt_attention.norm",
    "adapt_mlp_1.down_proj": "adapt_attention.down",
    "adapt_mlp_1.up_proj": "adapt_attention.up",
    "adapt_mlp_2.adapter_layer_norm": "adapt_mlp.norm",
    "adapt_mlp_2.down_proj": "adapt_mlp.down",
    "adapt_mlp_2.up_proj": "adapt_mlp.up",
}
CONCEPTS = {
    "hash_attention.sa.out_proj": "concepts.attention.out_proj",
    "hash_attention.norm1": "concepts.norm1",
    "hash_attention.norm2": "concepts.norm2",
    "hash_attention.ffn.0": "concepts.hidden",
    "hash_attention.ffn.3": "concepts.out",
    "hash_attention.ffn2": "concepts.to_width",
    "hash_bn": "norm",
}
TEXT = {"text_projection.0": "class_centers.mlp.0", "text_projection.2": "class_centers.mlp.2"}
SINGLE = {
    "hash_queries": "concepts.queries",
    "hash_pe": "specificity",
    "concept_pe": "concept_position",
    "concept_ce.centroids": "class_weights",
    "hash_fc.weight": "to_bits.weight",
    "hash_attention.sa.in_proj_weight": "concepts.attention.in_proj_weight",
    "hash_attention.sa.in_proj_bias": "concepts.attention.in_proj_bias",
    "hash_bn.running_mean": "norm.running_mean",
    "hash_bn.running_var": "norm.running_var",
    "hash_bn.num_batches_tracked": "norm.num_batches_tracked",
    "backbone.vision_model.embeddings.class_embedding": "backbone.stem.cls_token",
    "backbone.vision_model.embeddings.position_embedding.weight": "backbone.stem.pos_embed",
    "backbone.vision_model.embeddings.patch_embedding.weight": (
        "backbone.stem.patch_embed.proj.weight"
    ),
    "backbone.vision_model.pre_layrnorm.weight": "backbone.stem.norm_pre.weight",
    "backbone.vision_model.pre_layrnorm.bias": "backbone.stem.norm_pre.bias",
}


def released_names(config: dict[str, Any]) -> dict[str, str]:
    """Our names and the released ones, of everything that is one tensor in both."""
    modules = CONCEPTS | (TEXT if config["language_guidance"] else {})
    names = dict(SINGLE)
    names["center"] = f"class_centers.{'embeddings' if config['language_guidance'] else 'centers'}"
    for i in range(config["layers"]):
        layer = f"backbone.vision_model.encoder.layers.{i}"
        modules |= {f"{layer}.{theirs}": f"backbone.blocks.{i}.{o}" for theirs, o in BLOCK.items()}
        names[f"{layer}.adapt_mlp_1.scale"] = f"backbone.blocks.{i}.adapt_attention.scale"
        names[f"{layer}.adapt_mlp_2.scale"] = f"backbone.blocks.{i}.adapt_mlp.scale"
    for theirs, ours in modules.items():
        names |= {f"{theirs}.{kind}": f"{ours}.{kind}" for kind in ("weight", "bias")}
    return {ours: theirs for theirs, ours in names.items()}


@pytest.fixture(scope="module", params=["language", "learned"])
def golden(request) -> Golden:
    numbers = json.loads((FOLDER / f"{request.param}.json").read_text())
    tensors = load_file(FOLDER / f"{request.param}.safetensors")
    config = numbers["config"]
    released = {
        name.removeprefix("state."): tensor
        for name, tensor in tensors.items()
        if name.startswith("state.")
    }
    names = released_names(config)
    state = {ours: released[theirs] for ours, theirs in names.items()}
    for i in range(config["layers"]):
        layer = f"backbone.vision_model.encoder.layers.{i}.self_attn"
        for kind in ("weight", "bias"):
            state[f"backbone.blocks.{i}.block.attn.qkv.{kind}"] = torch.cat(
                [released[f"{layer}.{part}_proj.{kind}"] for part in "qkv"]
            )
    return Golden(config, numbers, state, names, tensors)


def build(golden: Golden) -> ConceptHash:
    """Our model with the released state, its backbone frozen but for the adapters."""
    config = golden.config
    vit = VisionTransformer(
        img_size=config["image_size"],
        patch_size=config["patch_size"],
        embed_dim=config["hidden"],
        depth=config["layers"],
        num_heads=config["heads"],
        num_classes=0,
        pre_norm=True,
        norm_layer=partial(LayerNorm, eps=config["layer_norm_eps"]),
        act_layer=QuickGELU,
    )
    if config["language_guidance"]:
        centers = TextCenters(golden.state["class_centers.embeddings"], config["num_bits"])
    else:
        centers = FreeCenters(config["num_classes"], config["num_bits"])
    model = ConceptHash(
        Backbone(vit, config["adapter_bottleneck"]),
        ConceptTokens(
            config["num_concepts"], config["embed_dim"], config["upt_heads"], config["hidden"]
        ),
        centers,
        num_bits=config["num_bits"],
        num_classes=config["num_classes"],
    )
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    # A leading axis of one apart, every tensor has the released shape.
    model.load_state_dict({name: t.reshape(shapes[name]) for name, t in golden.state.items()})
    freeze_backbone(model.backbone)
    return model


def losses_of(model: ConceptHash, golden: Golden):
    return concept_hash_losses(
        model(golden.tensors["images"]),
        golden.tensors["labels"],
        scale=golden.config["loss_scale"],
        margin=golden.config["loss_margin"],
    )


def assert_close(ours: Tensor, theirs: Tensor, bound: float) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=bound)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_every_output(golden, mode):
    model = build(golden).train(mode == "train")
    with torch.no_grad():
        outputs = model(golden.tensors["images"])
    theirs = {
        name.removeprefix(f"{mode}."): tensor
        for name, tensor in golden.tensors.items()
        if name.startswith(f"{mode}.")
    }
    patches = slice(1, -golden.config["num_concepts"])
    concepts = slice(-golden.config["num_concepts"], None)
    assert_close(outputs.codes, theirs["codes"], 1e-4)
    assert_close(outputs.cos_to_centers, theirs["cos_to_centers"], 1e-4)
    assert_close(outputs.cos_to_sign_centers, theirs["cos_to_sign_centers"], 1e-4)
    assert_close(outputs.concept_embeddings, theirs["concept_embeddings"], 1e-4)
    assert_close(outputs.concept_cos, theirs["concept_cos"].transpose(0, 1), 1e-4)
    assert_close(outputs.concept_attention, theirs["last_attention"][:, :, concepts, patches], 1e-4)


def test_the_class_centers(golden):
    with torch.no_grad():
        assert_close(build(golden).centers(), golden.tensors["eval.centers"], 1e-5)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_every_loss(golden, mode):
    with torch.no_grad():
        losses = losses_of(build(golden).train(mode == "train"), golden)
    theirs = golden.numbers[f"{mode}_losses"]
    for name, ours in LOSSES.items():
        assert float(getattr(losses, ours)) == pytest.approx(theirs[name], rel=1e-5), ours
    assert float(losses.total) == pytest.approx(sum(theirs[name] for name in LOSSES), rel=1e-5)


def test_the_number_of_trainable_parameters(golden):
    trainable = sum(p.numel() for p in build(golden).parameters() if p.requires_grad)
    assert trainable == golden.config["trainable_parameters"]


def test_the_gradients_of_the_first_training_step(golden):
    model = build(golden).train()
    losses_of(model, golden).total.backward()
    theirs = golden.numbers["grad_norms"]
    renamed = {"concept_ce.centroids": "trainable_params.concept_ce_centroids"}
    ours = {
        renamed.get(golden.names[name], golden.names[name]): float(parameter.grad.norm())
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    assert ours.keys() == theirs.keys()
    largest = max(theirs.values())
    # A constant a bit, which batch normalisation takes out again.
    assert ours.pop("hash_pe") < 1e-4 * largest
    for name, norm in ours.items():
        assert norm == pytest.approx(theirs[name], rel=1e-3, abs=1e-4 * largest), name


def test_four_steps_of_sgd(golden):
    model = build(golden).train()
    sgd = golden.config["sgd"]
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        lr=sgd["lr"],
        momentum=sgd["momentum"],
        weight_decay=sgd["weight_decay"],
    )
    trajectory = []
    for _ in range(sgd["steps"]):
        total = losses_of(model, golden).total
        trajectory.append(total.item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    with torch.no_grad():
        codes = model.eval()(golden.tensors["images"]).codes
    assert trajectory == pytest.approx(golden.numbers["sgd_trajectory"], rel=1e-3)
    # Codes here are up to 5; four steps grow a difference of rounding to at most this.
    assert_close(codes, golden.tensors["after_sgd.codes"], 2e-3)
