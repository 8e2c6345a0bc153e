"""The model's outputs: which token makes which bits, and what the heads guarantee."""

from __future__ import annotations

import copy

import pytest
import torch
from small_trials import TEXT, built, trainable
from timm.models import VisionTransformer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from concepthash.methods.base import Batch, Progress
from concepthash.methods.centers import LearnedCenters, TextCenters
from concepthash.methods.concepthash import ConceptHash, LossWeights, concept_hash_losses
from concepthash.model.backbone import Backbone
from concepthash.model.concepts import ConceptTokens

K, M, C, D = 12, 3, 5, 24


def tiny(centers) -> ConceptHash:
    torch.manual_seed(0)
    vit = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=D, depth=2, num_heads=4, num_classes=0
    )
    model = ConceptHash(
        Backbone(vit, 8), ConceptTokens(M, 16, D, heads=4), centers, num_bits=K, num_classes=C
    )
    model.norm.running_mean.uniform_(-1, 1)
    model.norm.running_var.uniform_(0.5, 2)
    return model.eval()


@pytest.fixture
def model() -> ConceptHash:
    return tiny(LearnedCenters(C, K))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_each_concept_writes_its_own_bits(model, images):
    """codes = BN(concat_m W(Z_m + E_m)), so a change of E_m shows in sub-code m alone."""
    before = model(images)
    z, bits = before.concept_embeddings, []
    for m in range(M):
        bits.append((z[:, m] + model.specificity[m]) @ model.to_bits.weight.T)
    mean, variance = model.norm.running_mean, model.norm.running_var
    expected = (torch.cat(bits, dim=1) - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(before.codes, expected)

    model.specificity[1] += 1
    moved = (model(images).codes != before.codes).any(dim=0)
    assert moved.tolist() == [False] * 4 + [True] * 4 + [False] * 4


@torch.no_grad()
def test_cosines_are_those_of_the_codes_the_centers_and_the_concepts(model, images):
    model.class_centers.centers[0, :3] = 0  # a sign of zero is zero, and K stays K
    outputs = model(images)
    centers, z = model.centers(), outputs.concept_embeddings
    for b in range(len(images)):
        for c in range(C):
            cosine = lambda x, y: float(x @ y / x.norm() / y.norm())  # noqa: E731
            code = outputs.codes[b]
            assert float(outputs.cos_to_centers[b, c]) == pytest.approx(
                cosine(code, centers[c]), abs=1e-5
            )
            assert float(outputs.cos_to_sign_centers[b, c]) == pytest.approx(
                float(code @ centers[c].sign() / code.norm()) / K**0.5, abs=1e-5
            )
            for m in range(M):
                assert float(outputs.concept_cos[b, m, c]) == pytest.approx(
                    cosine(z[b, m] + model.concept_position[m], model.class_weights[c]), abs=1e-5
                )


@torch.no_grad()
def test_an_image_in_a_batch_is_as_it_is_alone(model, images):
    together = model(images)
    for b in range(len(images)):
        for ours, alone in zip(together, model(images[b : b + 1]), strict=True):
            torch.testing.assert_close(ours[b], alone[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_under_bfloat16_the_heads_stay_in_float32(model, images):
    exact = model(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(images)
    for name, tensor in rough._asdict().items():
        assert tensor.dtype == torch.float32, name
    assert not torch.equal(rough.codes, exact.codes)  # the backbone is not
    assert torch.cosine_similarity(rough.codes, exact.codes).min() > 0.99


def step(model, images, dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses and all gradients in one row, of one training step."""
    model = copy.deepcopy(model).train()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        outputs = model(images)
    losses = concept_hash_losses(outputs, torch.tensor([0, 1, 2, 3]))
    losses.total.backward()
    gradients = [p.grad.flatten() for p in model.parameters()]
    return torch.stack([*losses]).detach(), torch.cat(gradients)


def test_bfloat16_stays_close_to_float32(model, images):
    """Losses within 2 %, and gradients in the same direction: a cosine above 0.99."""
    with torch.no_grad():
        for block in model.backbone.blocks:
            block.adapt_attention.up.weight.normal_(std=0.1)
            block.adapt_mlp.up.weight.normal_(std=0.1)
    exact, exact_gradients = step(model, images, torch.float32)
    rough, rough_gradients = step(model, images, torch.bfloat16)
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=1e-3)
    assert torch.cosine_similarity(rough_gradients, exact_gradients, dim=0) > 0.99


class Shapes(TorchDispatchMode):
    """The shape of every tensor that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.seen |= {tuple(t.shape) for t in tree_leaves(out) if isinstance(t, torch.Tensor)}
        return out


def test_no_attention_matrix_exists_but_the_last_blocks_rows_of_the_concepts(model, images):
    length = 1 + 16 + M
    with Shapes() as shapes:
        outputs = model.train()(images)
        concept_hash_losses(outputs, torch.tensor([0, 1, 2, 3])).total.backward()
    assert (4, 4, M, length) in shapes.seen  # B, heads, concepts, all tokens
    assert not [shape for shape in shapes.seen if shape[-2:] == (length, length)]


@torch.no_grad()
def test_a_projection_for_each_concept_or_one_for_all():
    shared, own = (
        built({"projection": projection}).to_bits for projection in ("shared", "per-concept")
    )
    z = torch.randn(5, 4, 128)
    torch.testing.assert_close(shared(z), z @ shared.weight.T)
    expected = torch.stack([z[:, m] @ own.weight[m].T for m in range(4)], dim=1)
    torch.testing.assert_close(own(z), expected)
    assert not torch.equal(own.weight[0], own.weight[1])


@pytest.mark.parametrize(
    ("switch", "gone"),
    [
        ({"refinement": "off"}, "concepts.attention"),
        ({"code_norm": {"name": "none", "specificity": "off"}}, "specificity"),
        ({"code_norm": "none"}, "norm."),
    ],
    ids=str,
)
def test_what_is_switched_off_leaves_no_parameter(switch, gone):
    with_it, without = trainable(built()), trainable(built(switch))
    assert without < with_it
    assert any(name.startswith(gone) for name in with_it)
    assert not any(name.startswith(gone) for name in without)


def test_guidance_decides_the_class_centers():
    assert isinstance(built().class_centers, LearnedCenters)
    guided = built({"language": TEXT})
    assert isinstance(guided.class_centers, TextCenters)
    assert guided.class_centers.embeddings.shape == (4, 128)
    assert guided.centers().shape == (4, 16)


def test_losses_have_the_weights_scale_and_margin_of_the_trial():
    loss = {
        "classification": 0.1,
        "quantization": 0.2,
        "concept_spatial_diversity": 0.3,
        "concept_discrimination": 0.4,
        "scale": 5.0,
        "margin": 0.6,
    }
    method = built({f"loss.{name}": value for name, value in loss.items()})
    labels = torch.tensor([0, 1, 2, 3])
    outputs = method(torch.randn(4, 3, 64, 64))
    losses = method.losses(outputs, Batch(labels, torch.arange(4)), Progress(1, 1, 0))
    expected = concept_hash_losses(
        outputs, labels, weights=LossWeights(0.1, 0.2, 0.3, 0.4), scale=5.0, margin=0.6
    )
    assert losses == expected._asdict()
