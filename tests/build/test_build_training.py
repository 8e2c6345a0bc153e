"""From a trial's specification to loss weights, optimizer and precision."""

from __future__ import annotations

import math

import pytest
import torch
from builds import built, complaint

from concepthash.build import (
    build_optimizer,
    check_compiler,
    compile_model,
    loss_weights,
    resolve_precision,
)
from concepthash.losses import LossWeights
from concepthash.spec import LossSpec, OptimizerSpec


def test_the_weights_of_losses_keep_their_names():
    spec = LossSpec(
        classification=0.1,
        quantization=0.2,
        concept_spatial_diversity=0.3,
        concept_discrimination=0.4,
    )
    weights = loss_weights(spec)
    assert weights._asdict() == {name: getattr(spec, name) for name in LossWeights._fields}


@pytest.mark.parametrize(
    ("epochs", "steps", "warmup_epochs", "warmup"),
    [(10, 3, 2, 6), (10, 3, 0, 0), (4, 5, 10, 10), (1, 7, 10, 3.5), (3, 1, 10, 1.5)],
)
def test_the_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine(
    epochs, steps, warmup_epochs, warmup
):
    spec = OptimizerSpec(name="sgd", lr=0.3, warmup_epochs=warmup_epochs)
    optimizer, schedule = build_optimizer(spec, built(), epochs=epochs, steps_per_epoch=steps)
    rates = []
    for _ in range(epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    total = epochs * steps
    for step, rate in enumerate(rates):
        if step < warmup:
            assert rate == pytest.approx(0.3 * (step + 1) / (warmup + 1))
        else:
            progress = (step - warmup) / (total - warmup)
            assert rate == pytest.approx(0.3 * (1 + math.cos(math.pi * progress)) / 2)
    assert min(rates) > 0
    assert max(rates) <= 0.3
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def group(name: str, **settings):
    spec = OptimizerSpec(name=name, lr=0.02, weight_decay=0.03, warmup_epochs=0, **settings)
    model = built(tuning="adapters")
    optimizer, _ = build_optimizer(spec, model, epochs=1, steps_per_epoch=1)
    return model, optimizer


def test_sgd_has_its_momentum_and_weight_decay():
    _, optimizer = group("sgd", momentum=0.7)
    assert type(optimizer) is torch.optim.SGD
    (parameters,) = optimizer.param_groups
    assert (parameters["lr"], parameters["momentum"], parameters["weight_decay"]) == (
        0.02,
        0.7,
        0.03,
    )


def test_adamw_has_its_weight_decay_and_usual_betas():
    _, optimizer = group("adamw")
    assert type(optimizer) is torch.optim.AdamW
    (parameters,) = optimizer.param_groups
    assert (parameters["lr"], parameters["weight_decay"]) == (0.02, 0.03)
    assert parameters["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_only_what_is_trainable_is_optimized(name):
    model, optimizer = group(name)
    assert optimizer.defaults["fused"]
    held = {id(p) for p in optimizer.param_groups[0]["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(held) < len(list(model.parameters()))


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


def test_a_compiled_model_computes_what_it_did_and_keeps_its_names():
    model = built().eval()
    images = torch.randn(2, 3, 64, 64)
    names = set(model.state_dict())
    with torch.no_grad():
        plain = model(images)
        compile_model(model)
        assert model._compiled_call_impl is not None
        compiled = model(images)
    assert set(model.state_dict()) == names
    for name, tensor in plain._asdict().items():
        torch.testing.assert_close(getattr(compiled, name), tensor, rtol=1e-4, atol=1e-4)


def test_what_was_compiled_before_decides_nothing():
    """A worker trains one trial after another; dynamo's limits count per function, not model."""
    images = torch.randn(2, 3, 64, 64)

    def codes(num_bits: int) -> torch.Tensor:
        model = built(num_bits=num_bits).eval()
        compile_model(model)
        with torch.no_grad():
            return model(images).codes

    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        first = codes(8)
        codes(16)
        assert torch.equal(codes(8), first)


def test_compiling_needs_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert complaint(check_compiler) == (
        "compile: on needs a C++ compiler, but no-such-compiler is not there; install one (or name"
        " it in CXX), or set compile: off"
    )
