"""Each loss against its formula, written out in loops over numpy arrays."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concepthash.losses import (
    Losses,
    LossWeights,
    attention_overlap,
    concept_hash_losses,
    margin_softmax,
)

OFF = LossWeights(0.0, 0.0, 0.0, 0.0)


class Outputs(NamedTuple):
    cos_to_centers: torch.Tensor
    cos_to_sign_centers: torch.Tensor
    concept_cos: torch.Tensor
    concept_attention: torch.Tensor


def outputs(B=4, C=5, M=3, H=2, N=6, seed=0) -> Outputs:
    rng = np.random.default_rng(seed)
    attention = rng.dirichlet(np.full(N + 2, 0.5), size=(B, H, M))[..., :N]  # two other tokens
    cosines = (rng.uniform(-1, 1, shape) for shape in [(B, C), (B, C), (B, M, C)])
    return Outputs(*map(torch.from_numpy, (*cosines, attention)))


def labels_of(out: Outputs, seed=0) -> torch.Tensor:
    B, C = out.cos_to_centers.shape
    return torch.from_numpy(np.random.default_rng(seed).integers(0, C, B))


# --- the formulas --------------------------------------------------------------------------


def cross_entropy(cos, label, scale, margin) -> float:
    logits = [scale * (c - (margin if i == label else 0)) for i, c in enumerate(cos)]
    return math.log(sum(math.exp(x) for x in logits)) - logits[label]


def classification(out, labels, scale=8.0, margin=0.2) -> float:
    rows = zip(out.cos_to_centers.tolist(), labels.tolist(), strict=True)
    return float(np.mean([cross_entropy(cos, y, scale, margin) for cos, y in rows]))


def quantization(out, labels, scale=8.0, margin=0.2) -> float:
    rows = zip(out.cos_to_sign_centers.tolist(), labels.tolist(), strict=True)
    return float(np.mean([cross_entropy(cos, y, scale, margin) for cos, y in rows]))


def concept_discrimination(out, labels, scale=8.0, margin=0.2) -> float:
    return float(
        np.mean(
            [
                cross_entropy(cos, y, scale, margin)
                for concepts, y in zip(out.concept_cos.tolist(), labels.tolist(), strict=True)
                for cos in concepts
            ]
        )
    )


def concept_spatial_diversity(out, *_, **__) -> float:
    cosines = []
    for heads in out.concept_attention.numpy():  # (H, M, N)
        maps = heads.mean(axis=0)
        for a, b in itertools.combinations(maps, 2):
            cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return float(np.mean(cosines)) if cosines else 0.0


FORMULAS = {
    "classification": classification,
    "quantization": quantization,
    "concept_spatial_diversity": concept_spatial_diversity,
    "concept_discrimination": concept_discrimination,
}


def test_no_loss_is_without_a_formula_here():
    assert set(FORMULAS) == set(Losses._fields) - {"total"}
    assert LossWeights._fields == Losses._fields[:-1]


sizes = st.fixed_dictionaries(
    {
        "B": st.integers(1, 5),
        "C": st.integers(2, 6),
        "M": st.integers(1, 4),
        "H": st.integers(1, 3),
        "N": st.integers(1, 9),
        "seed": st.integers(0, 2**31),
    }
)


@pytest.mark.parametrize("name", FORMULAS)
@settings(max_examples=30, deadline=None)
@given(sizes=sizes, scale=st.floats(0.5, 30), margin=st.floats(0, 1))
def test_a_loss_is_its_formula(name, sizes, scale, margin):
    out = outputs(**sizes)
    labels = labels_of(out)
    losses = concept_hash_losses(out, labels, scale=scale, margin=margin)
    # The margin is a float32.
    assert getattr(losses, name).item() == pytest.approx(
        FORMULAS[name](out, labels, scale=scale, margin=margin), rel=1e-6, abs=1e-9
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_the_papers_scale_and_margin_are_the_default(name):
    out = outputs()
    labels = labels_of(out)
    ours = getattr(concept_hash_losses(out, labels), name).item()
    assert ours == pytest.approx(FORMULAS[name](out, labels, scale=8, margin=0.2), rel=1e-6)


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
    out = outputs()
    halved = out.concept_attention * torch.tensor([1, 0.5, 0.1]).view(3, 1)
    assert attention_overlap(halved).item() == pytest.approx(
        attention_overlap(out.concept_attention).item(), rel=1e-9
    )


@settings(max_examples=60, deadline=None)
@given(sizes)
def test_the_overlap_lies_between_zero_and_one(sizes):
    overlap = attention_overlap(outputs(**sizes).concept_attention).item()
    assert 0 <= overlap <= 1 + 1e-12


def test_a_single_concept_has_nothing_to_overlap_with():
    out = outputs(M=1)
    losses = concept_hash_losses(out, labels_of(out))
    assert losses.concept_spatial_diversity.item() == 0
    assert losses.concept_discrimination.item() > 0


def test_a_concept_that_sees_no_patch_gives_no_nan():
    attention = outputs().concept_attention.clone().requires_grad_()
    with torch.no_grad():
        attention[:, :, 0] = 0
    overlap = attention_overlap(attention)
    overlap.backward()
    assert torch.isfinite(overlap)
    assert torch.isfinite(attention.grad).all()


# --- the total -----------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.tuples(*4 * [st.just(0.0) | st.floats(1e-3, 10)]).filter(any))
def test_the_total_is_the_weighted_sum(weights):
    out = outputs()
    losses = concept_hash_losses(out, labels_of(out), weights=LossWeights(*weights))
    by_hand = sum(
        weight * getattr(losses, name).item()
        for weight, name in zip(weights, LossWeights._fields, strict=True)
    )
    assert losses.total.item() == pytest.approx(by_hand, rel=1e-9, abs=1e-12)


def test_the_parts_are_reported_unweighted():
    out = outputs()
    weighted = concept_hash_losses(out, labels_of(out), weights=LossWeights(0.0, 0.5, 2.0, 3.0))
    assert weighted[:-1] == concept_hash_losses(out, labels_of(out))[:-1]


SPOILED = {
    "classification": "cos_to_centers",
    "quantization": "cos_to_sign_centers",
    "concept_spatial_diversity": "concept_attention",
    "concept_discrimination": "concept_cos",
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_loss_of_weight_zero_cannot_bring_a_nan(name):
    out = outputs()
    nan = torch.full_like(getattr(out, SPOILED[name]), torch.nan)
    spoiled = out._replace(**{SPOILED[name]: nan.requires_grad_()})
    labels = labels_of(out)
    assert torch.isnan(concept_hash_losses(spoiled, labels).total)
    weights = LossWeights()._replace(**{name: 0.0})
    kept = concept_hash_losses(spoiled, labels, weights=weights)
    assert torch.isnan(getattr(kept, name))
    assert kept.total.item() == pytest.approx(
        concept_hash_losses(out, labels, weights=weights).total.item(), rel=1e-12
    )


@pytest.mark.parametrize("name", FORMULAS)
def test_a_weight_sends_a_gradient_to_what_its_loss_reads_and_nowhere_else(name):
    out = Outputs(*(tensor.requires_grad_() for tensor in outputs()))
    concept_hash_losses(out, labels_of(out), weights=OFF._replace(**{name: 1.0})).total.backward()
    moved = {field for field, tensor in out._asdict().items() if tensor.grad is not None}
    assert moved == {SPOILED[name]}
    assert getattr(out, SPOILED[name]).grad.any()
