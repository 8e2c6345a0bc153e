"""From a trial's specification to its model."""

from __future__ import annotations

import pytest
import torch
from builds import BACKBONE, BIRDS, NAMES, TEXT, built, complaint, small

from concepthash.build import build_backbone, build_model, loss_weights
from concepthash.losses import LossWeights, concept_hash_losses
from concepthash.model import ConceptHash, FreeCenters, TextCenters, create_vit
from concepthash.plan import Trial
from concepthash.spec import BackboneSpec, LossSpec, OrthogonalEmbeddings


def trainable(model: ConceptHash) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_the_seed_decides_every_parameter():
    first, again, other = built(seed=1), built(seed=1), built(seed=2)
    assert all(map(torch.equal, first.state_dict().values(), again.state_dict().values()))
    assert not torch.equal(first.specificity, other.specificity)
    assert not torch.equal(first.backbone.stem.pos_embed, other.backbone.stem.pos_embed)


def test_sizes_are_those_of_the_spec():
    model = built(num_bits=24, num_concepts=3)
    with torch.no_grad():
        outputs = model.eval()(torch.randn(2, 3, 64, 64))
    assert outputs.codes.shape == (2, 24)
    assert outputs.concept_cos.shape == (2, 3, len(NAMES))
    assert outputs.concept_attention.shape == (2, 4, 3, 64)


@pytest.mark.parametrize("tuning", ["adapters", "full", "prompt-only", "last-blocks"])
def test_tuning_says_what_of_the_backbone_is_trained(tuning):
    model = built(tuning=tuning)
    backbone = {name for name, _ in model.named_parameters() if name.startswith("backbone.")}
    others = {name for name, _ in model.named_parameters()} - backbone
    adapters = {name for name in backbone if ".adapt_attention." in name or ".adapt_mlp." in name}
    last = {name for name in backbone if name.startswith("backbone.blocks.3.")}
    wanted = {"adapters": adapters, "full": backbone, "prompt-only": set(), "last-blocks": last}
    assert trainable(model) == others | wanted[tuning]
    # Four blocks with two adapters: a norm, down, up (weight and bias each) and a scale.
    assert len(adapters) == (4 * 2 * 7 if tuning == "adapters" else 0)


def test_the_seed_gives_the_same_backbone_whatever_is_tuned():
    full, adapted = built(tuning="full"), built(tuning="adapters")
    assert torch.equal(full.backbone.stem.pos_embed, adapted.backbone.stem.pos_embed)


def test_images_are_normalised_as_the_backbone_wants_them():
    trial = Trial(dataset=BIRDS, spec=small(), seed=0)
    _, mean, std = build_model(trial, NAMES)
    assert mean.tolist() == [0.5, 0.5, 0.5]
    assert std.tolist() == [0.25, 0.25, 0.25]


def test_guidance_decides_the_class_centers():
    assert isinstance(built().class_centers, FreeCenters)
    guided = built(language=TEXT)
    assert isinstance(guided.class_centers, TextCenters)
    assert guided.class_centers.embeddings.shape == (3, 128)
    assert guided.centers().shape == (3, 8)


def test_as_many_of_the_last_blocks_as_said():
    trained = {
        name.split(".")[2]
        for name in trainable(built(tuning="last-blocks", tuned_blocks=3))
        if name.startswith("backbone.")
    }
    assert trained == {"1", "2", "3"}


def test_adapters_sit_where_they_are_put():
    def sites(**settings) -> set[tuple[str, str]]:
        names = [name.split(".") for name in trainable(built(**settings))]
        return {(name[2], name[3]) for name in names if name[:2] == ["backbone", "blocks"]}

    blocks = [str(i) for i in range(4)]
    assert sites() == {(i, s) for i in blocks for s in ("adapt_attention", "adapt_mlp")}
    assert sites(adapter_sites="attention") == {(i, "adapt_attention") for i in blocks}
    assert sites(adapter_sites="mlp", adapter_blocks=2) == {("2", "adapt_mlp"), ("3", "adapt_mlp")}


