"""ITQ against the method as written (tests/golden/prior_art/itq.*), and as a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from small_trials import GOLDEN, PRETRAINED, complaint, run, trial
from timm.models import VisionTransformer

from concepthash.methods.base import Sizes
from concepthash.methods.itq import Itq, fitted_rotation
from concepthash.model.backbone import Backbone
from concepthash.train.setup import prepare

TENSORS = load_file(GOLDEN / "prior_art" / "itq.safetensors")
X, START = TENSORS["in.X"], TENSORS["in.R0"]
COMPONENTS = (X - TENSORS["in.pca_mean"]) @ TENSORS["in.pca_components"].T

ROTATIONS = {f"as_written.R_{t}": t for t in (1, 2, 3, 5, 10, 50)} | {"habir_trainITQ.R_51": 51}


def error(components: torch.Tensor, rotation: torch.Tensor) -> float:
    """The quantization error ||B - V R||^2, with 0 binarized to +1."""
    projected = components @ rotation
    return float((torch.where(projected >= 0, 1.0, -1.0) - projected).square().sum())


@pytest.mark.parametrize(("name", "updates"), ROTATIONS.items(), ids=ROTATIONS)
def test_the_rotation_after_so_many_updates(name, updates):
    rotation = fitted_rotation(COMPONENTS, START, updates)
    torch.testing.assert_close(rotation, TENSORS[name], rtol=0, atol=1e-8)


def test_the_quantization_error_after_each_update():
    errors, rotation = [error(COMPONENTS, START)], START
    for _ in range(50):
        rotation = fitted_rotation(COMPONENTS, rotation, 1)
        errors.append(error(COMPONENTS, rotation))
    assert errors == pytest.approx(TENSORS["as_written.error"].tolist(), rel=1e-9)


def test_float32_reaches_the_same_quantization_error():
    rotation = fitted_rotation(COMPONENTS.float(), START.float(), 50)
    expected = TENSORS["as_written.error"][-1].item()
    assert error(COMPONENTS.float(), rotation) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(1, 8), st.integers(0, 2**31))
def test_the_error_never_rises_and_the_rotation_stays_orthogonal(N, K, seed):
    generator = torch.Generator().manual_seed(seed)
    components = torch.randn(N, K, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(K, K, generator=generator, dtype=torch.float64)).Q
    before = error(components, rotation)
    for _ in range(10):
        rotation = fitted_rotation(components, rotation, 1)
        after = error(components, rotation)
        assert after <= before + 1e-9
        before = after
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(K).double(), rtol=0, atol=1e-12)


# --- the method ------------------------------------------------------------------------------


def itq(num_bits: int = 16, width: int = 32, iterations: int = 50, num_images: int = 200) -> Itq:
    torch.manual_seed(0)
    vit = VisionTransformer(img_size=16, patch_size=8, embed_dim=width, depth=1, num_heads=2)
    sizes = Sizes(num_bits, num_classes=4, num_images=num_images)
    return Itq(Backbone(vit, None), sizes, iterations=iterations).double().eval()


def test_fitted_to_features_it_gives_the_published_bits():
    method = itq(iterations=0)
    method.fit(X, torch.zeros(len(X), dtype=torch.int64))
    torch.testing.assert_close(method.mean, TENSORS["in.pca_mean"], rtol=0, atol=1e-12)
    # A principal axis has no sign: it is that of the file, or its negative.
    signs = (TENSORS["in.pca_components"] * method.axes.T).sum(dim=1).round()
    assert set(signs.abs().tolist()) == {1.0}
    torch.testing.assert_close(
        method.axes, signs * TENSORS["in.pca_components"].T, rtol=0, atol=1e-9
    )
    method.iterations = 50
    method.rotation = signs.unsqueeze(1) * START  # the same start of the same components
    method.fit(X, torch.zeros(len(X), dtype=torch.int64))
    bits = (X - method.mean) @ method.axes @ method.rotation >= 0
    assert torch.equal(bits, TENSORS["as_written.bits"].bool())


@torch.no_grad()
def test_codes_are_the_rotated_principal_components_of_the_features():
    """A rotation keeps inner products: those of the codes are those of the first K components."""
    method, images = itq(num_bits=6), torch.randn(30, 3, 16, 16).double()
    features = method.features(images).double()
    method.fit(features, torch.zeros(30, dtype=torch.int64))
    codes = method(images).codes.numpy()
    centered = features.numpy() - features.numpy().mean(axis=0)
    values, vectors = np.linalg.eigh(centered @ centered.T)
    expected = vectors[:, -6:] * values[-6:] @ vectors[:, -6:].T
    assert codes @ codes.T == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())
    assert codes.mean(axis=0) == pytest.approx(np.zeros(6), abs=1e-5)


def test_more_bits_than_principal_components():
    assert complaint(itq, num_bits=33) == (
        "num_bits: 33 is more than the 32 principal components that the backbone's features have"
    )
    assert complaint(itq, num_bits=16, num_images=15) == (
        "num_bits: 16 is more than the 15 principal components that 15 training images have"
    )


def test_it_is_fitted_in_one_epoch_to_the_training_images_alone(tmp_path):
    of = trial({"method": "itq", **PRETRAINED})
    (metrics,) = run(of, tmp_path).metrics
    assert metrics["epoch"] == 1
    assert metrics["test/map"] > 0.7  # of four species; chance is near 0.3
    assert (tmp_path / "codes.safetensors").is_file()
    assert (tmp_path / "model.safetensors").is_file()
    setup = prepare(of, "cpu", 0)
    images = torch.stack([setup.encoder.crop(setup.pixels[i]) for i in setup.split.training])
    with torch.no_grad():
        inputs = (images / 255 - setup.bundle.mean.view(3, 1, 1)) / setup.bundle.std.view(3, 1, 1)
        tokens, _ = setup.bundle.model.backbone(inputs, None)
    fitted = load_file(tmp_path / "model.safetensors")
    torch.testing.assert_close(fitted["mean"], tokens[:, 0].mean(dim=0), rtol=1e-4, atol=1e-5)
