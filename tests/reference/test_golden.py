"""The numbers of the paper's released implementation, reproduced from the same weights.

tests/golden/ (or the folder that CONCEPTHASH_GOLDEN names) holds two tiny random models: `language`
with guidance from text embeddings, `learned` with learned class centers. Each has its state, one
batch, and everything that the released code computed from them in float32 on a CPU, before and
after training steps.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from concepthash.methods.bundle import read_bundle
from concepthash.methods.concepthash import ConceptHash, Losses, concept_hash_losses
from concepthash.reference import from_reference_state, import_checkpoint

FOLDER = Path(os.environ.get("CONCEPTHASH_GOLDEN") or Path(__file__).parents[1] / "golden")

LOSSES = {
    "cont": "classification",
    "bin": "quantization",
    "attn_div": "concept_spatial_diversity",
    "concept": "concept_discrimination",
}

# Where our names of what is trained differ from the released ones.
RENAMED = {
    "concepts.queries": "hash_queries",
    "concepts.attention": "hash_attention.sa",
    "concepts.norm1": "hash_attention.norm1",
    "concepts.norm2": "hash_attention.norm2",
    "concepts.hidden": "hash_attention.ffn.0",
    "concepts.out": "hash_attention.ffn.3",
    "concepts.to_width": "hash_attention.ffn2",
    "norm.": "hash_bn.",
    "to_bits": "hash_fc",
    "specificity": "hash_pe",
    "concept_position": "concept_pe",
    "class_weights": "trainable_params.concept_ce_centroids",
    "class_centers.centers": "center",
    "class_centers.mlp": "text_projection",
}


class Golden(NamedTuple):
    config: dict[str, Any]
    numbers: dict[str, Any]
    state: dict[str, Tensor]
    """By the released names."""
    tensors: dict[str, Tensor]


@pytest.fixture(scope="module", params=["language", "learned"])
def golden(request) -> Golden:
    numbers = json.loads((FOLDER / f"{request.param}.json").read_text())
    tensors = load_file(FOLDER / f"{request.param}.safetensors")
    state = {
        name.removeprefix("state."): tensor
        for name, tensor in tensors.items()
        if name.startswith("state.")
    }
    return Golden(numbers["config"], numbers, state, tensors)


def build(golden: Golden) -> ConceptHash:
    return from_reference_state(
        golden.state,
        num_heads=golden.config["heads"],
        refinement_heads=golden.config["upt_heads"],
        dropout=golden.config["upt_dropout"],
    )


def released_name(name: str) -> str:
    for ours, theirs in RENAMED.items():
        if name.startswith(ours):
            return name.replace(ours, theirs, 1)
    _, _, block, part, rest = name.split(".", 4)  # backbone.blocks.0.adapt_mlp.down.weight
    layer, kind = f".{rest}".rsplit(".", 1)
    adapter = {"adapt_attention": "adapt_mlp_1", "adapt_mlp": "adapt_mlp_2"}[part]
    renamed = {".norm": ".adapter_layer_norm", ".down": ".down_proj", ".up": ".up_proj"}
    layer = renamed.get(layer, layer)
    return f"backbone.vision_model.encoder.layers.{block}.{adapter}{layer}.{kind}"


def losses_of(model: ConceptHash, golden: Golden) -> Losses:
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


@torch.no_grad()
def test_the_codes_of_an_imported_checkpoint(golden, tmp_path):
    torch.save(golden.state, tmp_path / "best.pth")
    import_checkpoint(
        tmp_path / "best.pth",
        tmp_path / "model.safetensors",
        num_heads=golden.config["heads"],
        refinement_heads=golden.config["upt_heads"],
    )
    bundle = read_bundle(tmp_path / "model.safetensors")
    codes = bundle.model(golden.tensors["images"]).codes
    assert_close(codes, golden.tensors["eval.codes"], 1e-4)


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
    ours = {
        released_name(name): float(parameter.grad.norm())
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
