"""The adapter: its formula, and how it begins."""

import numpy as np
import pytest
import torch
from scipy.special import erf

from concepthash.model.adapters import Adapter


@pytest.fixture
def trained() -> Adapter:
    """An adapter in double precision whose parameters are all random."""
    torch.manual_seed(0)
    adapter = Adapter(width=6, bottleneck=4).double()
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter)
    return adapter


def test_an_untrained_adapter_is_the_identity():
    h = torch.randn(2, 5, 6)
    assert torch.equal(Adapter(width=6, bottleneck=4)(h), h)


def test_it_adds_a_scaled_bottleneck_with_exact_gelu(trained):
    h = torch.randn(2, 5, 6, dtype=torch.float64)
    p = {name: parameter.detach().numpy() for name, parameter in trained.named_parameters()}
    x = h.numpy()
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    x = (x - mean) / np.sqrt(variance + 1e-5) * p["norm.weight"] + p["norm.bias"]
    x = x @ p["down.weight"].T + p["down.bias"]
    x = x * (1 + erf(x / np.sqrt(2))) / 2
    x = x @ p["up.weight"].T + p["up.bias"]
    with torch.no_grad():
        assert trained(h).numpy() == pytest.approx(h.numpy() + p["scale"] * x, abs=1e-12)


def test_a_first_step_moves_the_up_projection_and_a_second_everything():
    torch.manual_seed(0)
    adapter = Adapter(width=6, bottleneck=4)
    h, wanted = torch.randn(2, 8, 5, 6)
    moved = []
    for _ in range(2):
        before = {name: p.detach().clone() for name, p in adapter.named_parameters()}
        adapter.zero_grad()
        (adapter(h) - wanted).square().mean().backward()
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter -= parameter.grad
        moved.append(
            {name for name, p in adapter.named_parameters() if not torch.equal(p, before[name])}
        )
    assert moved == [{"up.weight", "up.bias"}, set(before)]