def test_more_blocks_than_the_backbone_has():
    spec = small(tuning="last-blocks", tuned_blocks=5)
    assert complaint(build_backbone, spec) == (
        "tuned_blocks: 5 is more than the 4 blocks of this backbone"
    )
    build_backbone(small(adapter_blocks=5, tuning="full"))  # without adapters it says nothing
    assert complaint(build_backbone, small(adapter_blocks=5)) == (
        "adapter_blocks: 5 is more than the 4 blocks of this backbone"
    )


def test_a_linear_probe_reads_the_frozen_class_token():
    model = built(tuning="linear-probe", num_concepts=1).eval()
    assert not any(name.startswith(("backbone.", "concepts.")) for name in trainable(model))
    images = torch.randn(2, 3, 64, 64)
    vit = create_vit(BACKBONE.name, weights="none", image_size=64).eval()
    names = {name: name.replace("stem.", "").replace(".block.", ".") for name in model.state_dict()}
    state = {
        names[name].removeprefix("backbone."): tensor
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
    assert outputs.codes.shape == (2, 8)
    assert outputs.concept_attention.shape == (2, 4, 1, 64)


def test_a_linear_probe_needs_a_class_token():
    backbone = BackboneSpec(name="vit_base_patch16_siglip_224", weights="none", image_size=32)
    spec = small(tuning="linear-probe", num_concepts=1, backbone=backbone)
    assert complaint(build_backbone, spec) == (
        "tuning: linear-probe reads the class token, but vit_base_patch16_siglip_224 has none;"
        " take another backbone, or prompt-only"
    )


@pytest.mark.parametrize(
    ("switch", "gone"),
    [
        ({"refinement": "off"}, "concepts.attention"),
        ({"specificity": "off"}, "specificity"),
        ({"batch_norm": "off"}, "norm."),
    ],
    ids=str,
)
def test_what_is_switched_off_leaves_no_parameter(switch, gone):
    with_it, without = trainable(built()), trainable(built(**switch))
    assert without < with_it
    assert any(name.startswith(gone) for name in with_it)
    assert not any(name.startswith(gone) for name in without)


@torch.no_grad()
def test_a_projection_for_each_concept_or_one_for_all():
    shared, own = built(), built(projection="per-concept")
    z = torch.randn(5, 2, 128)
    for model, weight_of in (
        (shared, lambda m: shared.to_bits.weight),
        (own, lambda m: own.to_bits.weight[m]),
    ):
        expected = torch.stack([z[:, m] @ weight_of(m).T for m in range(2)], dim=1)
        torch.testing.assert_close(model.to_bits(z), expected)
    assert not torch.equal(own.to_bits.weight[0], own.to_bits.weight[1])


@pytest.mark.parametrize(
    "switch",
    [
        {},
        {"refinement": "off", "specificity": "off", "batch_norm": "off"},
        {"projection": "per-concept", "batch_norm": "off"},
        {"tuning": "linear-probe", "num_concepts": 1},
        {"tuning": "last-blocks", "tuned_blocks": 2},
        {"adapter_sites": "attention", "adapter_blocks": 1},
        {"language": OrthogonalEmbeddings(source="orthogonal", width=16), "tuning": "full"},
        *({"loss": LossSpec(**{name: 0})} for name in LossWeights._fields),
        *(
            {"loss": LossSpec(**{other: 0 for other in LossWeights._fields if other != name})}
            for name in LossWeights._fields
            if name != "concept_spatial_diversity"
        ),
    ],
    ids=str,
)
def test_every_trainable_parameter_gets_a_gradient_and_no_frozen_one(switch):
    model, weights = built(**switch), loss_weights(switch.get("loss", LossSpec()))
    with torch.no_grad():  # an untrained adapter lets no gradient through to itself
        for name, parameter in model.named_parameters():
            if ".up." in name:
                parameter.normal_(std=0.1)
    outputs = model(torch.randn(4, 3, 64, 64))
    labels = torch.tensor([0, 1, 2, 0])
    concept_hash_losses(outputs, labels, weights=weights).total.backward()
    trained = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    without = {"specificity"} if switch.get("batch_norm") != "off" else set()  # up to rounding
    assert trainable(model) - without <= trained <= trainable(model)
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
