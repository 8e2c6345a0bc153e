"""Losses that methods share: closed forms, and what holds for every input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.losses import attention_overlap, margin_softmax


def attention(B=4, M=3, H=2, N=6, seed=0) -> torch.Tensor:
    """(B, H, M, N), rows of a softmax over N patches and two other tokens."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.dirichlet(np.full(N + 2, 0.5), size=(B, H, M))[..., :N])


# --- the margin ----------------------------------------------------------------------------


def test_the_margin_is_taken_from_the_true_class_alone():
    cos = torch.tensor([[0.5, 0.3, -0.1]])
    moved = torch.tensor([[0.5, 0.3 - 0.2, -0.1]])
    label = torch.tensor([1])
    assert margin_softmax(cos, label, 8.0, 0.2).item() == pytest.approx(
        margin_softmax(moved, label, 8.0, 0.0).item(), rel=1e-6
    )


def test_a_margin_makes_the_loss_larger():
    cos, labels = torch.rand(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    with_margin = margin_softmax(cos, labels, 8.0, 0.2)
    assert with_margin > margin_softmax(cos, labels, 8.0, 0.0)


def test_equal_cosines_without_margin_lose_the_logarithm_of_the_classes():
    loss = margin_softmax(torch.full((3, 7), 0.4), torch.tensor([0, 3, 6]), 8.0, 0.0)
    assert loss.item() == pytest.approx(math.log(7), rel=1e-6)


def test_two_opposite_classes_in_closed_form():
    loss = margin_softmax(torch.tensor([[1.0, -1.0]]).double(), torch.tensor([0]), 8.0, 0.2)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-8 * (2 - 0.2))), rel=1e-6)


# --- the overlap of attention --------------------------------------------------------------


def test_equal_maps_overlap_wholly_and_disjoint_ones_not_at_all():
    same = torch.tensor([0.1, 0.2, 0.3]).expand(2, 4, 3, 3)
    assert attention_overlap(same).item() == pytest.approx(1)
    assert attention_overlap(torch.eye(3).expand(2, 4, 3, 3)).item() == 0


def test_a_map_is_the_mean_over_heads():
    """Two concepts that exchange their places between two heads look at the same on the mean."""
    heads = torch.stack([torch.eye(2), torch.eye(2).flip(0)]).unsqueeze(0)  # (1, H, M, N)
    assert attention_overlap(heads).item() == pytest.approx(1)
    assert attention_overlap(heads[:, :1]).item() == 0


def test_the_length_of_a_map_counts_for_nothing():
    scaled = attention() * torch.tensor([1, 0.5, 0.1]).view(3, 1)
    assert attention_overlap(scaled).item() == pytest.approx(
        attention_overlap(attention()).item(), rel=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "B": st.integers(1, 5),
            "M": st.integers(1, 4),
            "H": st.integers(1, 3),
            "N": st.integers(1, 9),
            "seed": st.integers(0, 2**31),
        }
    )
)
def test_the_overlap_lies_between_zero_and_one(sizes):
    overlap = attention_overlap(attention(**sizes)).item()
    assert 0 <= overlap <= 1 + 1e-12


def test_a_concept_that_sees_no_patch_gives_no_nan():
    maps = attention().requires_grad_()
    with torch.no_grad():
        maps[:, :, 0] = 0
    overlap = attention_overlap(maps)
    overlap.backward()
    assert torch.isfinite(overlap)
    assert torch.isfinite(maps.grad).all()
