"""CLIP's activation, held against timm's."""

from __future__ import annotations

import pytest
import torch
from timm.layers.activations import QuickGELU as TimmQuickGELU
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from concepthash.model.activations import QuickGELU
from concepthash.model.blocks import AdaptedBlock


def wide(dtype: torch.dtype) -> Tensor:
    """From far below to far above zero."""
    return torch.linspace(-50, 50, 1_001).to(dtype).requires_grad_()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 2e-2)]
)
def test_values_and_gradients_are_those_of_timm(dtype, tolerance):
    ours, theirs = wide(dtype), wide(dtype)
    y, expected = QuickGELU()(ours), TimmQuickGELU()(theirs)
    assert y.dtype == dtype
    torch.testing.assert_close(y, expected, rtol=tolerance, atol=tolerance)
    y.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=tolerance, atol=tolerance)


def test_the_gradient_is_that_of_finite_differences():
    x = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(QuickGELU(), x)


def test_it_keeps_one_tensor_for_the_backward_pass_and_leaves_its_input_alone():
    x = wide(torch.float32)
    before, kept = x.detach().clone(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        QuickGELU()(x)
    assert len(kept) == 1
    torch.testing.assert_close(x.detach(), before, rtol=0, atol=0)


def test_it_compiles_to_the_same_numbers():
    x = wide(torch.float32)
    compiled = torch.compile(QuickGELU(), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), QuickGELU()(x))


@pytest.mark.parametrize(
    ("activation", "kind"), [(TimmQuickGELU, QuickGELU), (nn.GELU, nn.GELU), (nn.SiLU, nn.SiLU)]
)
def test_a_block_gets_it_in_the_place_of_timms_and_keeps_any_other(activation, kind):
    block = Block(8, num_heads=2, act_layer=activation)
    assert type(AdaptedBlock(block, 8, None, None).block.mlp.act) is kind
