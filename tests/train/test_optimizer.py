"""The optimizer with its schedule, and torch.compile."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from small_trials import built, complaint, spec

from concepthash.methods.base import Method, Sizes
from concepthash.methods.build import build_method
from concepthash.spec.optimizer import AdamW, Sgd
from concepthash.train.optimizer import build_optimizer, check_compiler, compile_model
from concepthash.train.setup import model_config

ADAPTERS = {"tuning": {"name": "adapters", "width": 8}}


@pytest.mark.parametrize(
    ("epochs", "steps", "warmup_epochs", "warmup"),
    [(10, 3, 2, 6), (10, 3, 0, 0), (4, 5, 10, 10), (1, 7, 10, 3.5), (3, 1, 10, 1.5)],
)
def test_the_learning_rate_rises_in_a_line_and_falls_in_half_a_cosine(
    epochs, steps, warmup_epochs, warmup
):
    optimizer, schedule = build_optimizer(
        Sgd(lr=0.3, warmup_epochs=warmup_epochs),
        torch.nn.Linear(2, 2),
        epochs=epochs,
        steps_per_epoch=steps,
    )
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


def optimizer_of(settings: Sgd | AdamW, model: torch.nn.Module) -> torch.optim.Optimizer:
    return build_optimizer(settings, model, epochs=1, steps_per_epoch=1)[0]


def test_sgd_has_its_momentum_and_weight_decay():
    settings = Sgd(lr=0.02, weight_decay=0.03, warmup_epochs=0, momentum=0.7)
    optimizer = optimizer_of(settings, torch.nn.Linear(2, 2))
    assert type(optimizer) is torch.optim.SGD
    (group,) = optimizer.param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.02, 0.7, 0.03)


def test_adamw_has_its_weight_decay_and_usual_betas():
    settings = AdamW(lr=0.02, weight_decay=0.03, warmup_epochs=0)
    optimizer = optimizer_of(settings, torch.nn.Linear(2, 2))
    assert type(optimizer) is torch.optim.AdamW
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.02, 0.03)
    assert group["betas"] == (0.9, 0.999)


@pytest.mark.parametrize("settings", [Sgd(), AdamW()], ids=["sgd", "adamw"])
def test_only_what_is_trainable_is_optimized(settings):
    model = built(ADAPTERS)
    optimizer = optimizer_of(settings, model)
    assert optimizer.defaults["fused"]
    held = {id(p) for p in optimizer.param_groups[0]["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    assert len(held) < len(list(model.parameters()))


def one_block(num_bits: int = 16) -> Method:
    """The small trial's model with one block: each costs seconds to compile."""
    config = model_config(spec(), Sizes(num_bits, 4, 20), embedding_width=None)
    backbone = replace(config.backbone, settings={"depth": 1})
    torch.manual_seed(0)
    return build_method(replace(config, backbone=backbone)).eval()


def test_a_compiled_model_computes_what_it_did_and_keeps_its_names():
    model = one_block()
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
        model = one_block(num_bits)
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
