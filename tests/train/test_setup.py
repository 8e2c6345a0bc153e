"""From a trial to its data and its model."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from small_trials import BIRDS, METHODS, NAMES, built, complaint, trainable, trial

from concepthash.methods.build import ModelConfig
from concepthash.model.vit import create_vit
from concepthash.train.setup import prepare

ADAPTERS = {"tuning": {"name": "adapters", "width": 8}}


def test_the_seed_decides_every_parameter():
    first, again, other = built(seed=1), built(seed=1), built(seed=2)
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    assert not torch.equal(first.specificity, other.specificity)
    assert not torch.equal(first.backbone.stem.pos_embed, other.backbone.stem.pos_embed)


def test_the_seed_gives_the_same_backbone_whatever_is_tuned_and_whatever_the_method():
    full = built().backbone.stem.pos_embed
    for changes in (ADAPTERS, *METHODS.values()):
        assert torch.equal(built(changes).backbone.stem.pos_embed, full)


def test_a_file_that_changed_since_the_study_was_planned_is_refused(tmp_path):
    weights = tmp_path / "vit.safetensors"
    save_file({"a": torch.zeros(1)}, weights)
    planned = trial({"backbone.weights": str(weights)})
    planned = planned.model_copy(update={"contents": {str(weights): "0123456789abcdef"}})
    line = complaint(prepare, planned, "cpu", 0)
    assert line.startswith(f"{weights}: is not the file that the study was started with")


def test_sizes_are_those_of_the_trial():
    model = built({"num_bits": 24, "num_concepts": 3})
    with torch.no_grad():
        outputs = model.eval()(torch.randn(2, 3, 64, 64))
    assert outputs.codes.shape == (2, 24)
    assert outputs.concept_cos.shape == (2, 3, len(NAMES))
    assert outputs.concept_attention.shape == (2, 4, 3, 64)


@pytest.mark.parametrize("changes", METHODS.values(), ids=METHODS)
def test_the_configuration_of_a_model_survives_json(changes):
    config = prepare(trial(changes), "cpu", 0).bundle.config
    assert ModelConfig.from_json(config.as_json()) == config
    assert config.sizes[:3] == (16, 4, 20)  # 24 training images less the validation split


@pytest.mark.parametrize(
    "tuning", ["full", "prompt-only", "last-blocks", {"name": "adapters", "width": 8}], ids=str
)
def test_tuning_says_what_of_the_backbone_is_trained(tuning):
    model = built({"tuning": tuning})
    backbone = {name for name, _ in model.named_parameters() if name.startswith("backbone.")}
    others = {name for name, _ in model.named_parameters()} - backbone
    adapters = {name for name in backbone if ".adapt_attention." in name or ".adapt_mlp." in name}
    # Four blocks with two adapters: a norm, down, up (weight and bias each) and a scale.
    assert len(adapters) == (4 * 2 * 7 if isinstance(tuning, dict) else 0)
    wanted = {
        "full": backbone,
        "prompt-only": set(),
        "last-blocks": {name for name in backbone if name.startswith("backbone.blocks.3.")},
    }
    expected = adapters if isinstance(tuning, dict) else wanted[tuning]
    assert trainable(model) == others | expected


def test_as_many_of_the_last_blocks_as_said():
    trained = trainable(built({"tuning": {"name": "last-blocks", "blocks": 3}}))
    blocks = {name.split(".")[2] for name in trained if name.startswith("backbone.")}
    assert blocks == {"1", "2", "3"}


@pytest.mark.parametrize(
    ("settings", "blocks", "sites"),
    [
        ({}, "0123", ("adapt_attention", "adapt_mlp")),
        ({"sites": "attention"}, "0123", ("adapt_attention",)),
        ({"sites": "mlp", "blocks": 2}, "23", ("adapt_mlp",)),
    ],
    ids=str,
)
def test_adapters_sit_where_they_are_put(settings, blocks, sites):
    model = built({"tuning": {"name": "adapters", "width": 8, **settings}})
    names = [name.split(".") for name in trainable(model)]
    found = {(name[2], name[3]) for name in names if name[:2] == ["backbone", "blocks"]}
    assert found == {(block, site) for block in blocks for site in sites}


@pytest.mark.parametrize("name", ["last-blocks", "adapters"])
def test_more_blocks_than_the_backbone_has(name):
    assert complaint(built, {"tuning": {"name": name, "blocks": 5}}) == (
        "tuning.blocks: 5 is more than the 4 blocks of this backbone"
    )


def test_a_linear_probe_reads_the_frozen_class_token():
    model = built({"tuning": "linear-probe", "num_concepts": 1}).eval()
    assert not any(name.startswith(("backbone.", "concepts.")) for name in trainable(model))
    images = torch.randn(2, 3, 64, 64)
    vit = create_vit("vit_paperbirds_patch8_64", weights="none", image_size=64).eval()
    state = {
        name.removeprefix("backbone.").replace("stem.", "").replace(".block.", "."): tensor
        for name, tensor in model.state_dict().items()
        if name.startswith("backbone.")
    }
    missing, unknown = vit.load_state_dict(state, strict=False)
    assert (set(missing), unknown) == ({"norm.weight", "norm.bias"}, [])
    vit.norm = torch.nn.Identity()
    with torch.no_grad():
        outputs = model(images)
        tokens = vit.forward_features(images)
    torch.testing.assert_close(outputs.concept_embeddings[:, 0], tokens[:, 0])
    assert outputs.codes.shape == (2, 16)
    assert outputs.concept_attention.shape == (2, 4, 1, 64)


@pytest.mark.parametrize(
    ("changes", "reader"),
    [
        ({"tuning": "linear-probe", "num_concepts": 1}, "tuning: linear-probe"),
        ({"method": "hashnet"}, "hashnet"),
        ({"method": "itq"}, "itq"),
    ],
    ids=str,
)
def test_what_reads_the_class_token_needs_a_backbone_that_has_one(changes, reader):
    name = "vit_base_patch16_siglip_224"
    with torch.device("meta"):
        line = complaint(built, {**changes, "backbone.name": name})
    assert line == (
        f"backbone.name: {name} has no class token, which {reader} reads; take another backbone"
    )


def test_images_are_normalised_as_the_backbone_wants_them():
    bundle = prepare(trial(), "cpu", 0).bundle
    assert bundle.mean.tolist() == [0.5, 0.5, 0.5]
    assert bundle.std.tolist() == [0.25, 0.25, 0.25]


def test_targets_count_the_trained_classes_from_0():
    setup = prepare(trial({"protocol": {"name": "unseen", "share": 0.5}}), "cpu", 0)
    seen = setup.split.classes.tolist()
    training = setup.split.training
    assert [seen[target] for target in setup.targets[training]] == (
        setup.images.labels[training].tolist()
    )


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert complaint(prepare, trial(), "cuda", 0) == (
        "device cuda: this process sees no GPU; use cpu"
    )


def test_other_birds_are_not_taken_for_these():
    fewer = trial().model_copy(update={"dataset": BIRDS.model_copy(update={"num_classes": 3})})
    assert prepare(fewer, "cpu", 0).bundle.config.sizes.num_classes == 3
