"""Images to codes: precision, noise, and codes that are NaN."""

from __future__ import annotations

import pytest
import torch
from small_trials import trial

from concepthash.data.loader import Batch
from concepthash.errors import TrainingError
from concepthash.train.encoder import Encoder, resolve_precision
from concepthash.train.setup import prepare


def test_a_named_precision_is_taken_at_its_word():
    assert resolve_precision("bf16", "cpu") == torch.bfloat16
    assert resolve_precision("fp32", "cpu") == torch.float32


@pytest.mark.parametrize(
    ("avx512_bf16", "amx", "taken"),
    [
        (True, True, torch.bfloat16),
        (True, False, torch.bfloat16),
        (False, True, torch.bfloat16),
        (False, False, torch.float32),
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch, avx512_bf16, amx, taken):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert resolve_precision("auto", "cpu") == taken


@pytest.fixture
def encoder() -> Encoder:
    return prepare(trial(), "cpu", 0).encoder


def batch(count: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 64, 64), generator=generator, dtype=torch.uint8)
    return Batch(images, torch.arange(count), torch.arange(count))


def test_batches_are_encoded_in_their_order(encoder):
    images, labels, index = batch(5)
    halves = [Batch(images[part], labels[part], index[part]) for part in (slice(0, 3), slice(3, 5))]
    encoded = encoder.encode(halves)
    assert encoded.labels.tolist() == [0, 1, 2, 3, 4]
    assert encoded.attention.shape == (5, 4, 64)
    whole = encoder.encode([batch(5)])
    torch.testing.assert_close(encoded.codes, whole.codes, rtol=1e-4, atol=1e-5)


def test_noise_is_that_of_the_seed(encoder):
    exact = encoder.encode([batch(2)]).codes
    noisy = encoder.encode([batch(2)], noise=0.1, seed=1).codes
    assert not torch.equal(noisy, exact)
    assert torch.equal(encoder.encode([batch(2)], noise=0.1, seed=1).codes, noisy)
    assert not torch.equal(encoder.encode([batch(2)], noise=0.1, seed=2).codes, noisy)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_codes_that_are_nan_or_infinite_end_the_trial(encoder, value):
    encoder.model.norm.running_mean[0] = value
    with pytest.raises(TrainingError, match="the model diverged: its codes are NaN or infinite"):
        encoder.encode([batch(2)])
